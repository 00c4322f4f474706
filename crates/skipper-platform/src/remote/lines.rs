use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use skipper_core::{
    BoxStream,
    port::{Error, ErrorKind},
};

/// The lines of an answer that goes on.
pub(super) struct Lines {
    body: BoxStream<'static, Result<Bytes, Error>>,
    unread: BytesMut,
    /// How much of it has been looked through.
    looked: usize,
    /// Most bytes of a line.
    limit: usize,
}

impl Lines {
    pub(super) const fn new(body: BoxStream<'static, Result<Bytes, Error>>, unread: BytesMut, limit: usize) -> Self {
        Self { body, unread, looked: 0, limit }
    }

    /// The next line, without its end; `None` where the answer has ended. What stands after the last line end was cut off, and is
    /// none.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(at) = self.unread[self.looked..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.unread.split_to(self.looked + at + 1);
                line.truncate(self.looked + at);
                self.looked = 0;
                return Ok(Some(line.freeze()));
            }
            self.looked = self.unread.len();
            if self.looked > self.limit {
                let message = format!("a line of the answer has more than {} bytes", self.limit);
                return Err(Error::new(ErrorKind::Unknown, "answer-too-large", message));
            }
            match self.body.next().await {
                Some(piece) => self.unread.extend_from_slice(&piece?),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn lines(pieces: &[&str], limit: usize) -> Lines {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from((*piece).to_owned()))).collect();
        Lines::new(Box::pin(stream::iter(pieces)), BytesMut::new(), limit)
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_are_cut() {
        let mut all = lines(&["a", "b\n\nc", "\nd\ne", "f"], 10);
        for expected in ["ab", "", "c", "d"] {
            assert_eq!(all.next().await.expect("a line"), Some(Bytes::from(expected)));
        }
        assert_eq!(all.next().await.expect("no error"), None, "`ef` was cut off");
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up() {
        let mut all = lines(&["12345", "67890", "x"], 8);
        assert_eq!(all.next().await.expect_err("too long").code(), "answer-too-large");
    }
}
