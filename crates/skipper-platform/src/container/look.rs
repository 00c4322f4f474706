//! What the engine says of one container.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status, PortMap};
use skipper_core::{
    deployment::{Deployment, Exit, Instance},
    port::Error,
    time::Timestamp,
};

use super::{account::Account, fault, prepare::container_ports, raw};

/// Above it a shell, an init and an engine tell of a signal.
const BY_SIGNAL: i64 = 128;
const SIGNALS: i64 = 31;

/// What is found under a container's name.
#[derive(Debug)]
pub(super) enum Looked {
    Absent,
    /// Made, and never started.
    Made(Seen),
    Running(Seen),
    /// The engine is about to start it again, or to remove it.
    Between(Seen, &'static str),
    Ended(Seen, Exit),
}

/// What is told of a container.
#[derive(Debug)]
pub(super) struct Seen {
    pub id: String,
    pub name: String,
    pub labels: HashMap<String, String>,
    /// The image it was made of, by the engine's own id.
    pub image: String,
    pub started_at: Timestamp,
    /// Of its first process, while it runs.
    pub pid: Option<i64>,
    /// What the image, or the spec, wants to be stopped by: `SIGTERM`.
    pub stop_signal: Option<String>,
    /// How often the engine itself has started it again.
    pub engine_restarts: u32,
    published: PortMap,
}

/// Looks, by name or id.
pub(super) async fn look(account: &Account, name: &str) -> Result<Looked, Error> {
    match raw::inspect(account, name).await {
        Ok(found) => Ok(understood(found)),
        Err(said) if fault::is_missing(&said) => Ok(Looked::Absent),
        Err(said) => Err(account.failed(format!("look at container {name}"), said)),
    }
}

fn understood(found: ContainerInspectResponse) -> Looked {
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let started = state.started_at.as_deref().and_then(time);
    let seen = Seen {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: config.labels.unwrap_or_default(),
        image: found.image.unwrap_or_default(),
        started_at: started.unwrap_or_default(),
        pid: state.pid.filter(|pid| *pid > 0),
        stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
        engine_restarts: found.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        published: found.network_settings.and_then(|network| network.ports).unwrap_or_default(),
    };
    match state.status {
        Some(Status::RUNNING | Status::PAUSED | Status::STOPPING) => Looked::Running(seen),
        Some(Status::RESTARTING) => Looked::Between(seen, "the engine is starting it again"),
        Some(Status::REMOVING) => Looked::Between(seen, "the engine is removing it"),
        Some(Status::EXITED | Status::DEAD) if started.is_some() => {
            let out_of_memory = state.oom_killed.unwrap_or_default();
            let at = state.finished_at.as_deref().and_then(time).unwrap_or(seen.started_at);
            Looked::Ended(seen, exit(state.exit_code, out_of_memory, at))
        }
        _ if state.running == Some(true) => Looked::Running(seen),
        _ => Looked::Made(seen),
    }
}

/// Engines tell a signal as 128 and its number.
fn exit(code: Option<i64>, out_of_memory: bool, at: Timestamp) -> Exit {
    let small = |number: i64| i32::try_from(number).ok();
    match code {
        Some(code) if (BY_SIGNAL + 1..=BY_SIGNAL + SIGNALS).contains(&code) => {
            Exit { code: None, signal: small(code - BY_SIGNAL), out_of_memory, at }
        }
        code => Exit { code: code.and_then(small), signal: None, out_of_memory, at },
    }
}

/// A time of an engine; `None` for the zero time, by which engines mean never.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    (at.as_second() > 0).then(|| Timestamp::from_micros(at.as_microsecond()))
}

impl Seen {
    /// As the port's instance. `restarts`: how often it was launched again by us.
    pub(super) fn instance(&self, account: &Account, deployment: &Deployment, index: u32, restarts: u32) -> Instance {
        let addresses = self.addresses(account, deployment);
        let mut attributes = BTreeMap::from([
            ("guid".to_owned(), format!("{}-{index}", deployment.deployer_id())),
            ("container.id".to_owned(), self.id.clone()),
            ("container.name".to_owned(), self.name.clone()),
            ("image.id".to_owned(), self.image.clone()),
        ]);
        let first = deployment.app.ports.first().and_then(|port| addresses.get(port.name.as_str()));
        if let Some(address) = first {
            attributes.insert("port".to_owned(), address.port().to_string());
            attributes.insert("url".to_owned(), format!("http://{address}"));
        }
        Instance {
            index,
            addresses,
            handle: self.id.chars().take(12).collect(),
            started_at: self.started_at,
            restarts: restarts.saturating_add(self.engine_restarts),
            attributes,
        }
    }

    fn addresses(&self, account: &Account, deployment: &Deployment) -> BTreeMap<String, SocketAddr> {
        let ip = account.config.settings.publish.filter(|ip| !ip.is_unspecified());
        let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let inside = container_ports(&deployment.app);
        let published = inside.into_iter().filter_map(|(name, port)| {
            let bindings = self.published.get(&format!("{port}/tcp"))?.as_ref()?;
            let host_port = bindings.iter().find_map(|one| one.host_port.as_deref()?.parse::<u16>().ok())?;
            (host_port > 0).then(|| (name, SocketAddr::new(ip, host_port)))
        });
        published.collect()
    }

    /// Whether every declared port can be reached.
    pub(super) fn is_published(&self, account: &Account, deployment: &Deployment) -> bool {
        self.addresses(account, deployment).len() == deployment.app.ports.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_above_128_is_a_signal_and_the_zero_time_is_never() {
        let at = Timestamp::from_micros(1);
        let seen = |code| (exit(Some(code), false, at).code, exit(Some(code), false, at).signal);
        assert_eq!(
            [seen(0), seen(128), seen(137), seen(255)],
            [(Some(0), None), (Some(128), None), (None, Some(9)), (Some(255), None)]
        );
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
        assert_eq!(time("1970-01-01T00:00:01.000002345+00:00"), Some(Timestamp::from_micros(1_000_002)));
        assert_eq!(time("1970-01-01T02:00:01+02:00"), Some(Timestamp::from_micros(1_000_000)));
    }
}
