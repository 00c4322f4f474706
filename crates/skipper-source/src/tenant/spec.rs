//! From projects to what the engine runs, and to what people read.

use skipper_core::{
    compose::{Health as ServiceHealth, SCHEME},
    name::AppName,
    spec::{
        Application, Bounds, Check, Health, Hooks, Limits, Resource, SecretUse, Spec, StopPolicy, Strategy, Target,
    },
    time::Millis,
};

use super::project::Project;
use crate::{
    finding::{Faults, Finding},
    yaml::emit,
};

/// Longest everything that is missing is fetched.
const FETCH: Millis = Millis::secs(600);
/// Longest compose takes beside waiting for health, there and back.
const WORK: Millis = Millis::secs(300);

/// What the engine runs of a tenant's projects: an application for each, called after its node.
///
/// # Errors
///
/// Where a node is called as the server's own account is, and both have something of the tenant.
pub fn spec(projects: &[Project]) -> Result<Spec, Faults> {
    let mut applications: Vec<Application> = Vec::with_capacity(projects.len());
    for project in projects {
        let name = project.node.as_ref().map_or_else(|| project.target.as_str(), |node| node.as_str());
        let name = AppName::new(name).map_err(|error| Finding::error("value-invalid", error.to_string()))?;
        if applications.iter().any(|app| app.name == name) {
            let message =
                format!("`{name}` is a node and the server's own platform as well; services name one of them");
            return Err(Finding::error("node-name", message).path("spec.node").into());
        }
        applications.push(application(name, project));
    }
    Ok(Spec::new(applications))
}

fn application(name: AppName, project: &Project) -> Application {
    let content = &project.content;
    let secrets = content.env.iter().filter_map(|(key, value)| match value {
        skipper_core::compose::EnvValue::Secret(secret) => {
            Some(SecretUse::Env { secret: secret.clone(), var: key.clone() })
        }
        skipper_core::compose::EnvValue::Value(_) => None,
    });
    let healthy =
        content.services.values().map(|terms| terms.health.as_ref().map_or(ServiceHealth::USUAL, ServiceHealth::bound));
    let healthy = healthy.max().unwrap_or(ServiceHealth::USUAL);
    let mut app = Application {
        name,
        target: Target(project.target.clone()),
        resource: Resource { uri: format!("{SCHEME}:{}", project.name), sha256: None },
        command: Vec::new(),
        args: Vec::new(),
        env: std::collections::BTreeMap::new(),
        secrets: secrets.collect(),
        ports: Vec::new(),
        // Whoever carries it out waits for the services' own health; afterwards it is looked at as a whole.
        health: Health::with_defaults(Check::Running),
        routes: Vec::new(),
        strategy: Strategy::BlueGreen { bake: Millis(0) },
        replicas: 1,
        limits: Limits::default(),
        volumes: Vec::new(),
        hooks: Hooks::default(),
        depends_on: Vec::new(),
        stop: StopPolicy { grace: Millis::secs(60), ..StopPolicy::default() },
        bounds: Bounds {
            fetch: FETCH,
            start: Millis(FETCH.0 + healthy.0 + WORK.0),
            health: healthy,
            ..Bounds::default()
        },
        working_dir: None,
        platform_options: std::collections::BTreeMap::new(),
        images: std::collections::BTreeMap::new(),
        deployer: None,
        relaunched: None,
    };
    content.write(&mut app);
    app
}

/// The same for people: each project's compose file, and its variables without the values of secrets.
#[must_use]
pub fn manifest(projects: &[Project]) -> String {
    let documents = projects.iter().map(|project| {
        let env: serde_json::Map<String, serde_json::Value> = project
            .content
            .env
            .iter()
            .map(|(key, value)| (key.clone(), serde_json::to_value(value).unwrap_or_default()))
            .collect();
        let head = serde_json::json!({"project": project.name, "platform": project.target, "env": env});
        let file: String = project
            .text()
            .lines()
            .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") })
            .collect();
        format!("{}docker-compose.yml: |\n{file}", emit(&head))
    });
    documents.collect::<Vec<_>>().join("---\n")
}
