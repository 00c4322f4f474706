//! What an instance is told by everything that runs applications for Spring's deployers: its properties, and its place
//! among the others.

use std::collections::BTreeMap;

use skipper_core::{deployment::Deployment, spec::Deployer};

use super::options::Options;

/// Arguments after the application's own, and variables of the environment.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
}

/// Tells one instance. `port`: where it listens. With `json` its properties are in `SPRING_APPLICATION_JSON`, else they are
/// arguments.
pub(crate) fn told(deployment: &Deployment, deployer: &Deployer, index: u32, port: Option<u16>, json: bool) -> Told {
    let id = deployment.deployer_id();
    let guid = format!("{id}-{index}");
    let group = Options::of(Some(deployer)).common("group").unwrap_or_else(|| deployment.release_name.as_str());
    let mut properties = deployer.properties.clone();
    for (key, value) in [
        ("spring.jmx.default-domain", id.as_str()),
        ("endpoints.jmx.unique-names", "true"),
        ("spring.cloud.application.group", group),
    ] {
        properties.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    if let Some(port) = port {
        // What was asked for is the edge's.
        properties.insert("server.port".to_owned(), port.to_string());
    }
    let index = index.to_string();
    let mut env = BTreeMap::from(
        [
            ("INSTANCE_INDEX", index.as_str()),
            ("SPRING_APPLICATION_INDEX", &index),
            ("SPRING_CLOUD_APPLICATION_GUID", &guid),
            ("SPRING_CLOUD_APPLICATION_GROUP", group),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    if !json {
        let args = properties.iter().map(|(key, value)| format!("--{key}={value}")).collect();
        return Told { args, env };
    }
    // What the environment says, under the names that applications ask for.
    for (key, value) in [
        ("instance.index", &index),
        ("spring.application.index", &index),
        ("spring.cloud.stream.instanceIndex", &index),
        ("spring.cloud.application.guid", &guid),
    ] {
        properties.entry(key.to_owned()).or_insert_with(|| value.clone());
    }
    let json = serde_json::to_string(&properties).expect("text is always representable as JSON");
    env.insert("SPRING_APPLICATION_JSON".to_owned(), json);
    Told { args: Vec::new(), env }
}
