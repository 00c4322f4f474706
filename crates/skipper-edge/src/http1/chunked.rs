use crate::net::Buffer;

/// Longest line with a chunk's size and extensions.
const LINE_MAX: usize = 512;
/// Most bytes of trailer fields. They are dropped: an intermediary may, and no framing can hide in them then.
const TRAILERS_MAX: usize = 8 * 1024;

/// Where in a chunked body we are. Strict: only CRLF ends a line, sizes are plain hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    Size,
    Data(u64),
    DataEnd,
    Trailers { seen: usize },
    Done,
}

/// The body is not chunked as the RFC says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadChunk;

impl Chunked {
    /// Consumes framing and says how many bytes of the chunk's data are next in the buffer. 0: more must be read, or
    /// (when `Done`) the body is over.
    pub(crate) fn advance(&mut self, buffer: &mut Buffer) -> Result<usize, BadChunk> {
        loop {
            match *self {
                Self::Data(left) => return Ok(usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len())),
                Self::Done => return Ok(0),
                Self::Size => {
                    let Some(line) = line(buffer.filled(), LINE_MAX)? else { return Ok(0) };
                    let size = size(line)?;
                    let length = line.len() + 2;
                    buffer.consume(length);
                    *self = if size == 0 { Self::Trailers { seen: 0 } } else { Self::Data(size) };
                }
                Self::DataEnd => {
                    match buffer.filled() {
                        [b'\r', b'\n', ..] => buffer.consume(2),
                        [] | [b'\r'] => return Ok(0),
                        _ => return Err(BadChunk),
                    }
                    *self = Self::Size;
                }
                Self::Trailers { seen } => {
                    let Some(line) = line(buffer.filled(), TRAILERS_MAX - seen.min(TRAILERS_MAX))? else {
                        return Ok(0);
                    };
                    let length = line.len() + 2;
                    *self = if line.is_empty() { Self::Done } else { Self::Trailers { seen: seen + length } };
                    buffer.consume(length);
                }
            }
        }
    }

    /// So many bytes of data were consumed.
    pub(crate) fn used(&mut self, count: usize) {
        if let Self::Data(left) = self {
            *left = left.saturating_sub(count as u64);
            if *left == 0 {
                *self = Self::DataEnd;
            }
        }
    }
}

/// The first line without its CRLF, if it is complete.
fn line(bytes: &[u8], most: usize) -> Result<Option<&[u8]>, BadChunk> {
    let seen = &bytes[..bytes.len().min(most + 2)];
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
        // No control byte but a tab may be inside a line, and a CR only before its LF.
        let text = seen.strip_suffix(b"\r").unwrap_or(seen);
        let clean = text.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        return if bytes.len() > most + 1 || !clean { Err(BadChunk) } else { Ok(None) };
    };
    let line = seen[..end].strip_suffix(b"\r").ok_or(BadChunk)?;
    if line.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
        return Err(BadChunk);
    }
    Ok(Some(line))
}

fn size(line: &[u8]) -> Result<u64, BadChunk> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    // Extensions mean nothing to us and are dropped; white space before them is tolerated as the RFC allows.
    let rest = line[digits..].trim_ascii_start();
    if digits == 0 || digits > 16 || !(rest.is_empty() || rest[0] == b';') {
        return Err(BadChunk);
    }
    let mut size: u64 = 0;
    for digit in &line[..digits] {
        let value = char::from(*digit).to_digit(16).ok_or(BadChunk)?;
        size = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(value))).ok_or(BadChunk)?;
    }
    // Room for sums of sizes.
    if size > u64::MAX / 4 { Err(BadChunk) } else { Ok(size) }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;

    /// Decodes `input`, which arrives in pieces of the given size.
    fn decode(input: &[u8], piece: usize) -> Result<Option<Vec<u8>>, BadChunk> {
        let mut buffer = Buffer::default();
        let (mut state, mut output) = (Chunked::Size, Vec::new());
        for piece in input.chunks(piece.max(1)) {
            let mut source = piece;
            let Poll::Ready(Ok(_)) = buffer.poll_fill(&mut Context::from_waker(Waker::noop()), &mut source) else {
                unreachable!("a slice is always ready")
            };
            loop {
                let count = state.advance(&mut buffer)?;
                if count == 0 {
                    break;
                }
                output.extend_from_slice(&buffer.filled()[..count]);
                buffer.consume(count);
                state.used(count);
            }
        }
        Ok((state == Chunked::Done).then_some(output))
    }

    proptest! {
        #[test]
        fn what_was_chunked_is_decoded_however_it_arrives(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            piece in 1_usize..50,
            upper in any::<bool>(),
            trailer in any::<bool>(),
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                let size = if upper { format!("{:X};a=b\r\n", chunk.len()) } else { format!("{:04x} \r\n", chunk.len()) };
                input.extend_from_slice(size.as_bytes());
                input.extend_from_slice(chunk);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(if trailer { b"0\r\nx-sum: 1\r\n\r\n" } else { b"0\r\n\r\n" });
            prop_assert_eq!(decode(&input, piece), Ok(Some(chunks.concat())));
        }

        #[test]
        fn garbage_is_refused_or_incomplete_and_never_a_panic(
            input in prop::collection::vec(prop::sample::select(b"0123456789abcdefG;\r\n \t-+x\0".to_vec()), 0..60),
            piece in 1_usize..20,
        ) {
            let _ = decode(&input, piece);
        }
    }

    #[test]
    fn what_others_may_read_differently_is_refused() {
        for bad in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-1\r\n",
            "\r\n",
            " 5\r\nhello\r\n",
            "5 5\r\nhello\r\n",
            "ffffffffffffffff\r\n",
            "10000000000000000\r\n",
            "5;a\rb\r\nhello\r\n",
            "5\r\r\nhello\r\n",
            "5;\0\r\nhello\r\n",
            "0\r\nx\n\r\n",
        ] {
            for piece in [1, 100] {
                assert_eq!(decode(bad.as_bytes(), piece), Err(BadChunk), "{bad:?}");
            }
        }
        let long = format!("5;{}\r\n", "x".repeat(600));
        assert_eq!(decode(long.as_bytes(), 7), Err(BadChunk));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(2000));
        assert_eq!(decode(trailers.as_bytes(), 1000), Err(BadChunk));
    }
}
