use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::{Outcome, http, tcp};

/// Where an application of Spring Boot tells its health: since version 2, and before it.
const PATHS: [&str; 2] = ["/actuator/health", "/health"];
/// Not there, or only for those who log in: then nothing more can be learned.
const SILENT: [&str; 3] = ["404", "401", "403"];

/// Whether the port is open and, where the application tells its health to everybody, it is well; within `timeout`.
pub async fn check(address: SocketAddr, timeout: Duration) -> Outcome {
    let begun = Instant::now();
    let open = tcp(address, timeout).await;
    if !open.ok {
        return open;
    }
    for path in PATHS {
        let mut answer = http(address, path, &[(200, 299)], timeout.saturating_sub(begun.elapsed())).await;
        let silent = SILENT.iter().any(|status| answer.detail.starts_with(status));
        if answer.ok || !silent {
            answer.detail = format!("{path}: {}", answer.detail);
            return answer;
        }
    }
    Outcome::good(format!("{}, and tells no health", open.detail))
}
