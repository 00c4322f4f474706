//! As much of RFC 6455 as an echo needs: the handshake's key and single frames of bounded size, for both sides.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest payload that is read: an echo of more is a mistake.
const MAX_PAYLOAD: u64 = 1024 * 1024;

/// The four kinds of frame that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    const fn opcode(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn of(opcode: u8) -> Option<Self> {
        Some(match opcode {
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// What the server answers to a client's `Sec-WebSocket-Key`.
pub(crate) fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// Reads one frame, unmasked where it was masked.
///
/// # Errors
///
/// The end of the stream, a frame in several parts, an unknown opcode, or a payload of more than a MiB.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(Kind, Vec<u8>)> {
    let bad = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let mut head = [0_u8; 2];
    stream.read_exact(&mut head).await?;
    if head[0] & 0x80 == 0 {
        return Err(bad("a WebSocket frame in several parts"));
    }
    let kind = Kind::of(head[0] & 0x0f).ok_or_else(|| bad("an unknown WebSocket opcode"))?;
    let length = match head[1] & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    if length > MAX_PAYLOAD {
        return Err(bad("a WebSocket frame of more than a MiB"));
    }
    let mut mask = [0_u8; 4];
    if head[1] & 0x80 != 0 {
        stream.read_exact(&mut mask).await?;
    }
    let mut payload = vec![0; usize::try_from(length).expect("at most a MiB")];
    stream.read_exact(&mut payload).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((kind, payload))
}

/// Writes one frame; a client passes a `mask`.
///
/// # Errors
///
/// Whatever the stream reports.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: Kind,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) -> std::io::Result<()> {
    let mut frame = vec![0x80 | kind.opcode()];
    let flag = if mask.is_some() { 0x80 } else { 0 };
    if let Ok(short @ 0..126) = u8::try_from(payload.len()) {
        frame.push(flag | short);
    } else if let Ok(medium) = u16::try_from(payload.len()) {
        frame.push(flag | 126);
        frame.extend(medium.to_be_bytes());
    } else {
        frame.push(flag | 127);
        frame.extend((payload.len() as u64).to_be_bytes());
    }
    frame.extend(mask.into_iter().flatten());
    frame.extend(payload.iter().zip(mask.unwrap_or_default().iter().cycle()).map(|(byte, mask)| byte ^ mask));
    stream.write_all(&frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_the_one_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[tokio::test]
    async fn a_frame_of_any_length_is_read_back_masked_or_not() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let payload: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).expect("below 256")).collect();
                let mut wire = Vec::new();
                write(&mut wire, Kind::Binary, &payload, mask).await.expect("a vector takes everything");
                let read = read(&mut wire.as_slice()).await.expect("what was written is a frame");
                assert_eq!(read, (Kind::Binary, payload), "{length} bytes, {mask:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_frame_that_claims_to_be_huge_is_refused_before_it_is_read() {
        let wire = [0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0];
        let error = read(&mut wire.as_slice()).await.expect_err("a terabyte");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}
