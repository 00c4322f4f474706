use std::io;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest frame. 100,000 services take about 60 MB.
pub(crate) const MAX_FRAME: usize = 128 * 1024 * 1024;

/// Reads one frame. `None`: the peer closed the connection between two frames.
pub(crate) async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let first = stream.read(&mut length).await?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[first..]).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a control frame is larger than 128 MiB"));
    }
    // Grown as bytes arrive, so that a lying length costs nothing.
    let mut body = Vec::with_capacity(length.min(64 * 1024));
    let got = stream.take(length as u64).read_to_end(&mut body).await?;
    if got < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(body))
}

/// Turns a message into a frame.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).map_err(io::Error::other)?;
    let length = bytes.len() - 4;
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a control frame is larger than 128 MiB"));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Passes on what was read as one frame.
pub(crate) async fn relay<W: AsyncWrite + Unpin>(stream: &mut W, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(body).await
}

/// Writes one frame.
pub(crate) async fn write<W: AsyncWrite + Unpin, T: Serialize>(stream: &mut W, message: &T) -> io::Result<()> {
    stream.write_all(&encode(message)?).await
}
