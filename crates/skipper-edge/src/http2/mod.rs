//! HTTP/2 from clients, by `hyper`; instances are spoken to in HTTP/1.1 all the same.

mod answer;
mod pump;
mod request;
mod serve;

pub(crate) use self::serve::serve;
