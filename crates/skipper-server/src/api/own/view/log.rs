use skipper_core::{port::LogStreamKind, time::Timestamp};

use super::time;
use crate::{api::own::wire::LogLine, verb::logs::Line};

/// One line of output; a failure to read more is a line of its own.
pub(crate) fn line(line: &Line, now: Timestamp) -> LogLine {
    let (at, instance, stream, text) = match &line.chunk {
        Ok(chunk) => {
            let stream = match chunk.stream {
                LogStreamKind::Stdout => "stdout",
                LogStreamKind::Stderr => "stderr",
            };
            (chunk.at, chunk.instance, stream, chunk.line.clone())
        }
        Err(error) => (now, 0, "skipper", error.chain()),
    };
    LogLine {
        at: time(at),
        app: line.app.to_string(),
        deployment: line.deployment.clone(),
        instance,
        stream: stream.to_owned(),
        line: text,
    }
}
