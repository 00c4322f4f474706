use std::{fmt, time::Duration};

/// Why a call to the server did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) enum Fault {
    /// The request never left: the server is not there, or not for this node.
    Unreachable(String),
    /// It left, and the answer did not come whole: it may have taken effect.
    Cut(String),
    /// The server, or somebody before it, cannot answer now.
    Busy {
        /// Of HTTP.
        status: u16,
        /// When to come back, if that was said.
        after: Option<Duration>,
        /// As the server has it.
        message: String,
    },
    /// The token is not good: 401 or 403.
    Denied(String),
    /// There is no such thing, or not for this node: 404.
    Absent(String),
    /// Server and agent do not speak the same protocol.
    Protocol(String),
    /// Any other refusal; asking again would change nothing.
    Refused {
        /// Of HTTP.
        status: u16,
        /// The stable word.
        code: String,
        /// As the server has it.
        message: String,
    },
    /// The answer is none of Skipper's.
    Unreadable(String),
}

impl Fault {
    /// A word that changes when it is another trouble than before.
    pub(in crate::agent) const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Cut(_) => "cut",
            Self::Busy { .. } => "busy",
            Self::Denied(_) => "denied",
            Self::Absent(_) => "absent",
            Self::Protocol(_) => "protocol",
            Self::Refused { .. } => "refused",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Whether only a person can mend it.
    pub(in crate::agent) const fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Denied(_) | Self::Absent(_) | Self::Protocol(_) | Self::Refused { .. } | Self::Unreadable(_)
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the server cannot be reached: {why}"),
            Self::Cut(why) => write!(f, "the connection to the server broke: {why}"),
            Self::Busy { status, message, .. } => write!(f, "the server cannot answer now ({status}): {message}"),
            Self::Denied(message) => write!(
                f,
                "the server does not let this node in: {message}; register the node if it is new, or give the agent its present token \
                 (`skipper node rotate-token` makes another)"
            ),
            Self::Absent(message) => write!(
                f,
                "the server does not know this node: {message}; register it with `skipper node register`, or mend AGENT_ID or SKIPPER_URL"
            ),
            Self::Protocol(message) => f.write_str(message),
            Self::Refused { status, code, message } => write!(f, "the server refuses ({status} {code}): {message}"),
            Self::Unreadable(why) => {
                write!(f, "what answers is no Skipper server: {why}; mend SKIPPER_URL, or what stands between")
            }
        }
    }
}
