use bytes::BytesMut;
use reqwest::Response;

/// Longest line taken from a stream. A rollout with its failure bundle is some hundred kilobytes.
const MAX_LINE: usize = 32 << 20;

/// Lines of an answer, as they come.
#[derive(Debug)]
pub(crate) struct LineStream {
    response: Response,
    buffer: BytesMut,
    scanned: usize,
    ended: bool,
}

impl LineStream {
    /// Reads this answer.
    pub(crate) fn new(response: Response) -> Self {
        Self { response, buffer: BytesMut::new(), scanned: 0, ended: false }
    }

    /// The next line without its end; `None` when there are no more.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and call again: what has arrived stays in the buffer.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, reqwest::Error> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.ended {
                let rest = self.buffer.split();
                self.scanned = 0;
                return Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()));
            }
            match self.response.chunk().await? {
                // Past the bound the stream is not one of ours; it ends here.
                Some(chunk) if self.buffer.len() + chunk.len() <= MAX_LINE => self.buffer.extend_from_slice(&chunk),
                _ => self.ended = true,
            }
        }
    }

    fn take_line(&mut self) -> Option<String> {
        let Some(end) = self.buffer[self.scanned..].iter().position(|b| *b == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + end + 1);
        self.scanned = 0;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(String::from_utf8_lossy(line).into_owned())
    }
}
