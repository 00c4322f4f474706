use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::Instant};

use super::{Outcome, io_words, timed_out};

/// Whether a TCP connection is accepted within `timeout`.
pub async fn check(address: SocketAddr, timeout: Duration) -> Outcome {
    let begun = Instant::now();
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Err(_) => timed_out(timeout),
        Ok(Err(error)) => Outcome::bad(io_words(&error)),
        Ok(Ok(_)) => Outcome::good(format!("connected in {} ms", begun.elapsed().as_millis())),
    }
}
