use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// First size. Nearly every head and most answers fit.
const SMALL: usize = 16 * 1024;
/// Size for bodies that keep filling the buffer: fewer system calls for each megabyte.
const LARGE: usize = 128 * 1024;
/// Buffers of the first size that a thread keeps for the next connection.
const SPARE: usize = 64;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were read and not yet used. An empty one holds no memory, so ten thousand idle connections cost nothing
/// here.
///
/// The memory comes from other connections without being cleared; only what was filled can be seen.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read used all the room there was.
    full: bool,
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once. 0 is the end of the stream. Grows when there is no room, without bound: callers that hold on to bytes
    /// look at [`Buffer::len`] first.
    pub(crate) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let mut room = ReadBuf::new(&mut self.memory[self.end..]);
        let polled = Pin::new(stream).poll_read(cx, &mut room);
        let (count, full) = (room.filled().len(), room.remaining() == 0);
        if self.is_empty() && count == 0 {
            self.release();
        }
        ready!(polled)?;
        self.end += count;
        self.full = full;
        Poll::Ready(Ok(count))
    }

    fn make_room(&mut self) {
        if self.memory.is_empty() {
            let spare = SPARES.with(|spares| spares.borrow_mut().pop());
            self.memory = spare.unwrap_or_else(|| vec![0; SMALL]);
        } else if self.is_empty() && self.full && self.memory.len() < LARGE {
            self.full = false;
            self.release();
            self.memory = vec![0; LARGE];
        }
        if self.start > 0 && self.end == self.memory.len() {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.memory.len() {
            let size = self.memory.len() * 2;
            self.memory.resize(size, 0);
        }
    }

    /// Gives the memory back. Only for an empty buffer.
    fn release(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if memory.len() == SMALL {
            // The thread may be ending, and its spares gone.
            let _ = SPARES.try_with(|spares| {
                let mut spares = spares.borrow_mut();
                if spares.len() < SPARE {
                    spares.push(memory);
                }
            });
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_the_sizes() {
        let input: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).expect("below 251")).collect();
        let mut source = &input[..];
        let mut cx = Context::from_waker(Waker::noop());
        let (mut buffer, mut output, mut turn) = (Buffer::default(), Vec::new(), 0_usize);
        while let Poll::Ready(Ok(1..)) = buffer.poll_fill(&mut cx, &mut source) {
            turn += 1;
            let take = buffer.len().min(turn * 700);
            output.extend_from_slice(&buffer.filled()[..take]);
            buffer.consume(take);
        }
        output.extend_from_slice(buffer.filled());
        assert_eq!(output, input);
    }

    #[test]
    fn an_empty_buffer_holds_no_memory_after_a_read_that_waits() {
        let (client, _server) = tokio::io::duplex(8);
        let mut client = client;
        let mut buffer = Buffer::default();
        assert!(buffer.poll_fill(&mut Context::from_waker(Waker::noop()), &mut client).is_pending());
        assert_eq!(buffer.memory.len(), 0);
    }
}
