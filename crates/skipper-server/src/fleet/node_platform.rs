//! A node as a platform: it converges by itself, by orders that its agent takes.

use std::{collections::BTreeMap, time::Duration};

use skipper_core::{
    BoxFuture, BoxStream,
    actor::{Actor, Provenance},
    compose,
    deployment::{Deployment, DeploymentId, Exit, Instance, Observed},
    fleet::{OrderKind, OrderStatus},
    generation::Generation,
    health::Attempt,
    name::NodeName,
    port::{
        Capabilities, Description, Error, ErrorKind, ExecOutput, Found, HookJob, HookState, Inside, Launch, LogChunk,
        LogQuery, Platform, Standing,
    },
    rollout::Instances,
    secret::SecretVersions,
    spec::{Application, Resource},
    time::Timestamp,
};
use skipper_source::fleet::{OrderResult, ProjectLogs, ServiceState};
use skipper_store::{NewOrder, Order};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Fleet, SILENT_AFTER, projects};

/// How often the store is asked for a result that nobody told of.
const LOOK: Duration = Duration::from_secs(2);
/// How much longer than its work an order waits for its node.
const SLACK: Duration = Duration::from_secs(15);

/// A node's compose projects.
#[derive(Debug, Clone)]
pub struct NodePlatform {
    fleet: Fleet,
    node: NodeName,
}

impl NodePlatform {
    pub(super) const fn new(fleet: Fleet, node: NodeName) -> Self {
        Self { fleet, node }
    }

    /// The order by which a deployment comes to be on its node; made where it is not there. Unless it is `ready` no node gets it
    /// yet.
    ///
    /// # Errors
    ///
    /// What the application's options hold is no project; the store.
    pub async fn order(
        &self,
        deployment: &Deployment,
        provenance: Provenance,
        idempotency_key: Option<String>,
        ready: bool,
    ) -> Result<Order, Error> {
        let project = compose::Project::of(&deployment.app)
            .map_err(|what| Error::new(ErrorKind::Permanent, "not-a-project", what))?;
        let desired = serde_json::to_value(&project)
            .map_err(|error| Error::new(ErrorKind::Permanent, "not-a-project", error.to_string()))?;
        let new = NewOrder {
            desired,
            ready,
            idempotency_key,
            ..self.new_order(OrderKind::DeployService, deployment, provenance)
        };
        Ok(self.fleet.store().order_ensure(new, self.holds(deployment)).await?)
    }

    fn new_order(&self, kind: OrderKind, deployment: &Deployment, provenance: Provenance) -> NewOrder {
        let wait = deployment.app.bounds.start.duration() + SLACK;
        NewOrder {
            kind,
            tenant: deployment.tenant.clone(),
            node: self.node.clone(),
            release: deployment.release,
            deployment: deployment.id.clone(),
            revision: deployment.revision,
            deadline: self.fleet.clock().now() + wait,
            idempotency_key: None,
            provenance,
            desired: serde_json::Value::Null,
            secrets: if kind == OrderKind::DeployService {
                deployment.secrets.clone()
            } else {
                SecretVersions::default()
            },
            ready: true,
        }
    }

    /// In whose name a deployment is launched: of whoever asked for the revision, and of this server where that was done and is to be
    /// done again.
    async fn asker(&self, deployment: &Deployment) -> Result<Provenance, Error> {
        let asked = provenance(&self.fleet, deployment).await?;
        let before = self.fleet.store().order_newest(&deployment.id, OrderKind::DeployService).await?;
        if before.is_none_or(|before| !before.status.is_final()) {
            return Ok(asked);
        }
        Ok(Provenance { actor: Actor::System, trigger: "supervision".to_owned(), ..asked })
    }

    /// Whether the node has what it was asked for, as far as it says anything.
    fn holds(&self, deployment: &Deployment) -> bool {
        self.fallen(deployment).is_none()
    }

    /// A service of the project that does not run, by what the node last said.
    fn fallen(&self, deployment: &Deployment) -> Option<String> {
        let sight = self.fleet.board().sight(&self.node)?;
        let Some(services) = sight.projects.get(&deployment.tenant) else {
            // A host that was set up anew, or whose folder of projects is another one. Of two that share a token one may have it.
            let is_gone = sight.all_projects && sight.doubled(self.fleet.clock().now()).is_none();
            return is_gone.then(|| "it has no project of this tenant".to_owned());
        };
        let wanted = compose::Project::of(&deployment.app).ok()?.services;
        let runs = |state: &ServiceState| matches!(state.state.as_str(), "running" | "restarting" | "starting");
        let missing = |name: &&String| !services.get(*name).is_some_and(runs);
        let fallen = wanted.keys().find(missing)?;
        let state = services.get(fallen).map_or("absent", |service| service.state.as_str());
        Some(format!("service `{fallen}` is {state}"))
    }

    async fn result(&self, order: Order, within: Duration) -> Result<Order, Error> {
        let until = Instant::now() + within;
        let ending = self.fleet.mailroom().ending(order.id);
        self.fleet.mailroom().ring(&self.node);
        loop {
            let Some(now) = self.fleet.store().order_get(order.id).await? else {
                return Err(Error::new(ErrorKind::Permanent, "order-gone", format!("order {} is gone", order.id)));
            };
            if now.status.is_final() {
                return Ok(now);
            }
            let look = async {
                tokio::select! {
                    () = ending.told() => {}
                    () = sleep(LOOK) => {}
                }
            };
            if timeout_at(until, look).await.is_err() {
                return Err(self.waits(&now));
            }
        }
    }

    fn waits(&self, order: &Order) -> Error {
        let (id, node) = (order.id, &self.node);
        let what = if order.status == OrderStatus::Active {
            format!("node `{node}` works on order {id}")
        } else if self.is_silent() {
            format!("order {id} waits for node `{node}`, which does not answer")
        } else {
            format!("order {id} waits for node `{node}`")
        };
        Error::new(ErrorKind::Unknown, "order-open", what).hint("`skipper node show` tells when the node was last seen")
    }

    fn is_silent(&self) -> bool {
        let now = self.fleet.clock().now();
        self.fleet.board().sight(&self.node).is_none_or(|sight| now.since(sight.at) > SILENT_AFTER)
    }

    fn instance(&self, order: &Order) -> Instance {
        let at = order.finished_at.unwrap_or(order.created_at);
        let attributes = [("node".to_owned(), self.node.to_string()), ("order".to_owned(), order.id.to_string())];
        Instance {
            index: 0,
            addresses: BTreeMap::new(),
            handle: order.id.to_string(),
            started_at: at,
            restarts: 0,
            attributes: attributes.into(),
        }
    }

    /// What an order that ended means to the rollout that waits for it.
    fn outcome(&self, order: &Order) -> Result<Vec<Instance>, Error> {
        let node = &self.node;
        let fail = |code, what: String| Err(Error::new(ErrorKind::Permanent, code, what));
        match order.status {
            OrderStatus::Succeeded => Ok(vec![self.instance(order)]),
            OrderStatus::Expired => {
                fail("order-expired", format!("node `{node}` did not carry out order {} in time", order.id)).map_err(
                    |error| error.hint("look whether its agent runs and reaches this server: `skipper node show`"),
                )
            }
            OrderStatus::Superseded => fail("order-superseded", format!("order {} was taken back", order.id)),
            _ => {
                let said = order.result.clone().and_then(|result| serde_json::from_value::<OrderResult>(result).ok());
                let said = said.map(|result| result.summary).filter(|text| !text.is_empty());
                fail(
                    "order-failed",
                    format!("node `{node}`: {}", said.unwrap_or_else(|| "the order failed".to_owned())),
                )
            }
        }
    }

    async fn see(&self, deployment: &Deployment) -> Result<Observed, Error> {
        let Some(order) = self.fleet.store().order_newest(&deployment.id, OrderKind::DeployService).await? else {
            return Ok(Observed::Absent);
        };
        if self.fleet.store().node_get(&self.node).await?.is_none() {
            return Ok(Observed::Unknown { reason: format!("node `{}` is not registered any more", self.node) });
        }
        Ok(match order.status {
            OrderStatus::Pending | OrderStatus::Active => Observed::Unknown { reason: self.waits(&order).to_string() },
            OrderStatus::Succeeded if self.is_silent() => {
                let reason = format!("node `{}` has not been heard of for {} s", self.node, SILENT_AFTER.as_secs());
                Observed::Unknown { reason }
            }
            OrderStatus::Succeeded => match self.fallen(deployment) {
                None => Observed::Running(self.instance(&order)),
                Some(_) => {
                    let exit = Exit { code: None, signal: None, out_of_memory: false, at: self.fleet.clock().now() };
                    Observed::Exited { exit, instance: self.instance(&order) }
                }
            },
            OrderStatus::Failed | OrderStatus::Expired | OrderStatus::Superseded => Observed::Absent,
        })
    }
}

/// Whether somebody has said that it takes nothing new.
fn is_cordoned(spec: &serde_json::Value) -> bool {
    spec.get("cordoned").and_then(serde_json::Value::as_bool).unwrap_or_default()
}

/// Of whoever asked for the revision.
async fn provenance(fleet: &Fleet, deployment: &Deployment) -> Result<Provenance, Error> {
    let revision = fleet.store().revision_get(deployment.release, deployment.revision).await?;
    revision.map(|revision| revision.provenance).ok_or_else(|| {
        let what = format!("revision {} is not known any more", deployment.revision);
        Error::new(ErrorKind::Permanent, "revision-gone", what)
    })
}

fn refused<T>(what: &str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::Permanent, "node-unsupported", what.to_owned()))
}

impl Platform for NodePlatform {
    fn capabilities(&self) -> Capabilities {
        skipper_platform::compose::capabilities()
    }

    fn describe(&self) -> BoxFuture<'_, Description> {
        Box::pin(async move {
            let seen = match self.fleet.board().sight(&self.node) {
                Some(sight) => format!("last seen {}", super::stamp(sight.at)),
                None => "not seen since this server started".to_owned(),
            };
            Description {
                name: format!("node:{}", self.node),
                kind: "node".to_owned(),
                summary: seen,
                deployer: None,
                reachable: !self.is_silent(),
                capabilities: self.capabilities(),
            }
        })
    }

    fn fetch<'a>(&'a self, resource: &'a Resource, _: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        // Its agent pulls everything before it touches what runs.
        Box::pin(async move { Ok(resource.clone()) })
    }

    fn review<'a>(&'a self, app: &'a mut Application) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async move {
            compose::Project::of(app).map_err(|what| {
                Error::new(ErrorKind::Permanent, "not-a-project", what)
                    .hint("a node runs what a tenant's resource says; see `skipper tenant put`")
            })?;
            if self.fleet.store().node_get(&self.node).await?.is_none() {
                let what = format!("node `{}` is not registered", self.node);
                return Err(Error::new(ErrorKind::Permanent, "unknown-node", what)
                    .hint(format!("skipper node register --node-id {}", self.node)));
            }
            Ok(Vec::new())
        })
    }

    fn standing<'a>(&'a self, _: Duration) -> BoxFuture<'a, Standing> {
        Box::pin(async move {
            match self.fleet.store().node_get(&self.node).await {
                Ok(Some(node)) if is_cordoned(&node.spec) => Standing::Cordoned,
                Ok(Some(_)) if !self.is_silent() => Standing::Ready,
                _ => Standing::Away,
            }
        })
    }

    fn begin<'a>(&'a self, launch: Launch<'a>, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let by = self.asker(launch.deployment).await?;
            self.order(launch.deployment, by, None, true).await?;
            self.fleet.mailroom().ring(&self.node);
            Ok(())
        })
    }

    fn join<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        Box::pin(async move {
            let begun = self.fleet.store().order_newest(&launch.deployment.id, OrderKind::DeployService).await?;
            let Some(order) = begun.filter(|order| order.ready) else { return self.launch(launch, deadline).await };
            let order = self.result(order, deadline).await?;
            self.outcome(&order)
        })
    }

    fn launch<'a>(&'a self, launch: Launch<'a>, deadline: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        Box::pin(async move {
            let deployment = launch.deployment;
            let by = self.asker(deployment).await?;
            let order = self.order(deployment, by, None, true).await?;
            let order = self.result(order, deadline).await?;
            self.outcome(&order)
        })
    }

    fn observe<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<Observed>, Error>> {
        Box::pin(async move {
            let seen = self.see(deployment).await?;
            Ok(instances.range().map(|index| if index == 0 { seen.clone() } else { Observed::Absent }).collect())
        })
    }

    fn probe<'a>(&'a self, deployment: &'a Deployment, instance: &'a Instance) -> BoxFuture<'a, Attempt> {
        Box::pin(async move {
            let at: Timestamp = self.fleet.clock().now();
            // The agent has waited for the health of each service before it called the order done.
            let (ok, detail) = match self.fallen(deployment) {
                None => (true, format!("node `{}` says that everything runs", self.node)),
                Some(what) => (false, format!("node `{}` says that {what}", self.node)),
            };
            Attempt { at, instance: instance.index, ok, detail }
        })
    }

    fn retire<'a>(
        &'a self,
        deployment: &'a Deployment,
        _: Instances,
        _: bool,
        _: Generation,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let store = self.fleet.store();
            store.order_withdraw(&deployment.id).await?;
            if store.node_get(&self.node).await?.is_none() {
                // With the node went whatever could be asked.
                return Ok(());
            }
            if !store.order_ever_taken(&self.node, deployment.release).await? {
                return Ok(());
            }
            let by = provenance(&self.fleet, deployment).await?;
            let new = self.new_order(OrderKind::RemoveService, deployment, by);
            let order = store.order_ensure(new, true).await?;
            let order = self.result(order, deadline).await?;
            self.outcome(&order).map(drop)
        })
    }

    fn list(&self, _: Duration) -> BoxFuture<'_, Result<Vec<Found>, Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn remove_orphan<'a>(&'a self, _: &'a DeploymentId, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// The container is a service; without one the lines of all begin with the name of theirs.
    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, Error>>, Error>> {
        Box::pin(async move {
            let order = self.fleet.store().order_newest(&query.deployment, OrderKind::DeployService).await?;
            let order = order.ok_or_else(|| {
                let what = format!("node `{}` was never told of deployment {}", self.node, query.deployment);
                Error::new(ErrorKind::NotFound, "no-logs", what)
            })?;
            let project = compose::project_name(order.tenant.as_str());
            let asked = ProjectLogs { project, service: query.container, tail: query.tail, follow: query.follow };
            projects::logs(&self.fleet, &self.node, asked).await
        })
    }

    /// The container is a service.
    fn exec<'a>(
        &'a self,
        deployment: &'a Deployment,
        inside: Inside<'a>,
        command: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, Error>> {
        let project = compose::project_name(deployment.tenant.as_str());
        let at = (project, inside.container);
        Box::pin(projects::exec(&self.fleet, &self.node, at, command, deadline))
    }

    fn run_hook<'a>(&'a self, _: HookJob<'a>, _: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(async { refused("hooks are not run on nodes") })
    }

    fn hook_state<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(async { Ok(HookState::Absent) })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
