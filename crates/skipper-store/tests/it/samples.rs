//! Things to store.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use skipper_core::{
    Sha256,
    actor::{Actor, Provenance},
    event::NewEvent,
    id::{ReleaseId, RequestId},
    name::{AppName, PlatformName, ReleaseName, SecretName, TenantName},
    port::{Capabilities, Lease, ResolvedNote, RolloutStore as _, StepNote},
    release::{Door, Release, Source},
    rollout::{Cause, Phase, Plan, PlanInput, StepOutcome, StepRecord, StepState, Verb, plan},
    secret::SecretVersions,
    spec::{Application, Spec, Target},
    time::Timestamp,
};
use skipper_store::{IntentAccepted, NewIntent, Store};

pub(crate) const TTL: Duration = Duration::from_secs(15);

pub(crate) fn tenant() -> TenantName {
    TenantName::default_tenant()
}

pub(crate) fn name(text: &str) -> ReleaseName {
    ReleaseName::new(text).expect("a name")
}

pub(crate) fn secret(text: &str) -> SecretName {
    SecretName::new(text).expect("a name")
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        actor: Actor::Local,
        trigger: "test".into(),
        request: RequestId::from_uuid(uuid::Uuid::nil()),
        correlation: "test".into(),
    }
}

pub(crate) fn event(kind: &str) -> NewEvent {
    NewEvent {
        kind: kind.into(),
        tenant: Some(tenant()),
        release: None,
        revision: None,
        rollout: None,
        provenance: provenance(),
        data: json!({"n": 1, "share": 0.1, "text": "a\u{0}b"}),
    }
}

pub(crate) fn source(version: &str) -> Source {
    Source::Package {
        repository: "local".into(),
        name: "hello".into(),
        version: version.into(),
        sha256: Sha256::of(version.as_bytes()),
        values: json!({"greeting": "hi"}),
        platform: None,
        raw: None,
    }
}

/// One application `web`, with routes like `http www.example.org/` or `:8080 /`.
pub(crate) fn spec(routes: &[(&str, Option<&str>)], secrets: &[&str]) -> Spec {
    let routes: Vec<_> = routes
        .iter()
        .map(|(listener, host)| {
            let listener = match listener.parse::<u16>() {
                Ok(port) => json!({"port": port}),
                Err(_) => json!(listener),
            };
            json!({"listener": listener, "host": host, "path": "/", "port": "http"})
        })
        .collect();
    let secrets: Vec<_> =
        secrets.iter().map(|name| json!({"as": "env", "secret": name, "var": name.to_uppercase()})).collect();
    let app: Application = serde_json::from_value(json!({
        "name": "web",
        "target": "local",
        "resource": {"uri": "builtin:sample"},
        "ports": [{"name": "http"}],
        "health": {"check": {"kind": "running"}, "interval": 100, "timeout": 1000, "retries": 3, "successes": 1, "start_period": 0},
        "strategy": {"kind": "blue-green", "bake": 0},
        "replicas": 1,
        "routes": routes,
        "secrets": secrets,
    }))
    .expect("an application");
    Spec::new(vec![app])
}

pub(crate) fn intent(release: &str, verb: Verb) -> NewIntent {
    NewIntent {
        tenant: tenant(),
        name: name(release),
        door: Door::Releases,
        verb,
        source: (verb != Verb::Delete).then(|| source("1.0.0")),
        rendered: None,
        require_plan: None,
        expect_serving: None,
        in_order: false,
        purge: false,
        provenance: provenance(),
        description: None,
        wait_behind: false,
        kept: None,
        idempotency: None,
    }
}

/// The plan that takes a release to a spec.
pub(crate) fn plan_for(release: &Release, revision: u64, spec: &Spec, versions: &SecretVersions) -> Plan {
    let can = Capabilities { schemes: vec!["builtin".into()], replicas: true, ..Capabilities::default() };
    let target = Target(PlatformName::new("local").expect("a name"));
    plan(&PlanInput {
        release: release.id,
        release_name: &release.name,
        tenant: &release.tenant,
        current: &[],
        target: Some((revision, spec)),
        secrets: versions,
        capabilities: &BTreeMap::from([(target, can)]),
        unavailable: &Default::default(),
    })
    .expect("a plan")
}

pub(crate) fn empty_plan() -> Plan {
    Plan { version: 1, steps: vec![], commit: 0, notices: vec![], purge: false, waves: None, deployments: vec![] }
}

pub(crate) fn note(index: u32, state: StepState) -> StepNote {
    let at = Timestamp::from_micros(1);
    StepNote {
        record: StepRecord { index, state, started_at: at, updated_at: at, outcome: StepOutcome::default() },
        live: vec![],
        gone: vec![],
        events: vec![],
    }
}

pub(crate) fn cause(code: &str) -> Cause {
    Cause { code: code.into(), message: code.into(), hint: None, step: None, at: Timestamp::from_micros(1) }
}

pub(crate) fn app() -> AppName {
    AppName::new("web").expect("a name")
}

/// Takes a rollout from acceptance to a final phase, as the engine would, and leaves nothing running.
pub(crate) async fn carry_out(store: &Store, accepted: &IntentAccepted, spec: &Spec, end: &Phase) -> Lease {
    let lease = begin(store, accepted, spec).await;
    if matches!(end, Phase::Succeeded) {
        store.phase(&lease, &Phase::Finishing, vec![]).await.expect("finishing");
    }
    store.phase(&lease, end, vec![event("rollout.ended")]).await.expect("the end");
    lease
}

/// Takes a rollout to `advancing`.
pub(crate) async fn begin(store: &Store, accepted: &IntentAccepted, spec: &Spec) -> Lease {
    let lease = store.lease(accepted.rollout.id, "engine", TTL).await.expect("no error").expect("a free lease");
    let deadline = Timestamp::from_micros(i64::MAX);
    store.phase(&lease, &Phase::Resolving { deadline }, vec![]).await.expect("resolving");
    let none = SecretVersions::default();
    let (resolved, plan) = match &accepted.revision {
        Some(revision) => {
            (Some(("manifest".to_owned(), spec.clone())), plan_for(&accepted.release, revision.number, spec, &none))
        }
        None => (None, empty_plan()),
    };
    store.resolved(&lease, resolution(resolved, &plan, &none, &Phase::Advancing, vec![])).await.expect("resolved");
    lease
}

/// Installs a release that serves.
pub(crate) async fn serving(store: &Store, release: &str, spec: &Spec) -> Release {
    let accepted = store.intent_create(intent(release, Verb::Install)).await.expect("accepted");
    carry_out(store, &accepted, spec, &Phase::Succeeded).await;
    get(store, accepted.release.id).await
}

pub(crate) async fn get(store: &Store, id: ReleaseId) -> Release {
    store.release_get_by_id(id).await.expect("no error").expect("the release")
}

/// What Resolve notes.
pub(crate) fn resolution(
    resolved: Option<(String, Spec)>,
    plan: &Plan,
    secrets: &SecretVersions,
    phase: &Phase,
    events: Vec<NewEvent>,
) -> ResolvedNote {
    ResolvedNote { resolved, plan: plan.clone(), secrets: secrets.clone(), phase: phase.clone(), events }
}
