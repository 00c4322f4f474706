//! Random releases: what runs, what is wanted, and what the platforms can do.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};
use uuid::Uuid;

use crate::{
    deployment::{Deployment, DeploymentId, Live},
    generation::Generation,
    id::ReleaseId,
    name::{AppName, PlatformName, PortName, ReleaseName, SecretName, TenantName},
    port::Capabilities,
    rollout::plan::Plan,
    rollout::planner::{PlanError, PlanInput, plan},
    route::{Listener, PathPrefix},
    secret::SecretVersions,
    spec::{
        Application, Bounds, CanaryStep, Check, Health, Hook, Hooks, Limits, Port, Resource, Route, SecretUse, Spec,
        StopPolicy, Strategy as Rollout, Target, Volume,
    },
    time::Millis,
};

/// Everything a plan is made of, owned.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) current: Vec<Live>,
    pub(super) target: Option<(u64, Spec)>,
    pub(super) secrets: SecretVersions,
}

pub(super) fn release() -> ReleaseId {
    ReleaseId::from_uuid(Uuid::from_u128(1))
}

pub(super) fn target(name: &str) -> Target {
    Target(PlatformName::new(name).expect("valid"))
}

impl Case {
    pub(super) fn plan(&self) -> Result<Plan, Vec<PlanError>> {
        let can = |converges| Capabilities {
            schemes: vec!["file".into()],
            replicas: true,
            volumes: true,
            hooks: true,
            converges,
            ..Capabilities::default()
        };
        plan(&PlanInput {
            release: release(),
            release_name: &ReleaseName::new("shop").expect("valid"),
            tenant: &TenantName::default_tenant(),
            current: &self.current,
            target: self.target.as_ref().map(|(revision, spec)| (*revision, spec)),
            secrets: &self.secrets,
            capabilities: &BTreeMap::from([(target("local"), can(false)), (target("cluster"), can(true))]),
            unavailable: &std::collections::BTreeSet::new(),
        })
    }

    pub(super) fn wanted(&self, name: &AppName) -> Option<&Application> {
        self.target.as_ref().and_then(|(_, spec)| spec.application(name))
    }

    /// The applications that are wanted as they are.
    pub(super) fn unchanged(&self) -> Vec<AppName> {
        let same = |live: &&Live| {
            let deployment = &live.deployment;
            let rotated = deployment.secrets.0.iter().any(|(name, version)| self.secrets.0.get(name) != Some(version));
            self.wanted(&deployment.app.name) == Some(&deployment.app) && !rotated
        };
        self.current.iter().filter(same).map(|live| live.deployment.app.name.clone()).collect()
    }
}

/// What varies of an application.
#[derive(Debug, Clone)]
struct Traits {
    version: u8,
    strategy: Rollout,
    replicas: u32,
    routes: u8,
    port: &'static str,
    fixed: bool,
    direct: bool,
    volume: Option<bool>,
    hooks: bool,
    secret: bool,
    cluster: bool,
}

fn any_strategy() -> impl Strategy<Value = Rollout> {
    let bake = prop_oneof![Just(Millis(0)), Just(Millis::secs(5)), Just(Millis::secs(9))];
    let canary = vec((0u8..=100, Just(Millis::secs(3))), 0..3);
    prop_oneof![
        bake.clone().prop_map(|bake| Rollout::BlueGreen { bake }),
        bake.clone().prop_map(|bake| Rollout::Recreate { bake }),
        (0u32..4, bake.clone()).prop_map(|(batch, bake)| Rollout::Rolling { batch, bake }),
        (canary, bake).prop_map(|(steps, bake)| {
            let steps = steps.into_iter().map(|(weight, bake)| CanaryStep { weight, bake }).collect();
            Rollout::Canary { steps, bake }
        }),
    ]
}

fn any_traits() -> impl Strategy<Value = Traits> {
    let size = (1u8..3, any_strategy(), prop_oneof![3 => 1u32..5, 1 => Just(0)]);
    let reach = (0u8..3, prop_oneof![Just("http"), Just("web")], prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let volume = option::weighted(0.2, any::<bool>());
    let rest = (volume, prop::bool::weighted(0.3), prop::bool::weighted(0.3), prop::bool::weighted(0.2));
    (size, reach, rest).prop_map(
        |((version, strategy, replicas), (routes, port, fixed, direct), (volume, hooks, secret, cluster))| Traits {
            version,
            strategy,
            // Several instances on one fixed port are refused, which is another test's business.
            replicas: if fixed || direct { replicas.min(1) } else { replicas },
            routes,
            port,
            fixed,
            direct,
            volume,
            hooks,
            secret,
            cluster,
        },
    )
}

/// Up to four applications; those behind depend on those before.
pub(super) fn any_case() -> impl Strategy<Value = Case> {
    let one = (option::weighted(0.8, any_traits()), option::weighted(0.8, any_traits()), prop::bool::weighted(0.3));
    (vec(one, 1..5), 0usize..4, 1u64..3, prop::bool::weighted(0.1)).prop_map(|(apps, depends, version, delete)| {
        let secrets = SecretVersions(BTreeMap::from([(secret(), version)]));
        let names: Vec<AppName> = (0..apps.len()).map(|n| AppName::new(format!("app{n}")).expect("valid")).collect();
        let mut current = Vec::new();
        let mut wanted = Vec::new();
        for (number, (had, want, same)) in apps.into_iter().enumerate() {
            let behind: Vec<AppName> = names[..number].iter().take(depends).cloned().collect();
            let had = had.map(|traits| application(&names[number], &traits));
            let want = if same { had.clone() } else { want.map(|traits| application(&names[number], &traits)) };
            current.extend(had.map(|app| live(app, number)));
            wanted.extend(want.map(|app| (app, behind)));
        }
        let present: Vec<AppName> = wanted.iter().map(|(app, _)| app.name.clone()).collect();
        let applications: Vec<Application> = wanted
            .into_iter()
            .map(|(app, behind)| Application {
                depends_on: behind.into_iter().filter(|name| present.contains(name)).collect(),
                ..app
            })
            .collect();
        // What runs was started with what it depends on then; that makes no difference to a plan.
        let target = (!delete && !applications.is_empty()).then_some((9, Spec::new(applications)));
        let mut case = Case { current, target, secrets };
        for live in &mut case.current {
            let depends_on = case.target.as_ref().and_then(|(_, spec)| spec.application(&live.deployment.app.name));
            live.deployment.app.depends_on = depends_on.map(|app| app.depends_on.clone()).unwrap_or_default();
        }
        case
    })
}

fn secret() -> SecretName {
    SecretName::new("password").expect("valid")
}

pub(super) fn live(app: Application, number: usize) -> Live {
    let revision = u64::try_from(number).expect("few") % 3 + 1;
    let name = ReleaseName::new("shop").expect("valid");
    let used = app.secrets.iter().map(|_| (secret(), 1)).collect();
    Live {
        weight: 100,
        instances: (0..app.replicas).collect(),
        addresses: BTreeMap::new(),
        generation: Generation::default(),
        deployment: Deployment {
            id: DeploymentId::derive(release(), &name, &app.name, revision),
            release: release(),
            release_name: name,
            tenant: TenantName::default_tenant(),
            revision,
            secrets: SecretVersions(used),
            app,
        },
    }
}

/// An application without ways in, on that platform.
pub(super) fn application_on(name: &AppName, target: &Target, version: u8) -> Application {
    let traits = Traits {
        version,
        strategy: Rollout::BlueGreen { bake: Millis(0) },
        replicas: 1,
        routes: 0,
        port: "http",
        fixed: false,
        direct: false,
        volume: None,
        hooks: false,
        secret: false,
        cluster: false,
    };
    Application { target: target.clone(), ports: Vec::new(), ..application(name, &traits) }
}

fn application(name: &AppName, traits: &Traits) -> Application {
    let port = PortName::new(traits.port).expect("valid");
    let number = 8000 + u16::from(*name.as_str().as_bytes().last().expect("a name"));
    let route = |path: u8| Route {
        listener: Listener::Port(number),
        host: None,
        path: PathPrefix::new(&format!("/{path}")).expect("valid"),
        port: port.clone(),
    };
    let hook = |word: &str| Some(Hook { command: vec![word.into()], timeout: Millis::secs(1) });
    Application {
        name: name.clone(),
        target: target(if traits.cluster { "cluster" } else { "local" }),
        resource: Resource { uri: "file:/app".into(), sha256: None },
        command: Vec::new(),
        args: vec![traits.version.to_string()],
        env: BTreeMap::new(),
        secrets: if traits.secret {
            vec![SecretUse::Env { secret: secret(), var: "PASSWORD".into() }]
        } else {
            Vec::new()
        },
        ports: vec![Port {
            name: port.clone(),
            env: None,
            fixed: (traits.fixed || traits.direct).then_some(number),
            direct: traits.direct,
            container: None,
        }],
        health: Health::with_defaults(Check::Running),
        routes: (0..traits.routes).map(route).collect(),
        strategy: traits.strategy.clone(),
        replicas: traits.replicas,
        limits: Limits::default(),
        volumes: traits
            .volume
            .map(|read_only| Volume { name: "data".into(), path: "/data".into(), env: None, source: None, read_only })
            .into_iter()
            .collect(),
        hooks: if traits.hooks {
            Hooks { before_launch: hook("a"), before_shift: hook("b"), after_shift: hook("c") }
        } else {
            Hooks::default()
        },
        depends_on: Vec::new(),
        stop: StopPolicy::default(),
        bounds: Bounds::default(),
        working_dir: None,
        platform_options: BTreeMap::new(),
        images: BTreeMap::new(),
        deployer: None,
        relaunched: None,
    }
}
