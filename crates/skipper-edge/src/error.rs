use std::{io, net::SocketAddr, path::PathBuf};

use skipper_core::route::Listener;

/// Why an edge could not start or go on. The cause is the `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder or file of the edge's own state.
    #[error("use {} as the edge's state: check that it is a folder this user may write", path.display())]
    State {
        /// Which path.
        path: PathBuf,
        /// What went wrong.
        #[source]
        cause: io::Error,
    },
    /// The control socket.
    #[error("open the control socket {}", path.display())]
    Control {
        /// Its path.
        path: PathBuf,
        /// What went wrong.
        #[source]
        cause: io::Error,
    },
    /// The folder of the control socket is not ours.
    #[error("{} belongs to another user: remove it, or choose another control socket", path.display())]
    ControlFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A listening socket.
    #[error("listen on {address} for {listener}")]
    Listen {
        /// What it is for.
        listener: Listener,
        /// Where.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        cause: io::Error,
    },
    /// Certificates.
    #[error("load the certificate {}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A running edge answered, and would not hand over.
    #[error("take over from the running edge: {reason}")]
    Handover {
        /// What it said, or what failed.
        reason: String,
    },
    /// It was told to end before it served.
    #[error("told to end before it served; an edge that ran before goes on")]
    Interrupted,
    /// The operating system refused a thread, timer or signal handler.
    #[error("start the edge's {what}")]
    System {
        /// What was to be started.
        what: &'static str,
        /// What went wrong.
        #[source]
        cause: io::Error,
    },
}

impl Error {
    /// The message and all its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}
