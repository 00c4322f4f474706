//! What tenants' projects on a node write, and commands in them, by the node's link.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use skipper_core::{
    BoxStream,
    name::NodeName,
    port::{Error, ErrorKind, ExecOutput, LogChunk},
};
use skipper_source::fleet::{ProjectExec, ProjectExecuted, ProjectLogs};

use super::Fleet;

/// Time for a node to begin with its lines.
const PROMPT: Duration = Duration::from_secs(15);
/// Most bytes of a line of output, escaped, and of what stands around it.
const LINE: usize = (64 << 10) * 6 + (4 << 10);
/// Most bytes of a command's output, each character of it escaped.
const OUTPUT: usize = (1 << 20) * 6 + (4 << 10);

/// Lines as they come.
type Chunks = BoxStream<'static, Result<LogChunk, Error>>;

/// Opens the lines of a project.
///
/// # Errors
///
/// The node has no link, or nothing of that name; its agent is older than this server.
pub(super) async fn logs(fleet: &Fleet, node: &NodeName, asked: ProjectLogs) -> Result<Chunks, Error> {
    let reply = fleet.reached(node).node.open("/projects/logs", asked, PROMPT).await?;
    let state = Lines { pieces: reply.body, rest: BytesMut::new(), ready: VecDeque::new() };
    let lines = stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await {
            Ok(Some(line)) => Some((read(&line), Some(state))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(lines.boxed())
}

/// Runs a command in a project, in the first container of the service that is named or the only one.
///
/// # Errors
///
/// As [`logs`]; the command could not be run, or took too long.
pub(super) async fn exec(
    fleet: &Fleet,
    node: &NodeName,
    (project, service): (String, Option<&str>),
    command: &[String],
    deadline: Duration,
) -> Result<ExecOutput, Error> {
    // What the node says of a command that takes too long is better than silence.
    let within = deadline - (deadline / 10).min(Duration::from_secs(1));
    let deadline_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let asked = ProjectExec { project, service: service.map(str::to_owned), command: command.to_vec(), deadline_ms };
    let reached = fleet.reached(node);
    let ProjectExecuted { code, output } = reached.node.ask("/projects/exec", asked, deadline, OUTPUT).await?;
    Ok(ExecOutput { code, output })
}

fn read(line: &[u8]) -> Result<LogChunk, Error> {
    serde_json::from_slice(line).map_err(|error| {
        Error::new(ErrorKind::Permanent, "node-answer", "a line of the node's answer is no line of output")
            .because(error)
    })
}

/// Pieces of an answer, cut into lines.
struct Lines {
    pieces: BoxStream<'static, Result<Bytes, Error>>,
    rest: BytesMut,
    ready: VecDeque<BytesMut>,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<BytesMut>, Error> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let Some(piece) = self.pieces.next().await else { return Ok(None) };
            self.rest.extend_from_slice(&piece?);
            while let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(at + 1);
                if !line.trim_ascii().is_empty() {
                    self.ready.push_back(line);
                }
            }
            if self.rest.len() > LINE {
                return Err(Error::new(ErrorKind::Permanent, "node-answer", "a line of the node's answer never ends"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_told_apart_wherever_the_pieces_were_cut() {
        let pieces = ["a", "b\nc\n\nd", "", "e\n", "never ended"].map(|piece| Ok(Bytes::from(piece)));
        let mut lines = Lines { pieces: stream::iter(pieces).boxed(), rest: BytesMut::new(), ready: VecDeque::new() };
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.expect("bytes") {
            seen.push(String::from_utf8(line.to_vec()).expect("text"));
        }
        assert_eq!(seen, ["ab\n", "c\n", "de\n"]);
    }
}
