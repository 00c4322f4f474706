//! Work that a caller waits for only so long: it goes on in a task of its own, and is found again by looking.

use std::time::Duration;

use skipper_core::port::{Error, ErrorKind};
use tokio_util::task::TaskTracker;

/// Does the work in a task of its own and waits for it, at most for `deadline`.
///
/// # Errors
///
/// The work's own, and [`ErrorKind::Unknown`] when it took longer or was ended.
///
/// # Cancel safety
///
/// Safe to drop: the work goes on.
pub(crate) async fn within<T: Send + 'static>(
    tasks: &TaskTracker,
    what: &'static str,
    deadline: Duration,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::time::timeout(deadline, tasks.spawn(work)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(cause)) => Err(Error::new(ErrorKind::Unknown, "interrupted", what).because(cause)),
        Err(_) => Err(late(what, deadline)),
    }
}

/// That it is not done in time.
pub(crate) fn late(what: &str, deadline: Duration) -> Error {
    let message = format!("{what}: not done after {} ms; it goes on", deadline.as_millis());
    Error::new(ErrorKind::Unknown, "deadline", message)
}
