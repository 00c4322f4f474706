//! Plans to read: one for each strategy, word by word.

use super::{
    inputs::{Case, release, target},
    steps,
};
use crate::{
    deployment::{Deployment, DeploymentId, Live},
    generation::Generation,
    name::{AppName, PortName, ReleaseName, TenantName},
    rollout::planner::PlanError,
    route::{Listener, PathPrefix},
    secret::SecretVersions,
    spec::{
        Application, Bounds, CanaryStep, Check, Health, Hooks, Limits, Port, RecreateReason, Resource, Route, Spec,
        StopPolicy, Strategy, Volume,
    },
    time::Millis,
};

fn web(version: &str, strategy: Strategy, replicas: u32) -> Application {
    let port = PortName::new("http").expect("valid");
    Application {
        name: AppName::new("web").expect("valid"),
        target: target("local"),
        resource: Resource { uri: "file:/app".into(), sha256: None },
        command: Vec::new(),
        args: vec![version.into()],
        env: [].into(),
        secrets: Vec::new(),
        ports: vec![Port { name: port.clone(), env: None, fixed: None, direct: false, container: None }],
        health: Health::with_defaults(Check::Running),
        routes: vec![Route { listener: Listener::Port(9090), host: None, path: PathPrefix::default(), port }],
        strategy,
        replicas,
        limits: Limits::default(),
        volumes: Vec::new(),
        hooks: Hooks::default(),
        depends_on: Vec::new(),
        stop: StopPolicy::default(),
        bounds: Bounds::default(),
        working_dir: None,
        platform_options: [].into(),
        images: [].into(),
        deployer: None,
        relaunched: None,
    }
}

fn upgrade(had: Option<Application>, want: Option<Application>) -> Case {
    let name = ReleaseName::new("shop").expect("valid");
    let live = |app: Application| Live {
        weight: 100,
        instances: (0..app.replicas).collect(),
        addresses: [].into(),
        generation: Generation::default(),
        deployment: Deployment {
            id: DeploymentId::from_stored("old"),
            release: release(),
            release_name: name.clone(),
            tenant: TenantName::default_tenant(),
            revision: 1,
            app,
            secrets: SecretVersions::default(),
        },
    };
    Case {
        current: had.map(live).into_iter().collect(),
        target: want.map(|app| (2, Spec::new(vec![app]))),
        secrets: SecretVersions::default(),
    }
}

#[track_caller]
fn check(case: &Case, expected: &[&str]) {
    let plan = case.plan().expect("can be planned");
    let new = DeploymentId::derive(
        release(),
        &ReleaseName::new("shop").expect("valid"),
        &AppName::new("web").expect("valid"),
        2,
    );
    let mut lines: Vec<String> =
        steps(&plan).iter().map(|line| line.replace(new.as_str(), "new").replace("web: ", "")).collect();
    lines.insert(plan.commit as usize, "--".into());
    assert_eq!(lines, expected);
}

const BLUE_GREEN: Strategy = Strategy::BlueGreen { bake: Millis(0) };

#[test]
fn an_install_launches_waits_and_routes() {
    check(
        &upgrade(None, Some(web("1", Strategy::BlueGreen { bake: Millis::secs(5) }, 2))),
        &[
            "fetch file:/app",
            "launch new [0-1]",
            "await healthy new [0-1]",
            "shift traffic to new 100%",
            "verify through the edge that new answers",
            "bake new for 5s",
            "--",
        ],
    );
}

#[test]
fn one_that_others_wait_for_is_reachable_before_they_start() {
    let mut db = web("1", BLUE_GREEN, 1);
    db.name = AppName::new("db").expect("valid");
    let mut api = web("1", BLUE_GREEN, 1);
    api.depends_on = vec![db.name.clone()];
    let mut install = upgrade(None, Some(api.clone()));
    install.target.as_mut().expect("a spec").1.applications.insert(0, db.clone());
    api.routes[0].listener = Listener::Port(9091);
    install.target.as_mut().expect("a spec").1.applications[1] = api;
    let plan = install.plan().expect("can be planned");
    let order: Vec<(&str, &str)> = plan.steps.iter().map(|step| (step.app.as_str(), step.action.name())).collect();
    assert_eq!(
        order,
        [
            ("db", "fetch"),
            ("web", "fetch"),
            ("db", "launch"),
            ("db", "await-healthy"),
            ("db", "shift"),
            ("db", "verify"),
            ("web", "launch"),
            ("web", "await-healthy"),
            ("web", "shift"),
            ("web", "verify"),
        ]
    );
    // When it serves already, all of them move together, after all of them are well.
    let mut newer = upgrade(Some(db.clone()), None);
    let spec = Spec::new(install.target.expect("a spec").1.applications);
    newer.target = Some((2, spec));
    newer.target.as_mut().expect("a spec").1.applications[0].args = vec!["2".into()];
    let plan = newer.plan().expect("can be planned");
    let shifts: Vec<usize> = (0..plan.steps.len()).filter(|at| plan.steps[*at].action.name() == "shift").collect();
    let last_health = plan.steps.iter().rposition(|step| step.action.name() == "await-healthy").expect("one");
    assert!(shifts.iter().all(|at| *at > last_health), "{:?}", steps(&plan));
}

#[test]
fn blue_green_keeps_the_old_one_until_the_commit() {
    check(
        &upgrade(Some(web("1", BLUE_GREEN, 1)), Some(web("2", BLUE_GREEN, 1))),
        &[
            "fetch file:/app",
            "launch new [0]",
            "await healthy new [0]",
            "shift traffic to new 100%",
            "verify through the edge that new answers",
            "--",
            "drain old [0]",
            "retire old [0]",
        ],
    );
}

#[test]
fn recreate_holds_requests_meanwhile() {
    let recreate = Strategy::Recreate { bake: Millis(0) };
    check(
        &upgrade(Some(web("1", BLUE_GREEN, 1)), Some(web("2", recreate, 1))),
        &[
            "fetch file:/app",
            "hold requests for at most 60s",
            "drain old [0]",
            "retire old [0]",
            "launch new [0]",
            "await healthy new [0]",
            "shift traffic to new 100%",
            "verify through the edge that new answers",
            "--",
            "clear away what is left of old",
        ],
    );
}

#[test]
fn rolling_goes_batch_by_batch_and_is_seen_before_the_first_old_one_goes() {
    let rolling = Strategy::Rolling { batch: 2, bake: Millis(0) };
    check(
        &upgrade(Some(web("1", BLUE_GREEN, 3)), Some(web("2", rolling, 3))),
        &[
            "fetch file:/app",
            "launch new [0-1]",
            "await healthy new [0-1]",
            "shift traffic to new 66%, old 34%",
            "verify through the edge that new answers",
            "drain old [0-1]",
            "retire old [0-1]",
            "launch new [2]",
            "await healthy new [2]",
            "shift traffic to new 100%",
            "verify through the edge that new answers",
            "drain old [2]",
            "retire old [2]",
            "--",
            "clear away what is left of old",
        ],
    );
}

#[test]
fn a_canary_is_judged_at_each_stage() {
    let stage = |weight| CanaryStep { weight, bake: Millis::secs(30) };
    let canary = Strategy::Canary { steps: vec![stage(10), stage(50), stage(100)], bake: Millis::secs(60) };
    check(
        &upgrade(Some(web("1", BLUE_GREEN, 1)), Some(web("2", canary, 1))),
        &[
            "fetch file:/app",
            "launch new [0]",
            "await healthy new [0]",
            "shift traffic to new 10%, old 90%",
            "bake new for 30s, judged by its errors and latency",
            "shift traffic to new 50%, old 50%",
            "bake new for 30s, judged by its errors and latency",
            "shift traffic to new 100%",
            "verify through the edge that new answers",
            "bake new for 60s",
            "--",
            "drain old [0]",
            "retire old [0]",
        ],
    );
}

#[test]
fn scaling_keeps_the_deployment() {
    let case = upgrade(Some(web("1", BLUE_GREEN, 2)), Some(web("1", BLUE_GREEN, 3)));
    check(&case, &["launch old [2]", "await healthy old [2]", "verify through the edge that old answers", "--"]);
    let case = upgrade(Some(web("1", BLUE_GREEN, 3)), Some(web("1", BLUE_GREEN, 1)));
    check(&case, &["--", "drain old [1-2]", "retire old [1-2]"]);
}

#[test]
fn a_delete_has_nothing_to_undo() {
    let case = upgrade(Some(web("1", BLUE_GREEN, 1)), None);
    check(&case, &["--", "give up the routes", "drain old [0]", "retire old [0]"]);
}

#[test]
fn a_fixed_port_and_a_volume_force_recreate_and_say_so() {
    let fixed = |version| {
        let mut app = web(version, BLUE_GREEN, 1);
        app.ports[0].fixed = Some(8080);
        app
    };
    let notices = upgrade(Some(fixed("1")), Some(fixed("2"))).plan().expect("can be planned").notices;
    assert!(matches!(&notices[..], [only] if matches!(only.recreate, RecreateReason::FixedPort { .. })));
    let mut writer = web("1", BLUE_GREEN, 1);
    let volume = |read_only| Volume { name: "data".into(), path: "/d".into(), env: None, source: None, read_only };
    writer.volumes = vec![volume(false)];
    let mut reader = web("2", BLUE_GREEN, 1);
    reader.volumes = vec![volume(true)];
    let notices = upgrade(Some(writer), Some(reader)).plan().expect("can be planned").notices;
    assert!(matches!(&notices[..], [only] if matches!(only.recreate, RecreateReason::SingleWriter { .. })));
}

#[test]
fn a_platform_that_cannot_is_named_with_what_it_cannot() {
    let mut app = web("1", BLUE_GREEN, 1);
    app.limits.memory_bytes = Some(1);
    app.resource.uri = "docker:nginx".into();
    let errors = upgrade(None, Some(app.clone())).plan().expect_err("the platform cannot");
    assert_eq!(errors.len(), 2);
    assert!(errors[1].to_string().contains("docker:nginx"));
    app.target = target("nowhere");
    let errors = upgrade(None, Some(app)).plan().expect_err("there is no such platform");
    assert!(matches!(errors[..], [PlanError::UnknownTarget { .. }]));
}
