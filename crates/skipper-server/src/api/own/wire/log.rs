use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line of an application's output; logs are a stream of these, one JSON document a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When it was written.
    pub at: String,
    /// The application.
    pub app: String,
    /// The deployment.
    pub deployment: String,
    /// Which instance.
    pub instance: u32,
    /// `stdout` or `stderr`; `skipper` for a message about the stream itself.
    pub stream: String,
    /// The line without its end.
    pub line: String,
}
