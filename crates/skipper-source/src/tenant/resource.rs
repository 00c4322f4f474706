use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skipper_core::{
    compose::{Health, Route},
    name::{NodeName, SecretName, TenantName},
    spec::WaveTerms,
};

/// A tenant, as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "tenant")]
pub struct Tenant {
    /// Its id.
    pub id: TenantName,
    /// What is wanted.
    pub spec: TenantSpec,
}

/// What a tenant wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSpec {
    /// Where its services run that name no node; the server's own account when `None`.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// Its services, by name.
    #[serde(default)]
    pub services: BTreeMap<String, ServiceSpec>,
    /// How an apply goes from node to node; one after the other, and no further than the first bad one, when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<WaveTerms>,
}

/// A service of a tenant that is kept in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "service")]
pub struct Service {
    /// Its name among the tenant's services.
    pub id: String,
    /// What is wanted.
    pub spec: OwnedSpec,
}

/// What such a service wants, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedSpec {
    /// Whose it is.
    pub tenant: TenantName,
    /// The rest.
    #[serde(flatten)]
    pub service: ServiceSpec,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// What it is made of.
    pub image: String,
    /// Ports of the node that lead to ports of the container, as compose writes them (see [`super::PortMapping`]).
    #[serde(default)]
    pub ports: Vec<String>,
    /// Variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Secrets of the tenant; each is a variable of its name.
    #[serde(default)]
    pub secrets: Vec<SecretName>,
    /// What is mounted, as compose writes it (see [`super::Mount`]).
    #[serde(default)]
    pub volumes: Vec<String>,
    /// What is run; the image's own command when `None`.
    #[serde(default)]
    pub command: Option<Command>,
    /// How it shows that it is healthy.
    #[serde(default)]
    pub health: Option<Health>,
    /// Ways in through the edge.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// How many containers.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Where it runs; where the tenant does when `None`.
    #[serde(default)]
    pub node: Option<NodeName>,
}

const fn one() -> u32 {
    1
}

/// What a container runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// A line that compose takes apart as a shell would, without running one.
    Line(String),
    /// Program and arguments.
    Words(Vec<String>),
}

/// A resource as its file shows it: with its status, indented, a line break at the end.
///
/// # Errors
///
/// When the resource cannot be written as JSON.
pub fn document<T: Serialize>(resource: &T, status: &Value) -> Result<String, serde_json::Error> {
    let mut shown = serde_json::to_value(resource)?;
    if let Value::Object(map) = &mut shown {
        map.insert("status".to_owned(), if status.is_null() { json!({}) } else { status.clone() });
    }
    Ok(format!("{shown:#}\n"))
}
