//! Hands that work with compose, by the driver that the server uses too.

mod secrets;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use skipper_core::{
    BoxStream,
    compose::{Terms, project_name},
    fleet::{OrderKind, Outcome},
    generation::Generation,
    name::PlatformName,
    port::{Error, ErrorKind, ExecOutput, LogChunk},
};
use skipper_platform::compose::{ComposeConfig, Driver, Report, ServiceReport, Wanted};
use skipper_source::{
    fleet::{ProjectExec, ProjectLogs, ServiceState, WorkOrder},
    yaml,
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{
    hands::{Finished, Hands, Need, Projects},
    settings::Settings,
};
use crate::world::SystemClock;

/// What the account of a node is called.
const ACCOUNT: &str = "compose";
/// Pauses while an engine that does not answer is waited for.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// The driver of compose, as the agent uses it.
pub(super) struct Compose {
    driver: Driver,
}

impl Compose {
    /// Asks nobody yet.
    pub(super) fn new(settings: &Settings) -> Self {
        let account = PlatformName::new(ACCOUNT).expect("it is a name");
        let driver = Driver::new(ComposeConfig {
            account,
            owner: settings.node.to_string(),
            base: settings.base_dir.clone(),
            host: settings.engine.host.clone(),
            command: None,
            pull: settings.engine.pull,
            policy: settings.engine.policy.clone(),
            env: settings.engine.env.clone(),
            yaml: read_yaml,
            clock: Arc::new(SystemClock),
            tasks: TaskTracker::new(),
        });
        Self { driver }
    }

    /// What somebody should know about where this runs.
    pub(super) async fn warnings(&self) -> Vec<String> {
        self.driver.warnings().await
    }

    /// What a tenant's project writes.
    pub(super) async fn logs(&self, asked: &ProjectLogs) -> Result<BoxStream<'static, Result<LogChunk, Error>>, Error> {
        self.driver.logs_of_one(&asked.project, asked.service.as_deref(), asked.tail, asked.follow).await
    }

    /// A command in a tenant's project.
    pub(super) async fn exec(&self, asked: &ProjectExec, within: Duration) -> Result<ExecOutput, Error> {
        self.driver.exec_in_first(&asked.project, asked.service.as_deref(), &asked.command, within).await
    }

    /// Once. What broke off for a while is an error, what did not work is a result.
    async fn once(&self, order: &WorkOrder, within: Duration) -> Result<Finished, Error> {
        // The database of a server that was restored counts on from where its orders were, so that the number alone tells.
        let generation = Generation { epoch: 0, counter: order.generation };
        let (folder, project) = (order.tenant.as_str(), project(order));
        let report = match order.kind {
            OrderKind::DeployService => self.driver.apply(wanted(order, generation)?, within).await?,
            OrderKind::RemoveService => self.driver.remove(folder, &project, generation, within).await?,
        };
        Ok(finished(report))
    }

    async fn until_done(&self, order: &WorkOrder, within: Duration) -> Finished {
        let until = Instant::now() + within;
        let mut pause = PAUSES.0;
        loop {
            let error = match self.once(order, until.saturating_duration_since(Instant::now())).await {
                Ok(finished) => return finished,
                Err(error) => error,
            };
            if error.kind() != ErrorKind::Transient || Instant::now() + pause >= until {
                return refused(&error);
            }
            tracing::warn!("it is tried again: {}", error.chain());
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

impl Hands for Compose {
    fn carry_out<'a>(&'a self, order: &'a WorkOrder, within: Duration) -> BoxFuture<'a, Finished> {
        Box::pin(self.until_done(order, within))
    }

    fn look(&self) -> BoxFuture<'_, Result<Projects, String>> {
        Box::pin(async {
            let all = self.driver.look_at_all().await.map_err(|error| error.chain())?;
            Ok(all.into_iter().map(|(tenant, services)| (tenant, states(services))).collect())
        })
    }

    fn needs(&self) -> BoxFuture<'_, Vec<Need>> {
        Box::pin(async {
            let found = self.driver.about().await.map_err(|error| {
                let advice = error
                    .advice()
                    .unwrap_or("start the engine, and let this user use it; DOCKER_HOST says where it is");
                (error.chain(), advice.to_owned())
            });
            vec![Need { name: "compose", found }]
        })
    }
}

/// What compose resolved a file to.
fn read_yaml(text: &str) -> Result<serde_json::Value, String> {
    let node = yaml::read_one(yaml::Input::plain("", text)).map_err(|faults| faults.to_string())?;
    Ok(node.map_or(serde_json::Value::Null, |node| node.to_value()))
}

fn project(order: &WorkOrder) -> String {
    if order.desired.project.is_empty() { project_name(order.tenant.as_str()) } else { order.desired.project.clone() }
}

fn wanted(order: &WorkOrder, generation: Generation) -> Result<Wanted, Error> {
    let desired = &order.desired;
    let services = desired.services.iter().map(|(name, service)| {
        let health = service.health.clone().map(serde_json::from_value).transpose().map_err(|cause| {
            Error::new(ErrorKind::Permanent, "order-unreadable", format!("the health of service {name} cannot be read"))
                .because(cause)
                .hint("upgrade the agent to the version of the server")
        })?;
        let digest = service.digest.as_deref().and_then(|digest| digest.trim_start_matches("sha256:").parse().ok());
        Ok((name.clone(), Terms { image: service.image.clone(), digest, health, routes: Vec::new() }))
    });
    let env = desired.files.get(skipper_core::compose::ENV_FILE).map_or("", String::as_str);
    Ok(Wanted {
        folder: order.tenant.to_string(),
        project: project(order),
        files: desired.files.clone(),
        services: services.collect::<Result<_, Error>>()?,
        secrets: secrets::of(env, desired.secrets.as_deref()),
        generation,
        owner: None,
    })
}

fn finished(report: Report) -> Finished {
    Finished {
        outcome: report.status,
        exit_code: report.exit_code,
        summary: report.summary,
        services: states(report.services),
        logs_tail: report.logs_tail,
    }
}

fn refused(error: &Error) -> Finished {
    let why = error.chain();
    let why = error.advice().map_or_else(|| why.clone(), |advice| format!("{why}; {advice}"));
    Finished {
        outcome: Outcome::Failed,
        exit_code: None,
        summary: if error.kind() == ErrorKind::Fenced { format!("stale: {why}") } else { why },
        services: BTreeMap::new(),
        logs_tail: String::new(),
    }
}

fn states(services: BTreeMap<String, ServiceReport>) -> BTreeMap<String, ServiceState> {
    services
        .into_iter()
        .map(|(name, ServiceReport { state, container })| (name, ServiceState { state, container }))
        .collect()
}
