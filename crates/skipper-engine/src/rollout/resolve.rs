//! From the source to spec and plan.

use serde_json::json;
use skipper_core::{
    port::{ErrorKind, Note, ResolveRequest, Resolved, ResolvedNote},
    rollout::Transition,
    spec::Spec,
    time::Timestamp,
};
use tokio::time::timeout;

use super::Run;
use crate::{
    failure::{Failure, Halt, StepError},
    planning::{self, Made, NoPlan, PlanRequest},
    retry::Backoff,
    status::Activity,
};

impl Run<'_> {
    pub(super) async fn resolve(&mut self, deadline: Timestamp) -> Result<(), Halt> {
        self.shared.board.begin(Activity {
            rollout: self.rollout.id,
            step: None,
            undoing: false,
            app: None,
            what: "resolve the source".to_owned(),
            since: self.now(),
            deadline,
            detail: None,
        });
        // Never longer than was agreed, also when the clock has been set back.
        let bound = deadline.since(self.now()).min(self.shared.config.tuning.resolve_bound);
        let (shared, id) = (self.shared, self.rollout.id);
        let planning = timeout(bound, Box::pin(self.plan_it(deadline)));
        let planned = tokio::select! {
            biased;
            () = shared.cancelled(id) => {
                let cause = self.cancel_cause();
                return self.end_early(cause).await;
            }
            planned = self.jotted.clone().beside(shared, self.lease, planning) => planned?,
        };
        let failure = match planned {
            Ok(Ok((resolved, made))) => return self.take_plan(resolved, made),
            Ok(Err(StepError::Halt(halt))) => return Err(halt),
            Ok(Err(StepError::Failed(failure))) => failure,
            Err(_) => {
                let last = shared.board.activity(id).and_then(|activity| activity.detail);
                let bound = shared.config.tuning.resolve_bound;
                Failure::bound("resolve-timeout", "resolving the source", bound, last.as_deref())
            }
        };
        let cause = failure.into_cause(None, self.now());
        self.end_early(cause).await
    }

    async fn plan_it(&self, deadline: Timestamp) -> Result<(Option<Resolved>, Made), StepError> {
        let resolved = match self.target.clone() {
            None => None,
            Some(target) => {
                let request = ResolveRequest {
                    release: self.release.id,
                    release_name: self.release.name.clone(),
                    tenant: self.release.tenant.clone(),
                    revision: target.number,
                    rendered: target.manifest.clone().zip(target.spec.clone()),
                    source: target.source,
                    deadline,
                };
                Some(self.ask_resolver(&request).await?)
            }
        };
        let made = self.ask_planner(resolved.as_ref().map(|resolved| &resolved.spec)).await?;
        let hash = made.plan.hash();
        match self.rollout.required_plan {
            Some(required) if required != hash => {
                let message =
                    format!("the plan is {hash} now, but {required} was required: something has changed since");
                let hint = "make the plan again, look at what changed, and require its new hash";
                Err(Failure::new("plan-changed", message).hint(hint).into())
            }
            _ => Ok((resolved, made)),
        }
    }

    fn take_plan(&mut self, resolved: Option<Resolved>, made: Made) -> Result<(), Halt> {
        let next = self.rollout.phase.clone().apply(Transition::Resolved).map_err(|_| Halt::Later)?;
        let data = json!({"steps": made.plan.steps.len(), "plan": made.plan.hash().to_string()});
        let events = vec![self.event("rollout.resolved", data)];
        let resolved = resolved.map(|resolved| (resolved.manifest, resolved.spec));
        let note = ResolvedNote {
            resolved: resolved.clone(),
            plan: made.plan.clone(),
            secrets: made.secrets.clone(),
            phase: next.clone(),
            events,
        };
        // Written with the beginning of the first step, before that has any effect.
        self.jotted.push(Note::Resolved(Box::new(note)));
        self.rollout.phase = next;
        self.rollout.plan = Some(made.plan.clone());
        self.rollout.secrets = made.secrets;
        self.plan = made.plan;
        if let (Some(target), Some((manifest, spec))) = (&mut self.target, resolved) {
            target.manifest = Some(manifest);
            target.spec = Some(spec);
        }
        Ok(())
    }

    async fn ask_resolver(&self, request: &ResolveRequest) -> Result<Resolved, StepError> {
        let mut backoff = Backoff::step();
        loop {
            match self.shared.config.resolver.resolve(request).await {
                Ok(resolved) => return Ok(resolved),
                Err(error) if matches!(error.kind(), ErrorKind::Transient | ErrorKind::Unknown) => {
                    self.shared.board.detail(self.rollout.id, error.chain());
                    backoff.wait().await;
                }
                Err(error) => return Err(Failure::from(&error).into()),
            }
        }
    }

    async fn ask_planner(&self, spec: Option<&Spec>) -> Result<Made, StepError> {
        let live: Vec<_> = self.lives.values().cloned().collect();
        let request = PlanRequest {
            release: self.release.id,
            release_name: &self.release.name,
            tenant: &self.release.tenant,
            live: &live,
            target: self.rollout.to.zip(spec),
            purge: self.rollout.purge,
        };
        let mut backoff = Backoff::step();
        loop {
            match planning::try_make(&self.shared.config, &request).await {
                Ok(made) => return Ok(made),
                Err(NoPlan::Refused(failure)) => return Err(failure.into()),
                Err(NoPlan::Store(error)) => {
                    self.shared.board.detail(self.rollout.id, error.chain());
                    backoff.wait().await;
                }
            }
        }
    }
}
