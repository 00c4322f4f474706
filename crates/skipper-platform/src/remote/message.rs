//! What is written into bodies. Renaming or removing a field here breaks agents of another release; adding one that may be
//! missing does not.
//!
//! Arguments are generic in what they hold, so that one shape serves both sides: the server writes references, the node
//! reads values. None of these can be shown, since some hold secrets.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use skipper_core::{
    Sha256,
    deployment::DeploymentId,
    generation::Generation,
    name::{PlatformName, SecretName},
    port::{Capabilities, Description, Error, ErrorKind, Garbage, LogChunk},
    rollout::plan::Instances,
    secret::{SecretValue, SecretValues},
    spec::Application,
    time::Timestamp,
};
use zeroize::Zeroizing;

use super::{MAX_REQUEST, OLDEST, PROMPT, VERSION};

/// What a node says of itself when it is greeted: to be kept, so that it is known while the node is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The oldest schema that the agent understands.
    pub oldest: u32,
    /// The newest one.
    pub newest: u32,
    /// The agent's release.
    pub release: String,
    /// The node's clock.
    pub at: Timestamp,
    /// Its accounts, by the names that they have there.
    pub platforms: BTreeMap<PlatformName, Description>,
    /// Whether it has an edge, so that what runs there can be routed to.
    pub edge: bool,
}

impl Greeting {
    /// What an account there can do. Traffic never goes through the server's edge, which cannot reach the node.
    pub(super) fn capabilities(&self, account: &PlatformName) -> Option<Capabilities> {
        let told = self.platforms.get(account)?;
        Some(Capabilities { routes: true, ..told.capabilities.clone() })
    }
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    /// `transient`, `permanent`, `damaged`, `fenced`, `unknown`, `not-found`; anything else is read as `unknown`.
    pub kind: String,
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The causes, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// A request.
#[derive(Serialize, Deserialize)]
pub(super) struct Ask<T> {
    pub v: u32,
    /// How long the caller waits, less what the way back takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    pub with: T,
}

/// The part of a request that is read where the whole is not understood.
#[derive(Deserialize)]
struct AskHead {
    v: u32,
}

impl<T> Ask<T> {
    pub(super) fn deadline(&self) -> Duration {
        self.deadline_ms.map_or(PROMPT, Duration::from_millis)
    }
}

/// Writes a request.
///
/// # Errors
///
/// Permanent: it is longer than [`MAX_REQUEST`].
pub(super) fn write(path: &str, deadline: Option<Duration>, with: impl Serialize) -> Result<Bytes, Error> {
    let deadline_ms = deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
    let ask = Ask { v: VERSION, deadline_ms, with };
    let bytes = serde_json::to_vec(&ask).map(Zeroizing::new).map_err(|error| {
        Error::new(ErrorKind::Permanent, "request-invalid", format!("write the request `{path}`")).because(error)
    })?;
    if bytes.len() > MAX_REQUEST {
        let message =
            format!("the request `{path}` has {} bytes, more than the {MAX_REQUEST} that a node takes", bytes.len());
        return Err(Error::new(ErrorKind::Permanent, "request-too-large", message));
    }
    // Wiped when it was sent: there may be secrets in it.
    Ok(Bytes::from_owner(bytes))
}

/// Reads a request.
///
/// # Errors
///
/// Permanent: it is too long, or of another schema, or not understood. None of them says what the request held.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<Ask<T>, Error> {
    if body.len() > MAX_REQUEST {
        let message = format!("the request has more than {MAX_REQUEST} bytes");
        return Err(Error::new(ErrorKind::Permanent, "request-too-large", message));
    }
    let foreign = |v: u32| {
        let message =
            format!("the agent understands versions {OLDEST} to {VERSION} of the link, the request is of {v}");
        let hint = if v > VERSION { "update the agent" } else { "update the server" };
        Error::new(ErrorKind::Permanent, "link-version", message).hint(hint)
    };
    let known = |v: &u32| (OLDEST..=VERSION).contains(v);
    match serde_json::from_slice::<Ask<T>>(body) {
        Ok(ask) if known(&ask.v) => Ok(ask),
        Ok(ask) => Err(foreign(ask.v)),
        Err(error) => match serde_json::from_slice::<AskHead>(body) {
            Ok(head) if !known(&head.v) => Err(foreign(head.v)),
            // Where it is, and not what is there.
            _ => Err(Error::new(
                ErrorKind::Permanent,
                "request-invalid",
                format!("the agent does not understand the request (line {}, column {})", error.line(), error.column()),
            )
            .hint("let server and agent be of the same release")),
        },
    }
}

/// No arguments, or nothing to answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nothing {}

#[derive(Serialize, Deserialize)]
pub(super) struct Fetch<R> {
    pub resource: R,
}

/// Of `fetch_for`, `pin` and `review`.
#[derive(Serialize, Deserialize)]
pub(super) struct OfApp<A> {
    pub app: A,
}

/// Of `review`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reviewed {
    pub app: Application,
    pub told: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FilesOf<R, P> {
    pub resource: R,
    pub paths: Vec<P>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Launch<D, S> {
    pub deployment: D,
    pub instances: Instances,
    pub secrets: S,
    pub generation: Generation,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Observe<D> {
    pub deployment: D,
    pub instances: Instances,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Probe<D, I> {
    pub deployment: D,
    pub instance: I,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Retire<D> {
    pub deployment: D,
    pub instances: Instances,
    pub last: bool,
    pub generation: Generation,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OfDeployment<I> {
    pub deployment: I,
}

/// Of `clear`.
#[derive(Serialize, Deserialize)]
pub(super) struct Clear {
    pub resources: BTreeSet<Sha256>,
    #[serde(default)]
    pub adopted: BTreeSet<Sha256>,
    pub idle_ms: u64,
    pub limit: usize,
}

impl From<&Garbage> for Clear {
    fn from(garbage: &Garbage) -> Self {
        Self {
            resources: garbage.resources.clone(),
            adopted: garbage.adopted.clone(),
            idle_ms: u64::try_from(garbage.idle.as_millis()).unwrap_or(u64::MAX),
            limit: garbage.limit,
        }
    }
}

impl From<&Clear> for Garbage {
    fn from(clear: &Clear) -> Self {
        let idle = Duration::from_millis(clear.idle_ms);
        Self { resources: clear.resources.clone(), adopted: clear.adopted.clone(), idle, limit: clear.limit }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Labelled {
    pub labels: Vec<(String, String)>,
}

/// Of `remove_foreign`.
#[derive(Serialize, Deserialize)]
pub(super) struct ById<T> {
    pub id: T,
}

/// Of `remove_foreign_pod`.
#[derive(Serialize, Deserialize)]
pub(super) struct ByName<T> {
    pub name: T,
}

/// Of `hold_foreign` and `resume_foreign`.
#[derive(Serialize, Deserialize)]
pub(super) struct Rename<T> {
    pub id: T,
    pub name: T,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Exec<D, N, C> {
    pub deployment: D,
    pub instance: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<N>,
    pub command: C,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RunHook<I, D, H, S> {
    pub id: I,
    pub deployment: D,
    pub hook: H,
    pub secrets: S,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SetService<S> {
    pub service: S,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RemoveService<I> {
    pub id: I,
    pub generation: Generation,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CheckRoutes<K> {
    pub routes: K,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SyncServices<S> {
    pub services: S,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Drain<I> {
    pub deployment: I,
    pub bound_ms: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Verify<K, P> {
    pub route: K,
    pub path: P,
}

/// A line of `logs`. The last one is `end`: without it, the stream was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLine {
    Line(LogChunk),
    Error(Fault),
    End,
}

/// A line of `changes`: something may have changed on that account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    pub platform: String,
}

/// A line of JSON.
pub(super) fn line(what: &impl Serialize, into: &mut Vec<u8>) {
    let before = into.len();
    // Text and numbers can always be written.
    if serde_json::to_writer(&mut *into, what).is_err() {
        into.truncate(before);
        return;
    }
    into.push(b'\n');
}

/// Clear values as they are written into a body.
pub(super) struct Exposed<'a>(pub &'a SecretValues);

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value.expose())))
    }
}

/// The same as they are read out of it.
pub(super) struct Taken(pub SecretValues);

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let clear = BTreeMap::<SecretName, String>::deserialize(deserializer)?;
        Ok(Self(clear.into_iter().map(|(name, value)| (name, SecretValue::new(value))).collect()))
    }
}

/// Of `files_of`: the files in base64.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Files(pub BTreeMap<String, Vec<u8>>);

impl Serialize for Files {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        serializer.collect_map(self.0.iter().map(|(path, bytes)| (path, STANDARD.encode(bytes))))
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let files = BTreeMap::<String, String>::deserialize(deserializer)?;
        let read =
            |(path, text): (String, String)| Ok((path, STANDARD.decode(text).map_err(serde::de::Error::custom)?));
        files.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// Of `drain`.
#[derive(Serialize, Deserialize)]
pub(super) struct Left {
    pub left: u64,
}

/// Of `needs_sync`.
#[derive(Serialize, Deserialize)]
pub(super) struct Needs {
    pub needs_sync: bool,
}

/// Names a deployment on the wire.
pub(super) type Named = OfDeployment<DeploymentId>;
