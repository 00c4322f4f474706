use serde_json::Value;
use skipper_core::{
    route::Listener,
    spec::{Check, RecreateReason, Signal, Strategy},
    time::Millis,
};

use crate::support::{app, app_faults, document, try_render};

#[test]
fn little_is_needed_and_the_rest_has_defaults() {
    let app = app("");
    assert_eq!(
        (app.name.as_str(), app.target.0.as_str(), app.resource.uri.as_str()),
        ("web", "local", "builtin:sample")
    );
    assert_eq!((app.replicas, &app.health.check), (1, &Check::Running));
    assert_eq!(app.strategy, Strategy::BlueGreen { bake: Millis(0) });
    assert!(app.routes.is_empty() && app.ports.is_empty());
}

#[test]
fn everything_can_be_said() {
    let app = app(r#"
platform: other
command: [/opt/app/server]
args: [--port, "{port.http}", 8080, true, 1.10]
env: { TEXT: x, NUMBER: 8080, VERSION: 1.10, TRUTH: true, EMPTY: "" }
ports:
  - { name: http, env: PORT, listen: 9090 }
  - { name: admin, fixed: 9000, env: ADMIN, expose: false }
health: { http: { path: /health, port: http, status: [200, "3xx", "400-404"] }, interval: 200ms, timeout: 2s, retries: 4, startPeriod: 30s, successes: 2 }
routes: [{ host: Hello.Example.org, path: /api/, port: http, tls: true }]
strategy: { canary: { steps: [{ weight: 10, bake: 30s }, { weight: 50 }] } }
bake: 1m30s
drain: 5s
replicas: 3
resources: { memory: 256Mi, cpu: 500m }
volumes: [{ name: data, path: /data, env: DATA_DIR, readOnly: true }]
hooks: { beforeLaunch: { command: ["./migrate"], timeout: 60s }, afterShift: { command: [notify] } }
secrets: [{ name: db-password, env: DB_PASSWORD }, { name: tls-key, file: key.pem }]
stop: { signal: SIGINT, grace: 20s }
bounds: { fetch: 1m, start: 10s, health: 3m, hold: 5s }
workingDir: /srv
platformOptions: { anything: { x: [1] } }
"#);
    assert_eq!(app.args, ["--port", "{port.http}", "8080", "true", "1.10"]);
    let env: Vec<&str> = app.env.values().map(String::as_str).collect();
    assert_eq!(env, ["", "8080", "x", "true", "1.10"]);
    let routes: Vec<String> = app.routes.iter().map(|route| route.key().to_string()).collect();
    assert_eq!(routes, [":9090 */", "http hello.example.org/api", "https hello.example.org/api"]);
    let Check::Http { status, .. } = &app.health.check else { panic!("{:?}", app.health) };
    assert_eq!(*status, [(200, 200), (300, 399), (400, 404)]);
    assert_eq!((app.health.interval, app.health.successes, app.health.retries), (Millis(200), 2, 4));
    assert_eq!(app.strategy.bake(), Millis::secs(90));
    assert_eq!((app.bounds.drain, app.bounds.hold, app.stop.signal), (Millis::secs(5), Millis::secs(5), Signal::Int));
    assert_eq!((app.limits.memory_bytes, app.limits.cpu_millis), (Some(256 << 20), Some(500)));
    assert_eq!(app.hooks.after_shift.as_ref().map(|hook| hook.timeout), Some(Millis::secs(300)));
    assert_eq!(app.secrets.len(), 2);
    assert_eq!(app.effective_strategy().1, None::<RecreateReason>);
}

#[test]
fn health_has_many_forms() {
    let ports = "ports: [{ name: admin, env: A }, { name: http, env: H }]\n";
    for (health, expected) in [
        ("", "tcp admin"),
        ("health: running", "running"),
        ("health: { running: true }", "running"),
        ("health: { tcp: http }", "tcp http"),
        ("health: { tcp: {} }", "tcp http"),
        ("health: { tcp: { port: admin } }", "tcp admin"),
        ("health: { http: /up }", "http http /up [(200, 399)]"),
        ("health: { http: {} }", "http http / [(200, 399)]"),
        ("health: { http: { path: /up, port: admin, status: 204 } }", "http admin /up [(204, 204)]"),
        ("health: { http: { status: 2xx } }", "http http / [(200, 299)]"),
        ("health: { command: [./check, -v] }", "command ./check -v"),
        ("health: { interval: 1s }", "tcp admin"),
    ] {
        let shown = match app(&format!("{ports}{health}")).health.check {
            Check::Running => "running".to_owned(),
            Check::Tcp { port } => format!("tcp {port}"),
            Check::Boot { port } => format!("boot {port}"),
            Check::Http { port, path, status } => format!("http {port} {path} {status:?}"),
            Check::Command { command } => format!("command {}", command.join(" ")),
        };
        assert_eq!(shown, expected, "{health}");
    }
}

#[test]
fn strategies_have_many_forms() {
    for (strategy, expected) in [
        ("", "blue-green"),
        ("strategy: blue-green", "blue-green"),
        ("strategy: { blue-green: {} }", "blue-green"),
        ("strategy: recreate", "recreate"),
        ("strategy: rolling", "rolling"),
        ("strategy: { rolling: { batch: 2 } }", "rolling"),
        ("strategy: { canary: { steps: [{ weight: 5 }] } }", "canary"),
    ] {
        assert_eq!(app(strategy).strategy.name(), expected, "{strategy}");
    }
}

#[test]
fn ways_in_follow_from_ports_and_routes() {
    for (spec, expected) in [
        ("", ""),
        ("ports: [{ name: http, env: P }]", "auto */ http"),
        ("ports: [{ name: a, env: A }, { name: b, env: B }]", "auto */ a"),
        ("ports: [{ name: a, env: A, expose: false }, { name: b, env: B }]", "auto */ b"),
        ("ports: [{ name: a, env: A }]\nexpose: false", ""),
        ("ports: [{ name: a, env: A, expose: false }]", ""),
        ("ports: [{ name: a, env: A, listen: 80 }, { name: b, env: B, listen: https }]", ":80 */ a; https */ b"),
        ("ports: [{ name: a, fixed: 80, direct: true }]", ""),
        ("ports: [{ name: a, fixed: 80, direct: true }, { name: b, env: B }]", "auto */ b"),
        ("ports: [{ name: a, env: A }]\nroutes: [{ host: x.org }]", "http x.org/ a"),
        ("ports: [{ name: a, env: A }]\nroutes: [{ host: x.org, tls: true }]", "http x.org/ a; https x.org/ a"),
        ("ports: [{ name: a, env: A }]\nroutes: [{ host: x.org, listen: 8080 }]", ":8080 x.org/ a"),
        ("ports: [{ name: a, env: A, listen: 80 }]\nroutes: [{ path: /x }]", ":80 */ a; :80 */x a"),
        ("ports: [{ name: a, env: A }]\nroutes: [{ path: /x }]", "auto */x a"),
        ("ports: [{ name: a, env: A }, { name: http, env: B }]\nroutes: [{ host: x.org }]", "http x.org/ http"),
    ] {
        let routes: Vec<String> = app(spec).routes.iter().map(|r| format!("{} {}", r.key(), r.port)).collect();
        assert_eq!(routes.join("; "), expected, "{spec}");
    }
    assert_eq!(app("ports: [{ name: a, env: A }]").routes[0].listener, Listener::Auto);
}

#[test]
fn every_fault_is_named_with_place_and_remedy() {
    for (spec, expected) in [
        ("replica: 2", "spec: unknown key `replica`; did you mean `replicas`?"),
        ("replicas: 1001", "spec.replicas: must be a whole number from 0 to 1000, and is `1001`"),
        ("replicas: two", "and is the text `two`"),
        ("replicas: [1]", "and is a list"),
        ("checksum: abc", "a checksum is written `sha256:`"),
        ("checksum: sha256:abc", "64 hexadecimal digits"),
        ("args: --port 80", "spec.args: must be a list, one item an argument; write [\\\"--port\\\", \\\"80\\\"]"),
        ("args: [{a: 1}]", "spec.args[0]: must be text, and is a map"),
        ("env: { A: null }", "spec.env.A: has no value; write \"\" for an empty text"),
        ("env: { A: [1] }", "spec.env.A: must be text"),
        ("env: { 'A=B': x }", "is not the name of an environment variable"),
        ("env: { A: x }\nports: [{ name: a, env: A }]", "the variable `A` is set in two places"),
        ("ports: [{ env: A }]", "spec.ports[0]: `name` is missing"),
        ("ports: [{ name: a, env: A }, { name: a, env: B }]", "a second port called `a`"),
        ("ports: [{ name: a, listen: 0, env: A }]", "spec.ports[0].listen: must be a whole number from 1 to 65535"),
        ("ports: [{ name: a, listen: tcp, env: A }]", "must be a port number, `http`, `https` or `auto`"),
        ("ports: [{ name: a, direct: true }]", "a direct port needs `fixed`"),
        ("ports: [{ name: a, direct: true, fixed: 1, listen: 2 }]", "reached without the edge"),
        ("ports: [{ name: a, env: A, listen: 80 }]\nexpose: false", "contradicts"),
        (
            "ports: [{ name: http, env: A }]\nroutes: [{ port: htpt }]",
            "spec.routes[0].port: there is no port `htpt`; did you mean `http`?",
        ),
        ("routes: [{ host: x.org }]", "a route leads to a port, and this application declares none"),
        (
            "ports: [{ name: a, env: A }, { name: b, env: B }]\nroutes: [{ host: x.org }]",
            "`port` is missing: this application has several",
        ),
        ("ports: [{ name: a, env: A }]\nroutes: [{ host: 'x y' }]", "`x y` is not a host name"),
        ("ports: [{ name: a, env: A }]\nroutes: [{ path: x }]", "`x` is not a path prefix"),
        ("ports: [{ name: a, env: A }]\nroutes: [{ tls: true }]", "`tls: true` adds"),
        (
            "ports: [{ name: a, env: A }]\nroutes: [{ host: x.org }, { host: x.org, listen: http, port: a }, { host: X.org, path: / }]\nreplicas: x",
            "replicas",
        ),
        ("health: { http: /x }", "asks a port, and this application declares none"),
        (
            "health: { http: /x, tcp: y }\nports: [{ name: y, env: A }]",
            "one question at a time; these are several: http, tcp",
        ),
        ("health: { http: { path: x } }\nports: [{ name: y, env: A }]", "must be a path that starts with `/`"),
        ("health: { http: { status: 99 } }\nports: [{ name: y, env: A }]", "must be a status such as 200"),
        ("health: { http: { status: [] } }\nports: [{ name: y, env: A }]", "must name a status"),
        ("health: { interval: 1ms }", "must be at least 10ms"),
        ("health: { intervall: 1s }", "did you mean `interval`?"),
        ("health: walking", "spec.health: must be a map, and is the text `walking`"),
        ("strategy: purple", "must be `blue-green`, `recreate`, `rolling` or `canary`"),
        ("strategy: canary", "a canary needs its steps"),
        ("strategy: { rolling: { batch: 0 } }", "from 1 to 1000"),
        ("strategy: { rolling: {}, canary: {} }", "must name one strategy"),
        ("strategy: { canary: { steps: [{ weight: 50 }, { weight: 50 }] } }", "weights must grow"),
        ("strategy: { canary: { steps: [{ weight: 100 }] } }", "from 1 to 99"),
        ("bake: 5", "spec.bake: `5` is not a span of time; write a number with ms, s, m, h or d"),
        ("drain: 1s\nbounds: { drain: 2s }", "`drain` is set twice"),
        ("bounds: { start: 0s }", "a bound of nothing always fails"),
        ("resources: { memory: 256 }", "256 bytes are less than 1Mi; is the unit missing?"),
        ("resources: { memory: 1mb }", "`1mb` is not a size"),
        ("resources: { cpu: 0 }", "`0` is not a share of CPUs"),
        ("volumes: [{ name: a, path: data }]", "must be an absolute path"),
        ("volumes: [{ name: a/b, path: /data }]", "is not a plain file name"),
        ("volumes: [{ name: a, path: /x }, { name: a, path: /y }]", "another volume has the same name"),
        ("secrets: [{ name: a }]", "`env` or `file` is missing"),
        ("secrets: [{ name: a, file: ../x }]", "is not a plain file name"),
        ("secrets: [{ name: a, file: .. }]", "is not a plain file name"),
        ("secrets: [{ name: a, file: x }, { name: b, file: x }]", "two secrets share the file `x`"),
        ("hooks: { beforeLaunch: { timeout: 1s } }", "spec.hooks.beforeLaunch: `command` is missing"),
        ("hooks: { before: { command: [x] } }", "unknown key `before`"),
        ("dependsOn: [web]", "an application cannot depend on itself"),
        ("dependsOn: [db]", "depends on `db`, which is not in this release"),
        ("stop: { signal: KILL }", "must be TERM, INT, QUIT, HUP, USR1 or USR2"),
        ("args: ['{port.http}']", "`{port.http}`: there is no such port"),
        ("workingDir: x", "must be an absolute path"),
        ("env: { A: \"\\0\" }", "NUL"),
    ] {
        let shown = app_faults(spec);
        assert!(shown.contains(expected), "{spec}: {shown}");
    }
    for (resource, expected) in [
        ("/opt/app", "write `file:/opt/app` with the whole path"),
        ("./app", "write `file:/app` with the whole path"),
        ("file:app", "a path after `file:` is absolute"),
        ("file:/a/../b", "has no `..`"),
        ("ftp://x", "not an address of a known kind"),
        ("htps://x", "did you mean `https`?"),
        ("https:x", "an address has a host"),
        ("'builtin:'", "something must follow the colon"),
        ("[]", "must be text"),
    ] {
        let text = document(&format!("resource: {resource}"));
        let shown = try_render(&[("templates/web.yml", &text)], &Value::Null).expect_err("refused").to_string();
        assert!(shown.contains(expected), "{resource}: {shown}");
    }
}

#[test]
fn all_faults_of_all_documents_are_named_at_once_with_their_lines() {
    let text = format!("{}---\nkind: Applicaton\n", document("resource: builtin:sample\nreplica: 1\nbake: x\n"));
    let shown = try_render(&[("templates/a.yml", &text), ("templates/b.yml", "a: {{nope}}")], &Value::Null)
        .expect_err("refused");
    let lines: Vec<String> =
        shown.findings().iter().map(|f| format!("{}:{} {}", f.file, f.at.map_or(0, |at| at.line), f.code)).collect();
    assert_eq!(
        lines,
        [
            "templates/a.yml:6 key-unknown",
            "templates/a.yml:7 value-invalid",
            "templates/a.yml:9 key-missing",
            "templates/a.yml:9 document-kind",
            "templates/b.yml:1 name-unknown",
        ]
    );
}

#[test]
fn what_is_odd_but_works_is_a_warning() {
    let text = document("resource: https://example.org/app\nports: [{ name: http }]\n");
    let rendered = try_render(&[("templates/web.yml", &text)], &Value::Null).expect("works");
    let codes: Vec<&str> = rendered.warnings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["port-untold", "resource-unpinned"]);
    assert!(app("ports: [{ name: http }]\nargs: ['{port.http}']").ports[0].env.is_none());
}
