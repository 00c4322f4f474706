//! What the engine says of a project's containers.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status, HealthStatusEnum, RestartPolicyNameEnum,
};
use skipper_core::port::Error;

use super::report::ServiceReport;
use crate::container::{account::Account, fault, look::time, raw};

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const NUMBER: &str = "com.docker.compose.container-number";
const FOLDER: &str = "com.docker.compose.project.working_dir";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// A container of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Of which service.
    pub service: String,
    /// Which of its containers, from 1.
    pub number: u32,
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The engine's word: `running`, `exited`, `restarting`, …
    pub state: String,
    /// What its own check says: `starting`, `healthy`, `unhealthy`; `None` when it has none.
    pub health: Option<String>,
    /// What that check printed last.
    pub health_said: Option<String>,
    /// How it ended last.
    pub exit_code: Option<i64>,
    /// When it was started last, by the engine's clock; empty when never.
    pub started_at: String,
    /// How often the engine has started it again.
    pub restarts: u32,
    /// Whether the engine starts it again when it ends.
    pub is_restarted: bool,
    /// The folder that compose made it from.
    pub folder: Option<PathBuf>,
    /// Where its ports are published.
    pub published: Vec<Published>,
    /// Its addresses in the project's networks.
    pub addresses: Vec<IpAddr>,
}

/// A port of the host that leads to one of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The container's, TCP.
    pub port: u16,
    /// The address of the host.
    pub address: IpAddr,
    /// The port of the host.
    pub host_port: u16,
}

impl Container {
    /// Whether it did what it was there for and ended well.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == "exited" && self.exit_code == Some(0) && !self.is_restarted
    }

    /// For people: the engine's word, or what the check says where that is worse.
    #[must_use]
    pub fn word(&self) -> &str {
        match (self.state.as_str(), self.health.as_deref()) {
            ("running", Some("unhealthy")) => "unhealthy",
            (state, _) => state,
        }
    }
}

/// The containers of a project, by service and number; those that `run` made for one command are left out.
pub(super) async fn project(account: &Arc<Account>, project: &str) -> Result<Vec<Container>, Error> {
    let failed = |said| account.failed(format!("look at the containers of {project}"), said);
    let filters = HashMap::from([("label".to_owned(), vec![format!("{PROJECT}={project}")])]);
    let mut all = Vec::new();
    for one in raw::list(account, &filters).await.map_err(failed)? {
        let Some(id) = one.id else { continue };
        match raw::inspect(account, &id).await {
            Ok(found) => all.extend(understood(found)),
            Err(said) if fault::is_missing(&said) => {}
            Err(said) => return Err(failed(said)),
        }
    }
    all.sort_by(|a, b| (&a.service, a.number, &a.id).cmp(&(&b.service, b.number, &b.id)));
    Ok(all)
}

fn understood(found: ContainerInspectResponse) -> Option<Container> {
    let config = found.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    if labels.get(ONE_OFF).is_some_and(|is| is.eq_ignore_ascii_case("true")) {
        return None;
    }
    let state = found.state.unwrap_or_default();
    let health = state.health.as_ref().and_then(|health| match health.status? {
        HealthStatusEnum::STARTING => Some("starting"),
        HealthStatusEnum::HEALTHY => Some("healthy"),
        HealthStatusEnum::UNHEALTHY => Some("unhealthy"),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => None,
    });
    let said = state.health.as_ref().and_then(|health| health.log.as_ref()?.last()?.output.clone());
    let status = match state.status {
        Some(Status::EMPTY) | None if state.running == Some(true) => "running".to_owned(),
        Some(Status::EMPTY) | None => "created".to_owned(),
        Some(status) => status.to_string(),
    };
    let policy = found.host_config.unwrap_or_default().restart_policy.and_then(|policy| policy.name);
    let network = found.network_settings.unwrap_or_default();
    let addresses = network.networks.unwrap_or_default().into_values();
    let addresses = addresses.filter_map(|one| one.ip_address?.parse().ok()).collect();
    Some(Container {
        service: labels.get(SERVICE)?.clone(),
        number: labels.get(NUMBER).and_then(|number| number.parse().ok()).unwrap_or(1),
        id: found.id?,
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        state: status,
        health: health.map(str::to_owned),
        health_said: said.map(|said| said.trim().chars().take(200).collect()).filter(|said: &String| !said.is_empty()),
        exit_code: state.exit_code,
        started_at: state.started_at.filter(|at| time(at).is_some()).unwrap_or_default(),
        restarts: found.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        is_restarted: matches!(policy, Some(RestartPolicyNameEnum::ALWAYS | RestartPolicyNameEnum::UNLESS_STOPPED)),
        folder: labels.get(FOLDER).map(PathBuf::from),
        published: network
            .ports
            .unwrap_or_default()
            .into_iter()
            .flat_map(|(port, bindings)| published(&port, bindings))
            .collect(),
        addresses,
    })
}

fn published(port: &str, bindings: Option<Vec<bollard::models::PortBinding>>) -> Vec<Published> {
    let Some(port) = port.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else { return Vec::new() };
    let one = |binding: bollard::models::PortBinding| {
        let address = binding.host_ip.filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
        Some(Published { port, address: address.parse().ok()?, host_port: binding.host_port?.parse().ok()? })
    };
    bindings.unwrap_or_default().into_iter().filter_map(one).collect()
}

/// What is there of each of these services, and of others that have a container.
pub(super) fn by_service<'a>(
    containers: &[Container],
    services: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, ServiceReport> {
    let absent = ServiceReport { state: "absent".to_owned(), container: None };
    let mut all: BTreeMap<String, ServiceReport> =
        services.into_iter().map(|name| (name.to_owned(), absent.clone())).collect();
    for one in containers {
        let report = all.entry(one.service.clone()).or_insert_with(|| absent.clone());
        let first = report.container.is_none();
        if first {
            report.container = Some(one.id.chars().take(12).collect());
        }
        // One that is not well tells more than another one that is.
        if first || one.word() != "running" {
            one.word().clone_into(&mut report.state);
        }
    }
    all
}

/// Services whose containers are not those of before.
pub(super) fn changed(before: &[Container], after: &[Container]) -> Vec<String> {
    let ids = |all: &[Container]| {
        let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for one in all {
            ids.entry(one.service.clone()).or_default().push(one.id.clone());
        }
        ids
    };
    let (before, after) = (ids(before), ids(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}
