use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::Instant};

use super::{Outcome, io_words, timed_out};

/// How long a proxy that accepted a connection may take to find that nobody takes it behind. On the same machine it knows at once.
const REFUSAL: Duration = Duration::from_millis(100);

/// Whether a TCP connection is accepted within `timeout`.
pub async fn check(address: SocketAddr, timeout: Duration) -> Outcome {
    let begun = Instant::now();
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Err(_) => timed_out(timeout),
        Ok(Err(error)) => Outcome::bad(io_words(&error)),
        Ok(Ok(_)) => Outcome::good(format!("connected in {} ms", begun.elapsed().as_millis())),
    }
}

/// As [`check`], where a proxy accepts connections in the name of what runs behind it: one that nobody takes there is closed
/// again at once.
pub async fn check_behind(address: SocketAddr, timeout: Duration) -> Outcome {
    let begun = Instant::now();
    let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Err(_) => return timed_out(timeout),
        Ok(Err(error)) => return Outcome::bad(io_words(&error)),
        Ok(Ok(stream)) => stream,
    };
    let took = begun.elapsed().as_millis();
    match tokio::time::timeout(REFUSAL, stream.peek(&mut [0])).await {
        Ok(Ok(0) | Err(_)) => Outcome::bad("nothing listens there: the connection was closed at once"),
        Err(_) | Ok(Ok(_)) => Outcome::good(format!("connected in {took} ms")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_connection_that_is_closed_at_once_is_none_behind_a_proxy() {
        for (says, waits, expected) in [(false, false, false), (false, true, true), (true, false, true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            let address = listener.local_addr().expect("it listens");
            let server = async {
                let (mut stream, _) = listener.accept().await.expect("somebody comes");
                if says {
                    stream.write_all(b"220 ready").await.expect("it is open");
                }
                if waits {
                    std::future::pending::<()>().await;
                }
            };
            let outcome = tokio::select! {
                outcome = check_behind(address, PATIENCE) => outcome,
                never = async {
                    server.await;
                    std::future::pending().await
                } => never,
            };
            assert_eq!(outcome.ok, expected, "{}", outcome.detail);
        }
    }
}
