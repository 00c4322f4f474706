use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use skipper_core::port::{Error, ErrorKind};
use tokio::net::UnixStream;

use super::{
    frame,
    socket::connect,
    wire::{Answer, Call, Fault, VERSION},
};

/// Connections kept for the next call. A drain holds one for as long as it waits, so calls do come side by side.
const IDLE: usize = 8;

/// Pause before a call is repeated that came in the middle of a handover, which takes some milliseconds.
const HANDOVER: Duration = Duration::from_millis(20);

/// Calls an edge over its control socket. Connects when needed; a connection that was closed meanwhile is replaced.
#[derive(Debug)]
pub(crate) struct Client {
    path: PathBuf,
    idle: Mutex<Vec<UnixStream>>,
}

impl Client {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Performs one operation. Every operation of the schema is idempotent, so one whose connection turns out to be
    /// closed is sent again on a new one.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: the connection is then closed and never used for another call. The edge may have done it or not.
    pub(crate) async fn call<Q, A>(&self, op: &str, body: Q, deadline: Duration) -> Result<A, Error>
    where
        Q: Serialize,
        A: DeserializeOwned,
    {
        let bytes = frame::encode(&Call { v: VERSION, op: op.to_owned(), body }).map_err(|error| {
            Error::new(ErrorKind::Permanent, "edge-frame", format!("write the edge's `{op}`")).because(error)
        })?;
        match tokio::time::timeout(deadline, self.settled(op, &bytes)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(Failure::Connect(error))) => Err(self.unreachable(error)),
            Ok(Err(Failure::Talk(error))) => {
                Err(Error::new(ErrorKind::Unknown, "edge-silent", format!("hear the edge's answer to `{op}`"))
                    .because(error))
            }
            Err(_) => Err(Error::new(
                ErrorKind::Unknown,
                "edge-timeout",
                format!("the edge did not answer `{op}` within {} ms", deadline.as_millis()),
            )
            .hint("look at edge/edge.log in the data directory; `skipper edge --help` tells how to run one alone")),
        }
    }

    /// Asks until the edge that answers is not about to be replaced.
    async fn settled<A: DeserializeOwned>(&self, op: &str, bytes: &[u8]) -> Result<Result<A, Error>, Failure> {
        loop {
            match read(op, &self.exchange(bytes).await?) {
                Err(error) if error.code() == "handing-over" => tokio::time::sleep(HANDOVER).await,
                answer => return Ok(answer),
            }
        }
    }

    async fn exchange(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let first = match kept {
            Some(stream) => stream,
            None => connect(&self.path).await.map_err(Failure::Connect)?,
        };
        if let Ok(answer) = self.talk(first, bytes).await {
            return Ok(answer);
        }
        // Kept connections break together, when an edge is replaced; only a new one tells whether somebody is there.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let stream = connect(&self.path).await.map_err(Failure::Connect)?;
        self.talk(stream, bytes).await.map_err(Failure::Talk)
    }

    async fn talk(&self, mut stream: UnixStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
        tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await?;
        let answer = frame::read(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(stream);
        }
        Ok(answer)
    }

    fn unreachable(&self, error: io::Error) -> Error {
        let message = format!("connect to the edge at {}", self.path.display());
        Error::new(ErrorKind::Transient, "edge-unreachable", message)
            .hint("the server starts the edge again within a second; if this stays, look at edge/edge.log")
            .because(error)
    }
}

enum Failure {
    Connect(io::Error),
    Talk(io::Error),
}

fn read<A: DeserializeOwned>(op: &str, bytes: &[u8]) -> Result<A, Error> {
    let unreadable = |cause: String| {
        Error::new(ErrorKind::Unknown, "edge-answer", format!("understand the edge's answer to `{op}`")).because(cause)
    };
    let answer: Answer<A> = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    match (answer.ok, answer.error) {
        (Some(ok), _) => Ok(ok),
        (None, Some(fault)) => Err(refusal(fault)),
        (None, None) => Err(unreadable("neither `ok` nor `error` is there".to_owned())),
    }
}

fn refusal(fault: Fault) -> Error {
    let kind = match fault.kind.as_str() {
        "transient" => ErrorKind::Transient,
        "permanent" => ErrorKind::Permanent,
        "fenced" => ErrorKind::Fenced,
        "not-found" => ErrorKind::NotFound,
        _ => ErrorKind::Unknown,
    };
    // Codes are static in core, so that nobody invents them at run time: those of the schema are listed here.
    let code = CODES.iter().copied().find(|code| *code == fault.code).unwrap_or("edge-refused");
    let error = Error::new(kind, code, fault.message);
    match fault.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Every code that an edge answers with.
const CODES: [&str; 14] = [
    "edge-version",
    "unknown-op",
    "bad-request",
    "stale-generation",
    "route-taken",
    "port-taken",
    "port-refused",
    "listen-failed",
    "no-listener",
    "no-certificate",
    "auto-port",
    "journal-failed",
    "handing-over",
    "unknown-deployment",
];
