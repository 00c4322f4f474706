//! What is wrong with what serves. Every door tells it, and it is decided here alone, by whatever there is to decide by.

use skipper_core::{deployment::Observed, name::AppName, route::Listener, spec::Application};
use skipper_engine::{InstanceHealth, InstanceState, ReleaseHealth};

use crate::{caddy::CaddyState, edge::EdgeState};

/// What there is to decide by.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What supervision has to say.
    pub health: Option<&'a ReleaseHealth>,
    /// What the edge says of itself.
    pub edge: Option<&'a EdgeState>,
    /// The Caddy in front of it.
    pub caddy: Option<&'a CaddyState>,
    /// What serves.
    pub serving: Vec<Serving<'a>>,
}

/// An application that serves.
#[derive(Debug, Clone, Copy)]
pub struct Serving<'a> {
    /// As it was deployed.
    pub app: &'a Application,
    /// What its platform says of each instance, where it was asked; else what supervision knows counts.
    pub seen: Option<&'a [(u32, Observed)]>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The application, where it is about one.
    pub app: Option<AppName>,
    /// A sentence.
    pub message: String,
}

/// Everything that is wrong, what is seen at the applications themselves first.
#[must_use]
pub fn drift(evidence: &Evidence<'_>) -> Vec<Drift> {
    let mut drift: Vec<Drift> = evidence.serving.iter().flat_map(|one| instances(one, evidence.health)).collect();
    drift.extend(unreachable(evidence));
    drift.extend(uncertified(evidence));
    drift.extend(not_in_caddy(evidence));
    for message in evidence.health.iter().flat_map(|health| &health.drift) {
        if !drift.iter().any(|known| known.message == *message) {
            drift.push(Drift { app: None, message: message.clone() });
        }
    }
    drift
}

/// Why what serves is degraded, in one sentence; `None` where it is well.
#[must_use]
pub fn degraded(health: Option<&ReleaseHealth>, drift: &[Drift]) -> Option<String> {
    health.and_then(|health| health.degraded.clone()).or_else(|| drift.first().map(|drift| drift.message.clone()))
}

/// Instances that do not run.
fn instances(serving: &Serving<'_>, health: Option<&ReleaseHealth>) -> Vec<Drift> {
    let app = &serving.app.name;
    let told = |index: u32, what: &str| Drift {
        app: Some(app.clone()),
        message: format!("instance {index} of `{app}` {what}"),
    };
    let Some(seen) = serving.seen else {
        let own = health.iter().flat_map(|health| &health.instances).filter(|one| one.app == *app);
        return own.filter_map(|one| Some(told(one.index, &being_started(one)?))).collect();
    };
    let down = seen.iter().filter_map(|(index, observed)| match observed {
        Observed::Running(_) => None,
        Observed::Absent => Some(told(*index, "is not there")),
        Observed::Exited { exit, .. } => Some(told(*index, &exit.to_string())),
        Observed::Unknown { reason } => Some(told(*index, &format!("cannot be seen: {reason}"))),
    });
    down.collect()
}

/// That an instance ended and is not there again.
fn being_started(instance: &InstanceHealth) -> Option<String> {
    let how = instance.last_exit.as_ref().map_or_else(|| "is gone".to_owned(), ToString::to_string);
    match instance.state {
        InstanceState::BackingOff { .. } | InstanceState::Starting => {
            Some(format!("{how}, and is being started again"))
        }
        InstanceState::Recovered => None,
    }
}

/// Ways in that the edge cannot open.
fn unreachable(evidence: &Evidence<'_>) -> Vec<Drift> {
    let shut = evidence.edge.iter().flat_map(|edge| &edge.shut);
    let needing = |listener: &str| {
        let listener = listener.to_owned();
        let serving = evidence.serving.iter().map(|serving| serving.app);
        serving.filter(move |app| app.routes.iter().any(|route| route.listener.to_string() == listener))
    };
    shut.flat_map(|(listener, reason)| {
        needing(listener).map(move |app| Drift {
            app: Some(app.name.clone()),
            message: format!("`{}` is not reached by {listener}: {reason}", app.name),
        })
    })
    .collect()
}

/// Host names whose certificate cannot be had or renewed.
fn uncertified(evidence: &Evidence<'_>) -> Vec<Drift> {
    let serving = evidence.serving.iter().map(|serving| serving.app);
    let mut drift: Vec<Drift> = Vec::new();
    for (app, route) in serving.flat_map(|app| app.routes.iter().map(move |route| (app, route))) {
        let host = route.host.as_ref().filter(|_| route.listener == Listener::Https);
        let trouble = host.and_then(|host| evidence.edge?.certificate_trouble(host.as_str()));
        if let Some(message) = trouble.filter(|message| drift.iter().all(|known| known.message != *message)) {
            drift.push(Drift { app: Some(app.name.clone()), message });
        }
    }
    drift
}

/// Host names that somebody else has at the Caddy in front.
fn not_in_caddy(evidence: &Evidence<'_>) -> Vec<Drift> {
    let serving = evidence.serving.iter().map(|serving| serving.app);
    let of_app = |app: &Application| {
        let told = evidence.caddy.into_iter().flat_map(|caddy| caddy.led_elsewhere(app)).collect::<Vec<_>>();
        told.into_iter().map(|message| Drift { app: Some(app.name.clone()), message }).collect::<Vec<_>>()
    };
    serving.flat_map(of_app).collect()
}
