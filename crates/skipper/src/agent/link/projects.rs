//! What a tenant's project on this node writes, and commands in it.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::StatusCode;
use serde::Deserialize;
use skipper_core::port::{Error, ErrorKind};
use skipper_platform::remote::Reply;
use skipper_source::fleet::{ProjectExec, ProjectExecuted, ProjectLogs};

use super::answer::whole;
use crate::agent::compose::Compose;

/// Longest that a command may take.
const LONGEST: Duration = Duration::from_secs(3600);

/// What every call of a link has around its arguments, as far as it matters here.
#[derive(Deserialize)]
struct Ask<T> {
    with: T,
}

/// A line of JSON for each line of output, as they come.
pub(super) async fn logs(compose: &Compose, body: &[u8]) -> Reply {
    let asked = match serde_json::from_slice::<Ask<ProjectLogs>>(body) {
        Ok(Ask { with }) => with,
        Err(error) => return unreadable(&error),
    };
    match compose.logs(&asked).await {
        Ok(lines) => {
            let lines = lines.map(|line| {
                let mut text = serde_json::to_vec(&line?).unwrap_or_default();
                text.push(b'\n');
                Ok(Bytes::from(text))
            });
            Reply { status: StatusCode::OK.as_u16(), body: lines.boxed() }
        }
        Err(error) => Reply::refused(&error),
    }
}

/// How a command ended.
pub(super) async fn exec(compose: &Compose, body: &[u8]) -> Reply {
    let asked = match serde_json::from_slice::<Ask<ProjectExec>>(body) {
        Ok(Ask { with }) => with,
        Err(error) => return unreadable(&error),
    };
    let within = Duration::from_millis(asked.deadline_ms).min(LONGEST);
    match compose.exec(&asked, within).await {
        Ok(done) => {
            let done = ProjectExecuted { code: done.code, output: done.output };
            whole(StatusCode::OK, serde_json::to_vec(&done).unwrap_or_default())
        }
        Err(error) => Reply::refused(&error),
    }
}

fn unreadable(error: &serde_json::Error) -> Reply {
    let what = format!("the request cannot be read: {error}");
    Reply::refused(&Error::new(ErrorKind::Permanent, "request-unreadable", what).hint("update the agent"))
}
