//! The typed, versioned, resolved form of a revision, as the engine runs it.
//!
//! A spec is what every kind of source (package, app, tenant) is translated into; nothing here says how it was written.
//! It is stored as JSON: fields are only ever added, each with a default, and [`SPEC_VERSION`] is raised when an old
//! reader would misunderstand a new document.

mod application;
mod deployer;
mod probe;
mod strategy;
mod waves;

pub use application::{
    Application, Bounds, Edition, Hook, Hooks, Limits, Port, Resource, Route, SecretUse, Signal, StopPolicy, Volume,
};
pub use deployer::Deployer;
pub use probe::{Check, Health};
pub use strategy::{CanaryStep, RecreateReason, Strategy};
pub use waves::{InvalidTerm, OnFailure, Portion, WaveTerms};

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{
    name::{AppName, PlatformName},
    route::Host,
    time::Millis,
};

/// The version written into new specs.
pub const SPEC_VERSION: u16 = 1;

/// All applications of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Version of this document; see [`SPEC_VERSION`].
    pub version: u16,
    /// The applications; names are unique.
    pub applications: Vec<Application>,
    /// The manifest is what the author's templates gave, and is kept to the letter: it is not written anew from this spec.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verbatim: bool,
    /// How long the rollout to this revision waits for health, in place of each application's own bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_bound: Option<Millis>,
    /// What the documents say of themselves beside their names: key, and every value that one of them has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, BTreeSet<String>>,
    /// What is to be known of a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Box<PreviewTerms>>,
    /// How the rollout to this revision goes from node to node; `None`: everything at once, or not at all. No part of what is run:
    /// specs that differ in nothing else are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waves: Option<Box<WaveTerms>>,
}

/// On what terms a preview lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewTerms {
    /// Its host names; that of the address comes first. None for an app without ways in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// How long it lives after it was asked for; for ever when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Millis>,
    /// Most previews of the app at a time, this one included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

/// Where an application runs: the name of a configured platform account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target(pub PlatformName);

impl Target {
    /// The place that it is a part of: a node with all of its accounts, or an account of the server's own.
    #[must_use]
    pub fn place(&self) -> Self {
        self.0.node().map_or_else(|| self.clone(), |(node, _)| Self(PlatformName::of_node(&node, None)))
    }

    /// What people call that place: a node by its name.
    #[must_use]
    pub fn place_name(&self) -> String {
        self.0.node().map_or_else(|| self.0.to_string(), |(node, _)| node.to_string())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A spec that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No application at all.
    #[error("the manifest holds no application")]
    Empty,
    /// Two applications of one name.
    #[error("two applications are called `{0}`; names are unique within a release")]
    DuplicateApplication(AppName),
    /// A dependency on an application that is not there.
    #[error("application `{app}` depends on `{missing}`, which is not in this release")]
    UnknownDependency {
        /// Who depends.
        app: AppName,
        /// On what.
        missing: AppName,
    },
    /// Applications that wait for each other.
    #[error("applications depend on each other in a circle: {}", .0.iter().map(AppName::as_str).collect::<Vec<_>>().join(" -> "))]
    DependencyCycle(Vec<AppName>),
    /// A route or probe that names a port that is not declared.
    #[error("application `{app}`: {user} names port `{port}`, which is not declared")]
    UnknownPort {
        /// The application.
        app: AppName,
        /// What names it: a route or a probe.
        user: &'static str,
        /// The name it uses.
        port: String,
    },
    /// Two routes of one release for the same listener, host and path.
    #[error("two routes claim {0}; a listener, host and path lead to one application")]
    DuplicateRoute(String),
}

impl Spec {
    /// A spec of these applications, by today's [`SPEC_VERSION`].
    #[must_use]
    pub fn new(applications: Vec<Application>) -> Self {
        Self {
            version: SPEC_VERSION,
            applications,
            verbatim: false,
            health_bound: None,
            metadata: BTreeMap::new(),
            preview: None,
            waves: None,
        }
    }

    /// The spec with the bounds that its rollout keeps.
    #[must_use]
    pub fn bounded(&self) -> Cow<'_, Self> {
        let Some(health) = self.health_bound else { return Cow::Borrowed(self) };
        let mut bounded = self.clone();
        bounded.applications.iter_mut().for_each(|app| app.bounds.health = health);
        Cow::Owned(bounded)
    }

    /// The application of that name.
    #[must_use]
    pub fn application(&self, name: &AppName) -> Option<&Application> {
        self.applications.iter().find(|app| app.name == *name)
    }

    /// Checks what no single application can know.
    ///
    /// # Errors
    ///
    /// Every [`SpecError`] there is, not only the first.
    pub fn validate(&self) -> Result<(), Vec<SpecError>> {
        let mut errors = Vec::new();
        let mut names = BTreeSet::new();
        let mut routes = BTreeSet::new();
        if self.applications.is_empty() {
            errors.push(SpecError::Empty);
        }
        for app in &self.applications {
            if !names.insert(&app.name) {
                errors.push(SpecError::DuplicateApplication(app.name.clone()));
            }
        }
        for app in &self.applications {
            for missing in app.depends_on.iter().filter(|d| !names.contains(d)) {
                errors.push(SpecError::UnknownDependency { app: app.name.clone(), missing: missing.clone() });
            }
            for route in &app.routes {
                if !app.ports.iter().any(|p| p.name == route.port) {
                    let port = route.port.to_string();
                    errors.push(SpecError::UnknownPort { app: app.name.clone(), user: "a route", port });
                }
                let key = route.key();
                if key.listener != crate::route::Listener::Auto && !routes.insert(key.clone()) {
                    errors.push(SpecError::DuplicateRoute(key.to_string()));
                }
            }
            if let Some(port) = app.health.check.port()
                && !app.ports.iter().any(|p| p.name == *port)
            {
                let port = port.to_string();
                errors.push(SpecError::UnknownPort { app: app.name.clone(), user: "the health check", port });
            }
        }
        if errors.is_empty()
            && let Err(circle) = self.start_order()
        {
            errors.push(SpecError::DependencyCycle(circle));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Names in groups: every application comes in a later group than all it depends on; within a group by name.
    ///
    /// # Errors
    ///
    /// The names of a dependency circle.
    pub fn start_order(&self) -> Result<Vec<Vec<AppName>>, Vec<AppName>> {
        let mut waiting: BTreeMap<&AppName, &Application> = self.applications.iter().map(|a| (&a.name, a)).collect();
        let mut groups = Vec::new();
        while !waiting.is_empty() {
            let ready: Vec<AppName> = waiting
                .values()
                .filter(|app| !app.depends_on.iter().any(|d| waiting.contains_key(d)))
                .map(|app| app.name.clone())
                .collect();
            if ready.is_empty() {
                return Err(waiting.keys().map(|name| (*name).clone()).collect());
            }
            for name in &ready {
                waiting.remove(name);
            }
            groups.push(ready);
        }
        Ok(groups)
    }
}
