//! HTTP/1.1 on both sides: our own, on `httparse`.
//!
//! It is written for a proxy: a head is read, checked and written anew in one pass over the bytes, fields keep their order
//! and spelling, and bodies go from buffer to socket. Whoever reads the head must see every field, since a message with two
//! lengths is refused; a library that drops one of them silently cannot be used on this side.

mod body;
mod chunked;
mod exchange;
mod flow;
mod request;
mod response;
mod serve;
mod tunnel;

pub(crate) use self::{
    body::{Decoder, Length, Step},
    flow::{Encoder, write_chunk, write_last_chunk},
    request::{decimal, write_field},
    response::{AnswerBody, Answered, Fields, read as read_response},
    serve::{End, serve},
};
