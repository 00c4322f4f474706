use serde::{Deserialize, Serialize};

use crate::{name::PortName, time::Millis};

/// How an instance shows that it is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Check {
    /// GET answers with an expected status.
    Http {
        /// Which port.
        port: PortName,
        /// Path and query.
        path: String,
        /// Accepted status codes, inclusive ranges.
        status: Vec<(u16, u16)>,
    },
    /// A TCP connection is accepted.
    Tcp {
        /// Which port.
        port: PortName,
    },
    /// As an application of Spring Boot shows it: the port is open, then `/actuator/health` (else `/health`) answers
    /// with 2xx. Where it has neither (404), or tells them only to those who log in (401, 403, a redirect), the open port
    /// is enough.
    Boot {
        /// Which port.
        port: PortName,
    },
    /// The command ends with status 0.
    Command {
        /// Program and arguments; run in the instance's environment.
        command: Vec<String>,
    },
    /// The process is there.
    Running,
}

impl Check {
    /// The port it asks, if any.
    #[must_use]
    pub const fn port(&self) -> Option<&PortName> {
        match self {
            Self::Http { port, .. } | Self::Tcp { port } | Self::Boot { port } => Some(port),
            Self::Command { .. } | Self::Running => None,
        }
    }
}

/// When an instance counts as healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The question.
    pub check: Check,
    /// Pause between two attempts.
    pub interval: Millis,
    /// Longest one attempt may take.
    pub timeout: Millis,
    /// Consecutive failures, after the start period, that make it unhealthy.
    pub retries: u32,
    /// Consecutive successes that make it healthy.
    pub successes: u32,
    /// Failures within this time after launch do not count. A grace, never a wait: a success counts at once.
    pub start_period: Millis,
    /// In a pod, the container that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl Health {
    /// `check` with the usual numbers: every 500 ms, 2 s an attempt, 3 failures after 60 s of grace, 1 success.
    #[must_use]
    pub const fn with_defaults(check: Check) -> Self {
        Self {
            check,
            interval: Millis(500),
            timeout: Millis(2000),
            retries: 3,
            successes: 1,
            start_period: Millis::secs(60),
            container: None,
        }
    }
}
