use bytes::{Bytes, BytesMut};
use reqwest::Response;

/// Most that an answer may hold. Lists are paged, so nothing of ours comes near it; what is larger is somebody else's.
const MAX_BYTES: usize = 256 << 20;

/// Reads an answer to its end, or to the bound, past which it is cut off and so not understood.
pub(super) async fn read(mut response: Response) -> Result<Bytes, reqwest::Error> {
    let mut all = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if all.len() + chunk.len() > MAX_BYTES {
            break;
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}
