//! The wire types. Renaming or removing a field here breaks an edge of another release; adding one does not.
//!
//! Changing the meaning of something takes a new [`VERSION`]; the edge answers [`OLDEST`] to [`VERSION`], the one before
//! included, and `hello` agrees on the highest that both know.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};
use skipper_core::{
    deployment::DeploymentId,
    generation::Generation,
    name::AppName,
    route::{self, Host, Listener, Mode, PathPrefix, RouteKey, ServiceId},
    time::Millis,
};

/// The schema spoken here.
pub(crate) const VERSION: u32 = 1;
/// The oldest schema still understood.
pub(crate) const OLDEST: u32 = 1;

/// A request frame: version and operation, the operation's own fields beside them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call<T> {
    pub v: u32,
    pub op: String,
    #[serde(flatten)]
    pub body: T,
}

/// The part of a request that is read first.
#[derive(Debug, Deserialize)]
pub(crate) struct CallHead {
    #[serde(default)]
    pub v: u32,
    pub op: String,
}

/// An answer frame: exactly one of the two.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer<T> {
    pub v: u32,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub ok: Option<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

fn none<T>() -> Option<T> {
    None
}

/// Why an operation was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// `transient`, `permanent`, `fenced`, `unknown`, `not-found`; anything else is read as `unknown`.
    pub kind: String,
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// No fields.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Nothing {}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub oldest: u32,
    pub newest: u32,
}

/// What an edge says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeInfo {
    /// Schema version both sides speak.
    pub v: u32,
    /// Release of the edge.
    pub version: String,
    /// Another value after each start.
    pub boot: String,
    /// Its process id.
    pub pid: u32,
    /// The header value that asks who answered; see `x-skipper-verify`.
    pub verify_token: String,
    /// It was started from a snapshot or from nothing, and not told everything since.
    pub needs_sync: bool,
    /// Services it has.
    #[serde(default)]
    pub services: u64,
    /// Open listening sockets.
    #[serde(default)]
    pub listeners: Vec<ListenerInfo>,
    /// Listeners that routes need and that cannot be opened now.
    #[serde(default)]
    pub shut: Vec<ShutInfo>,
    /// What it was started for, as [`crate::EdgeConfig::origin`] has it.
    #[serde(default)]
    pub origin: Option<String>,
    /// Certificates that it orders itself; `None` where it orders none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeInfo>,
}

/// The certificates that an edge has from an authority.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeInfo {
    /// The authority's directory.
    pub directory: String,
    /// Why the authority cannot be asked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When it is asked again, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<u64>,
    /// Names with a certificate.
    #[serde(default)]
    pub valid: u64,
    /// Names whose first certificate is awaited.
    #[serde(default)]
    pub pending: u64,
    /// Names whose certificate cannot be had or renewed now.
    #[serde(default)]
    pub failing: u64,
    /// Name by name, at most 100, those that are not well first.
    #[serde(default)]
    pub certificates: Vec<CertificateInfo>,
}

/// A name that an edge has, or wants, a certificate for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateInfo {
    /// The host name.
    pub host: String,
    /// `valid`, `renewing`, `pending` or `failing`.
    pub state: String,
    /// When the certificate that is served ends, in seconds since 1970; `None` while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What went wrong with the last order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Failed orders in a row.
    #[serde(default)]
    pub failures: u32,
    /// When it is ordered again after a failure, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<u64>,
}

/// A listener that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutInfo {
    /// `http`, `https` or `:port`.
    pub listener: String,
    /// Why, and what to do where that is known.
    pub reason: String,
}

/// One listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerInfo {
    /// `http`, `https` or `:port`.
    pub listener: String,
    /// Where it is bound.
    pub address: SocketAddr,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SetBody {
    pub service: Service,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CheckBody {
    pub routes: Vec<Route>,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RemoveBody {
    pub release: String,
    pub app: String,
    pub generation: Generation,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SyncBody {
    pub services: Vec<Service>,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DrainBody {
    pub deployment: String,
    pub bound_ms: u64,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Left {
    pub left: u64,
}
/// Asked of a predecessor: its requests in flight, but for addresses that stay in the table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InFlightBody {
    pub deployment: String,
    pub keep: Vec<SocketAddr>,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StatsBody {
    pub deployment: String,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TableBody {
    #[serde(default)]
    pub after: Option<String>,
    #[serde(default)]
    pub limit: Option<u32>,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TablePage {
    pub rows: Vec<TableRow>,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShutdownBody {
    pub bound_ms: u64,
}
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Text {
    pub text: String,
}

/// What a successor is given, followed by the descriptors: the control socket first, then one for each listener.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Estate {
    pub listeners: Vec<ListenerInfo>,
    pub services: Vec<Service>,
    pub tombstones: Vec<RemoveBody>,
    pub needs_sync: bool,
}

/// One service in the edge's table, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    /// The whole service.
    #[serde(flatten)]
    pub service: Service,
    /// Requests in flight by deployment.
    #[serde(default)]
    pub in_flight: BTreeMap<String, u64>,
}

/// A service as it is written in frames, snapshot and journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The release's id.
    pub release: String,
    /// The application's name.
    pub app: String,
    /// For people.
    #[serde(default)]
    pub label: String,
    /// Checked before it is taken.
    pub generation: Generation,
    /// Ways in.
    pub routes: Vec<Route>,
    /// Where requests go.
    pub backends: Vec<Backend>,
    /// `open`, `held`, `maintenance`.
    pub mode: String,
    /// Longest wait when held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
    /// The maintenance page's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A route on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `http`, `https` or `:port`.
    pub listener: String,
    /// Host name, `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Path prefix.
    pub path: String,
    /// Name of the application's port.
    pub port: String,
}

/// A backend on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Deployment id.
    pub deployment: String,
    /// Revision.
    pub revision: u64,
    /// Share of new requests.
    pub weight: u8,
    /// Addresses by port name.
    pub addresses: BTreeMap<String, Vec<SocketAddr>>,
}

/// A frame that says something impossible.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

fn malformed(error: impl std::fmt::Display) -> Malformed {
    Malformed(error.to_string())
}

/// Reads `http`, `https` or `:port`.
pub(crate) fn listener(text: &str) -> Result<Listener, Malformed> {
    match text {
        "http" => Ok(Listener::Http),
        "https" => Ok(Listener::Https),
        // Refused later, with a better reason.
        "auto" => Ok(Listener::Auto),
        other => other
            .strip_prefix(':')
            .and_then(|port| port.parse().ok())
            .map(Listener::Port)
            .ok_or_else(|| Malformed(format!("`{other}` is not a listener: http, https or :port"))),
    }
}

impl From<&RouteKey> for Route {
    /// Of no particular port.
    fn from(key: &RouteKey) -> Self {
        Self {
            listener: key.listener.to_string(),
            host: key.host.as_ref().map(|host| host.as_str().to_owned()),
            path: key.path.as_str().to_owned(),
            port: String::new(),
        }
    }
}

impl TryFrom<&Route> for RouteKey {
    type Error = Malformed;

    fn try_from(route: &Route) -> Result<Self, Malformed> {
        Ok(Self {
            listener: listener(&route.listener)?,
            host: route.host.as_deref().map(Host::new).transpose().map_err(malformed)?,
            path: PathPrefix::new(&route.path).map_err(malformed)?,
        })
    }
}

impl From<&route::Service> for Service {
    fn from(service: &route::Service) -> Self {
        let route = |port: &String, key: &RouteKey| Route { port: port.clone(), ..Route::from(key) };
        let backend = |backend: &route::Backend| Backend {
            deployment: backend.deployment.as_str().to_owned(),
            revision: backend.revision,
            weight: backend.weight,
            addresses: backend.addresses.clone(),
        };
        let (mode, hold_ms, message) = match &service.mode {
            Mode::Open => ("open", None, None),
            Mode::Held { bound } => ("held", Some(bound.0), None),
            Mode::Maintenance { message } => ("maintenance", None, Some(message.clone())),
        };
        Self {
            release: service.id.release.to_string(),
            app: service.id.app.as_str().to_owned(),
            label: service.label.clone(),
            generation: service.generation,
            routes: service
                .routes
                .iter()
                .flat_map(|(port, keys)| keys.iter().map(move |key| route(port, key)))
                .collect(),
            backends: service.backends.iter().map(backend).collect(),
            mode: mode.to_owned(),
            hold_ms,
            message,
        }
    }
}

impl TryFrom<Service> for route::Service {
    type Error = Malformed;

    fn try_from(wire: Service) -> Result<Self, Malformed> {
        let mut routes: BTreeMap<String, Vec<RouteKey>> = BTreeMap::new();
        for route in wire.routes {
            let key = RouteKey::try_from(&route)?;
            routes.entry(route.port).or_default().push(key);
        }
        let backends = wire.backends.into_iter().map(|backend| route::Backend {
            deployment: DeploymentId::from_stored(backend.deployment),
            revision: backend.revision,
            weight: backend.weight,
            addresses: backend.addresses,
        });
        let mode = match wire.mode.as_str() {
            "open" => Mode::Open,
            "held" => Mode::Held { bound: Millis(wire.hold_ms.unwrap_or(60_000)) },
            "maintenance" => Mode::Maintenance { message: wire.message.unwrap_or_default() },
            other => return Err(Malformed(format!("this edge does not know the mode `{other}`: upgrade the edge"))),
        };
        Ok(Self {
            id: service_id(&wire.release, wire.app)?,
            label: wire.label,
            generation: wire.generation,
            routes,
            backends: backends.collect(),
            mode,
        })
    }
}

/// Reads a service's id.
pub(crate) fn service_id(release: &str, app: String) -> Result<ServiceId, Malformed> {
    Ok(ServiceId { release: release.parse().map_err(malformed)?, app: AppName::new(app).map_err(malformed)? })
}
