use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{
    BoxFuture, BoxStream, Sha256,
    deployment::{Deployment, DeploymentId, Instance, Observed},
    generation::Generation,
    health::Attempt,
    port::{
        Capabilities, Cleared, Clock as _, Description, Error, ErrorKind, ExecOutput, Foreign, Found, Garbage, HookJob,
        HookState, Inside, Kept, Launch, LogChunk, LogQuery, LogStreamKind, Platform,
    },
    rollout::Instances,
    spec::{Application, Resource},
};

use super::{FakePlatform, POISONED};

impl Platform for FakePlatform {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn describe(&self) -> BoxFuture<'_, Description> {
        let capabilities = self.capabilities.clone();
        Box::pin(async move {
            Description {
                name: "local".into(),
                kind: "fake".into(),
                summary: "in memory".into(),
                deployer: None,
                reachable: true,
                capabilities,
            }
        })
    }

    fn fetch<'a>(&'a self, resource: &'a Resource, _: Duration) -> BoxFuture<'a, Result<Resource, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.fetch", resource.uri.clone()).await?;
            if self.state.lock().expect(POISONED).lacking.contains(&resource.uri) {
                let message = format!("{} was answered with 404 Not Found", resource.uri);
                return Err(Error::new(ErrorKind::Permanent, "resource-not-found", message));
            }
            passing.leave(Ok(resource.clone())).await
        })
    }

    fn review<'a>(&'a self, app: &'a mut Application) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async move {
            let engine = self.state.lock().expect(POISONED).engine.clone();
            if let Some(engine) = engine.filter(|_| app.resource.uri.starts_with("docker:")) {
                app.target = engine;
            }
            Ok(Vec::new())
        })
    }

    fn files_of<'a>(
        &'a self,
        resource: &'a Resource,
        paths: &'a [&'a str],
        _: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<String, Vec<u8>>, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.files_of", resource.uri.clone()).await?;
            let files = self.state.lock().expect(POISONED).image_files.clone();
            let found = paths.iter().filter_map(|path| {
                let text = files.get(&(resource.uri.clone(), (*path).to_owned()))?;
                Some(((*path).to_owned(), text.clone().into_bytes()))
            });
            passing.leave(Ok(found.collect())).await
        })
    }

    fn begin<'a>(&'a self, launch: Launch<'a>, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let detail = format!("{} [{}]", launch.deployment.id, launch.instances);
            let passing = self.gate.enter("platform.begin", detail).await?;
            passing.leave(self.do_launch(&launch).map(drop)).await
        })
    }

    fn launch<'a>(&'a self, launch: Launch<'a>, _: Duration) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        Box::pin(async move {
            let detail = format!("{} [{}]", launch.deployment.id, launch.instances);
            let passing = self.gate.enter("platform.launch", detail).await?;
            passing.leave(self.do_launch(&launch)).await
        })
    }

    fn observe<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<Observed>, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.observe", format!("{} [{instances}]", deployment.id)).await?;
            let seen = {
                let state = self.state.lock().expect(POISONED);
                let one = |index| match state.processes.get(&(deployment.id.clone(), index)) {
                    None => Observed::Absent,
                    Some(process) => match process.exit() {
                        Some(exit) => Observed::Exited { exit, instance: process.instance.clone() },
                        None => Observed::Running(process.instance.clone()),
                    },
                };
                instances.range().map(one).collect()
            };
            passing.leave(Ok(seen)).await
        })
    }

    fn probe<'a>(&'a self, deployment: &'a Deployment, instance: &'a Instance) -> BoxFuture<'a, Attempt> {
        // Not through the gate: a probe never fails, and their number depends on time.
        Box::pin(async move {
            let now = self.clock.now();
            let state = self.state.lock().expect(POISONED);
            let ok = state.processes.get(&(deployment.id.clone(), instance.index)).is_some_and(super::Process::healthy);
            let detail = if ok { "200 OK" } else { "connection refused" };
            Attempt { at: now, instance: instance.index, ok, detail: detail.to_owned() }
        })
    }

    fn watches_health(&self, app: &Application) -> bool {
        app.deployer.as_ref().is_some_and(|asked| asked.options.keys().any(|key| key.ends_with(".healthProbe.path")))
    }

    fn retire<'a>(
        &'a self,
        deployment: &'a Deployment,
        instances: Instances,
        last: bool,
        generation: Generation,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let detail = format!("{} [{instances}]{}", deployment.id, if last { " last" } else { "" });
            let passing = self.gate.enter("platform.retire", detail).await?;
            let answer = self.do_retire(&deployment.id, instances, last, generation);
            passing.leave(answer).await
        })
    }

    fn list(&self, _: Duration) -> BoxFuture<'_, Result<Vec<Found>, Error>> {
        Box::pin(async move {
            let state = self.state.lock().expect(POISONED);
            let found = |(id, generation): (&DeploymentId, &Generation)| Found {
                id: id.clone(),
                generation: *generation,
                instances: state.processes.keys().filter(|(own, _)| own == id).map(|(_, index)| *index).collect(),
            };
            Ok(state.folders.iter().map(found).collect())
        })
    }

    fn kept(&self, _: Duration) -> BoxFuture<'_, Result<Option<Kept>, Error>> {
        let own = self.state.lock().expect(POISONED).kept.clone();
        Box::pin(async move { Ok(Some(Kept { own, unowned: BTreeSet::new() })) })
    }

    fn clear<'a>(&'a self, garbage: &'a Garbage, _: Duration) -> BoxFuture<'a, Result<Cleared, Error>> {
        Box::pin(async move {
            let mut state = self.state.lock().expect(POISONED);
            let resources: Vec<Sha256> =
                garbage.resources.iter().filter(|digest| state.kept.remove(digest)).copied().collect();
            Ok(Cleared { removed: resources.len(), resources, ..Cleared::default() })
        })
    }

    fn remove_orphan<'a>(&'a self, id: &'a DeploymentId, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.remove_orphan", id.to_string()).await?;
            {
                let mut state = self.state.lock().expect(POISONED);
                state.processes.retain(|(known, _), _| known != id);
                state.folders.remove(id);
            }
            passing.leave(Ok(())).await
        })
    }

    fn foreign<'a>(
        &'a self,
        labels: &'a [(&'a str, &'a str)],
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<Foreign>, Error>> {
        Box::pin(async move {
            let state = self.state.lock().expect(POISONED);
            let bears = |one: &&Foreign| {
                labels.iter().all(|(name, value)| one.labels.get(*name).is_some_and(|has| has == value))
            };
            Ok(state.foreign.iter().filter(bears).cloned().collect())
        })
    }

    fn remove_foreign<'a>(&'a self, id: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.remove_foreign", id.to_owned()).await?;
            self.state.lock().expect(POISONED).foreign.retain(|one| one.id != id);
            passing.leave(Ok(())).await
        })
    }

    fn hold_foreign<'a>(&'a self, id: &'a str, name: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.hold_foreign", id.to_owned()).await?;
            self.set_foreign(id, name, false);
            passing.leave(Ok(())).await
        })
    }

    fn resume_foreign<'a>(&'a self, id: &'a str, name: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.resume_foreign", id.to_owned()).await?;
            self.set_foreign(id, name, true);
            passing.leave(Ok(())).await
        })
    }

    fn remove_foreign_pod<'a>(&'a self, name: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.remove_foreign_pod", name.to_owned()).await?;
            self.state.lock().expect(POISONED).foreign_pods_removed.push(name.to_owned());
            passing.leave(Ok(())).await
        })
    }

    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, Error>>, Error>> {
        Box::pin(async move {
            let at = self.clock.now();
            let lines = ["starting", "cannot open the database"].map(str::to_owned);
            let chunks = lines.map(|line| Ok(LogChunk { at, instance: 0, stream: LogStreamKind::Stderr, line }));
            let _ = query;
            Ok(Box::pin(futures::stream::iter(chunks)) as BoxStream<'static, _>)
        })
    }

    fn exec<'a>(
        &'a self,
        _: &'a Deployment,
        _: Inside<'a>,
        command: &'a [String],
        _: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, Error>> {
        Box::pin(async move { Ok(ExecOutput { code: Some(0), output: command.join(" ") }) })
    }

    fn run_hook<'a>(&'a self, job: HookJob<'a>, _: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.run_hook", job.id.to_owned()).await?;
            let state = self.do_hook(&job);
            passing.leave(Ok(state)).await
        })
    }

    fn hook_state<'a>(&'a self, id: &'a str, _: Duration) -> BoxFuture<'a, Result<HookState, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("platform.hook_state", id.to_owned()).await?;
            passing.leave(Ok(self.hook_now(id))).await
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.gate.is_dead() {
                return std::future::pending().await;
            }
            self.changed.notified().await;
        })
    }
}
