//! Bytes on sockets: a buffer that holds memory only while it holds bytes, and a stream that is TCP or TLS.

mod buffer;
mod stream;

pub(crate) use self::{
    buffer::Buffer,
    stream::{Stream, Wire},
};
