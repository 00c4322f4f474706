use std::{net::SocketAddr, time::Duration};

use hyper::StatusCode;
use tokio::time::Instant;

use super::{Outcome, http, tcp};

/// Where an application of Spring Boot tells its health: since version 2, and before it.
const PATHS: [&str; 2] = ["/actuator/health", "/health"];
/// A group that is down is told by 503, as is everything else that keeps an application from being well.
const WELL: [(u16, u16); 1] = [(200, 299)];

/// Whether the port is open and, where the application tells its health to everybody, it is well; within `timeout`.
pub async fn check(address: SocketAddr, timeout: Duration) -> Outcome {
    let begun = Instant::now();
    let open = tcp(address, timeout).await;
    if !open.ok {
        return open;
    }
    for path in PATHS {
        let asked = Instant::now();
        let mut outcome = match http::get(address, path, timeout.saturating_sub(begun.elapsed())).await {
            Ok(status) if tells_nothing(status) => continue,
            Ok(status) => http::judge(status, &WELL, asked),
            Err(failed) => failed,
        };
        outcome.detail = format!("{path}: {}", outcome.detail);
        return outcome;
    }
    Outcome::good(format!("{}, and tells no health", open.detail))
}

/// Not there, or only for those who log in, some of whom are sent to a page for that.
fn tells_nothing(status: StatusCode) -> bool {
    status.is_redirection()
        || matches!(status, StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}
