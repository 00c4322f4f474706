//! Laws that hold for any input.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};
use skipper_core::{
    name::{AppName, PlatformName, PortName, SecretName},
    route::{Host, Listener, PathPrefix},
    spec::{
        Application, Bounds, CanaryStep, Check, Health, Hook, Hooks, Limits, Port, Resource, Route, SecretUse, Signal,
        Spec, StopPolicy, Strategy as Way, Target, Volume,
    },
    time::Millis,
};
use skipper_source::{
    Archive, fuzz, manifest, maven_cmp, maven_key,
    mustache::{Scope, parse, render},
    values::{Typing, combine, merge, parse_set},
    yaml::{Input, Slots, emit, read_one},
};

use crate::{
    support::PACKAGE,
    zip_bytes::{entry, zip},
};

/// A manifest that says much.
const RICH: &str = "
apiVersion: skipper/v2
kind: Application
metadata: { name: web }
spec:
  platform: local
  resource: file:/opt/app
  command: [a, b]
  env: { A: x }
  ports: [{ name: http, env: PORT, listen: 80 }, { name: admin, fixed: 9000, container: c }]
  routes: [{ host: x.org, path: /a, port: http, tls: true }, { listen: auto, path: /b, port: admin }]
  health: { http: { path: /h, port: http, status: [2xx, 304] }, interval: 1s, retries: 5 }
  strategy: { canary: { steps: [{ weight: 10, bake: 30s }] } }
  bake: 1m
  drain: 5s
  replicas: 2
  resources: { memory: 64Mi, cpu: 1.5 }
  volumes: [{ name: v, path: /v, env: V, readOnly: true }]
  hooks: { beforeLaunch: { command: [m] } }
  secrets: [{ name: s, env: S }, { name: t, file: t.pem }]
  stop: { signal: INT, grace: 1s }
  bounds: { start: 5s }
  workingDir: /w
  platformOptions: { o: [1, { x: null }] }
---
apiVersion: skipper/v2
kind: Application
metadata: { name: db }
spec: { platform: local, resource: 'builtin:sample', expose: false, ports: [{ name: p, env: P }], strategy: recreate }
";

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9.]{0,6}",
        2 => "\\PC{0,12}",
        2 => "[-:#&*!|>'\"%@`{}\\[\\],?\\\\ \t\r\na0.~=<]{0,12}",
        1 => any::<String>(),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 5, |inner| {
        prop_oneof![vec(inner.clone(), 0..5).prop_map(Value::Array), vec((text(), inner), 0..5).prop_map(object)]
    })
}

fn object(entries: Vec<(String, Value)>) -> Value {
    Value::Object(entries.into_iter().collect::<Map<_, _>>())
}

/// Values with few names, so that they meet.
fn values() -> impl Strategy<Value = Value> {
    let inner = prop_oneof![(0..3_i32).prop_map(Value::from), Just(Value::Null), Just(json!([1, null]))];
    let maps = inner.prop_recursive(3, 24, 4, |inner| vec(("[a-d]", inner), 0..4).prop_map(object));
    vec(("[a-d]", maps), 0..5).prop_map(object)
}

fn has_null(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.values().any(|v| v.is_null() || has_null(v)))
}

/// 400 cases, or as many as `PROPTEST_CASES` asks for.
fn cases() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.max(400), failure_persistence: None, ..asked }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn yaml_reads_back_what_it_wrote(value in value()) {
        let written = emit(&value);
        let again = read_one(Input::plain("f.yml", &written)).map_err(|f| TestCaseError::fail(format!("{f}\n{written}")))?;
        prop_assert_eq!(again.map_or(Value::Null, |node| node.to_value()), value);
    }

    #[test]
    fn merging_has_its_laws(a in values(), b in values()) {
        let none = json!({});
        prop_assert_eq!(combine(&a, &none), a.clone());
        prop_assert_eq!(combine(&none, &a), a.clone());
        prop_assert_eq!(combine(&a, &a), a.clone());
        let merged = merge(&a, &b);
        prop_assert!(!has_null(&merged));
        prop_assert_eq!(merge(&merged, &b), merged.clone());
        // A name that the upper layer does not mention is as the lower one has it.
        for (key, value) in a.as_object().expect("a map") {
            if b.get(key).is_none() {
                prop_assert_eq!(merged.get(key).cloned(), merge(&none, &a).get(key).cloned());
                prop_assert!(merged.get(key).is_some() || value.is_null());
            }
        }
        // What it does mention and is no map is as it says.
        for (key, value) in b.as_object().expect("a map") {
            if !value.is_object() {
                prop_assert_eq!(merged.get(key).unwrap_or(&Value::Null), value);
            }
        }
    }

    #[test]
    fn a_value_in_a_template_is_that_value(v in value(), prefix in "[a-z ]{0,5}") {
        prop_assume!(!v.is_null());
        let template = parse("t.yml", "x: {{v}}\nl: [{{v}}]\n{{#t}}\nm: {a: {{v}}}\n{{/t}}\n").expect("a template");
        let mut slots = Slots::new();
        let values = json!({"v": v, "t": true});
        let output = render(&template, &Scope::new(&values, None), &mut slots).expect("rendered");
        let input = Input { file: "t.yml", text: &output.text, slots: Some(&slots), origin: None };
        let document = read_one(input).map_err(|f| TestCaseError::fail(f.to_string()))?.expect("a document").to_value();
        prop_assert_eq!(document, json!({"x": v, "l": [v], "m": {"a": v}}));
        if let Value::String(text) = &v {
            let template = parse("t.yml", &format!("x: \"{prefix}{{{{v}}}}\"\n")).expect("a template");
            let mut slots = Slots::new();
            let output = render(&template, &Scope::new(&values, None), &mut slots).expect("rendered");
            let input = Input { file: "t.yml", text: &output.text, slots: Some(&slots), origin: None };
            let document = read_one(input).map_err(|f| TestCaseError::fail(f.to_string()))?.expect("a document").to_value();
            prop_assert_eq!(document, json!({"x": format!("{prefix}{text}")}));
        }
    }

    #[test]
    fn set_sets_what_it_is_told(keys in vec("[a-z.,=\\[\\]\\\\{} ]{1,6}", 1..4), text in "\\PC{0,10}") {
        let escape = |text: &str| text.chars().map(|c| if ".,=[]\\{}".contains(c) { format!("\\{c}") } else { c.to_string() }).collect::<String>();
        let path: Vec<String> = keys.iter().map(|key| escape(key)).collect();
        let mut values = json!({});
        parse_set(&mut values, &format!("{}={},other=1", path.join("."), escape(&text)), Typing::Text)
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        let found = keys.iter().try_fold(&values, |value, key| value.get(key));
        if keys[0] != "other" {
            prop_assert_eq!(found, Some(&json!(text)));
        }
        prop_assert_eq!(values.get("other"), Some(&json!("1")));
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300), text in "\\PC{0,80}") {
        for input in [bytes.as_slice(), text.as_bytes()] {
            fuzz::archive(input);
            fuzz::yaml(input);
            fuzz::template(input);
            fuzz::manifest(input);
            fuzz::index(input);
            fuzz::classic_archive(input);
            fuzz::classic_text(input);
        }
    }

    #[test]
    fn any_text_with_the_right_words_is_survived(
        words in vec(select(vec![
            "{{", "}}", "{{#a}}", "{{/a}}", "{{^b.c}}", "{{/b.c}}", "{{{l}}}", "{{&a}}", "{{=", "=}}", "{{!", "a", "b.c", ".", "-index",
            "\n", "\r\n", "  ", "- ", ": ", "k: ", "|\n", "'", "\"", "[", "]", "{", "}", "#", "&x", "*x", "<<: ", "---\n", "!!str ", "? ",
            "{{#l}}", "{{/l}}", "{{x}}", "{{.}}", "%", "\u{10FFF0}", "0", "\u{10FFF1}", "=", ",", "\\",
        ]), 0..40),
    ) {
        let text = words.concat();
        fuzz::template(text.as_bytes());
        fuzz::yaml(text.as_bytes());
        fuzz::index(text.as_bytes());
        fuzz::index(format!("name: a\nversion: 1.0.0\ntags: {text}\n").as_bytes());
        fuzz::manifest(text.as_bytes());
        fuzz::classic_text(text.as_bytes());
    }

    #[test]
    fn any_properties_are_survived(
        words in vec(select(vec![
            "spec.applicationProperties.", "spec.deploymentProperties.", ".spec.", "a", "b.c", "[0]", "[7]", "[", "]", ".", "..", ",", "=",
            ":", " ", "\\", "\\u00e9", "\\u", "#", "!", "\n", "1", "1.5", "yes", "------", "é", "0",
        ]), 0..30),
    ) {
        fuzz::classic_text(words.concat().as_bytes());
    }

    #[test]
    fn a_damaged_package_of_the_field_is_survived(
        at in vec((0..2000_usize, any::<u8>()), 1..6),
        cut in 0..2000_usize,
        words in vec(select(vec!["{{a}}", "{{#b}}", "{{/b}}", "a: ", "- ", "\n", "b: [1, x]\n", "&x ", "*x", "!!int ", "? ", "'", "kind: x\n"]), 0..12),
    ) {
        let template = format!("kind: SpringBootApp\nmetadata: {{name: a}}\nspec:\n  resource: x\n{}", words.concat());
        let honest = zip(&[
            entry("a-1/package.yml", "apiVersion: v1\nname: a\nversion: '1'\n"),
            entry("a-1/values.yml", &words.concat()),
            entry("a-1/templates/a.yml", &template),
            entry("a-1/packages/b/package.yml", "name: b\nversion: '1'\n"),
            entry("a-1/packages/b/templates/b.yml", &words.concat()),
        ]);
        fuzz::classic_archive(&honest);
        let mut bytes = honest;
        for (position, byte) in at {
            let position = position % bytes.len();
            bytes[position] = byte;
        }
        fuzz::classic_archive(&bytes);
        bytes.truncate(cut);
        fuzz::classic_archive(&bytes);
    }

    #[test]
    fn a_damaged_manifest_is_survived(
        cuts in vec((0..3000_usize, 0..12_usize), 0..4),
        words in vec((0..3000_usize, select(vec!["0", "-1", "null", "[]", "{}", "x", "\n", "  ", "auto", "https", "1h", "true", "ports", ": "])), 0..4),
    ) {
        let mut text = manifest::write(&manifest::parse(RICH).expect("a manifest"));
        for (at, length) in cuts {
            let at = at % text.len();
            text.replace_range(at..(at + length).min(text.len()), "");
        }
        for (at, word) in words {
            text.insert_str(at % text.len(), word);
        }
        fuzz::manifest(text.as_bytes());
    }

    #[test]
    fn a_damaged_zip_is_survived(at in vec((0..2000_usize, any::<u8>()), 1..6), cut in 0..2000_usize, insert in any::<bool>()) {
        let template = "apiVersion: skipper/v2\nkind: Application\nmetadata: {name: a}\nspec: {resource: 'builtin:sample'}\n";
        let honest = zip(&[entry("package.yml", PACKAGE), entry("values.yml", "a: 1\n"), entry("templates/a.yml", template)]);
        for mut bytes in [honest.clone(), Archive::from_zip(&honest).expect("honest").to_zip("x")] {
            for (position, byte) in &at {
                let position = position % bytes.len();
                if insert { bytes.insert(position, *byte) } else { bytes[position] = *byte }
            }
            fuzz::archive(&bytes);
            bytes.truncate(cut);
            fuzz::archive(&bytes);
        }
    }

    #[test]
    fn a_manifest_reads_back_as_the_spec_it_was_made_of(applications in vec(application(), 1..4)) {
        let mut applications = applications;
        for (index, app) in applications.iter_mut().enumerate() {
            app.name = AppName::new(format!("app{index}")).expect("valid");
            for route in &mut app.routes {
                // One listener, host and path lead to one application.
                route.host = route.host.as_ref().map(|host| Host::new(&format!("a{index}.{host}")).expect("valid"));
                if route.host.is_none() {
                    route.path = PathPrefix::new(&format!("/app{index}{}", route.path.as_str().trim_end_matches('/'))).expect("valid");
                }
            }
        }
        let spec = Spec::new(applications);
        prop_assume!(spec.validate().is_ok());
        let written = manifest::write(&spec);
        let again = manifest::parse(&written).map_err(|f| TestCaseError::fail(format!("{f}\n{written}")))?;
        prop_assert_eq!(&again, &spec, "{}", written);
        prop_assert_eq!(manifest::write(&again), written);
    }
}

fn span() -> impl Strategy<Value = Millis> {
    prop_oneof![0..100_000_u64, (0..600_u64).prop_map(|n| n * 1000), (1..48_u64).prop_map(|n| n * 3_600_000)]
        .prop_map(Millis)
}

fn positive_span() -> impl Strategy<Value = Millis> {
    span().prop_map(|span| Millis(span.0.max(10)))
}

fn program() -> impl Strategy<Value = Vec<String>> {
    vec(words(), 1..4).prop_filter("a program has a name", |command| !command[0].is_empty())
}

/// Any text without NUL and without a placeholder for a port.
fn words() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\0', '{'], ""))
}

fn ports() -> impl Strategy<Value = Vec<Port>> {
    vec((any::<bool>(), option::of(1..60_000_u16), any::<bool>(), option::of("[a-z]{1,5}")), 0..4).prop_map(|ports| {
        let port =
            |(index, (env, fixed, direct, container)): (usize, (bool, Option<u16>, bool, Option<String>))| Port {
                name: PortName::new(format!("p{index}")).expect("valid"),
                env: env.then(|| format!("PORT_{index}")),
                fixed: fixed.map(|port| port + u16::try_from(index).expect("small") * 1000 % 5000),
                direct: direct && fixed.is_some(),
                container,
            };
        let mut ports: Vec<Port> = ports.into_iter().enumerate().map(port).collect();
        let mut seen = std::collections::BTreeSet::new();
        ports.retain(|port| port.fixed.is_none_or(|fixed| seen.insert(fixed)));
        ports
    })
}

fn strategy() -> impl Strategy<Value = Way> {
    span().prop_flat_map(|bake| {
        prop_oneof![
            Just(Way::BlueGreen { bake }),
            Just(Way::Recreate { bake }),
            (1..1000_u32).prop_map(move |batch| Way::Rolling { batch, bake }),
            (1..30_u8, span(), 31..99_u8).prop_map(move |(weight, span, second)| Way::Canary {
                steps: vec![CanaryStep { weight, bake: span }, CanaryStep { weight: second, bake: Millis(0) }],
                bake,
            }),
        ]
    })
}

fn health(ports: &[Port]) -> BoxedStrategy<Health> {
    let names: Vec<PortName> = ports.iter().map(|port| port.name.clone()).collect();
    let mut checks =
        vec![Just(Check::Running).boxed(), program().prop_map(|command| Check::Command { command }).boxed()];
    if !names.is_empty() {
        checks.push(select(names.clone()).prop_map(|port| Check::Tcp { port }).boxed());
        checks.push(select(names.clone()).prop_map(|port| Check::Boot { port }).boxed());
        let statuses = vec((100..300_u16, 300..599_u16), 1..3);
        let http = (select(names), "/[a-z/?=&]{0,8}", statuses);
        checks.push(http.prop_map(|(port, path, status)| Check::Http { port, path, status }).boxed());
    }
    let numbers = (positive_span(), positive_span(), 1..1000_u32, 1..1000_u32, span(), option::of("[a-z]{1,5}"));
    (proptest::strategy::Union::new(checks), numbers)
        .prop_map(|(check, (interval, timeout, retries, successes, start_period, container))| Health {
            check,
            interval,
            timeout,
            retries,
            successes,
            start_period,
            container,
        })
        .boxed()
}

fn routes(ports: &[Port]) -> BoxedStrategy<Vec<Route>> {
    let names: Vec<PortName> = ports.iter().filter(|port| !port.direct).map(|port| port.name.clone()).collect();
    if names.is_empty() {
        return Just(Vec::new()).boxed();
    }
    let listener = prop_oneof![
        Just(Listener::Http),
        Just(Listener::Https),
        Just(Listener::Auto),
        (1..=u16::MAX).prop_map(Listener::Port),
    ];
    let host = option::of(select(vec!["example.org", "a.example.org"]));
    let route = (listener, host, "/[a-z]{0,4}", select(names)).prop_map(|(listener, host, path, port)| Route {
        listener,
        host: host.map(|host| Host::new(host).expect("valid")),
        path: PathPrefix::new(&path).expect("valid"),
        port,
    });
    vec(route, 0..4)
        .prop_map(|routes| {
            let mut unique: Vec<Route> = Vec::new();
            for route in routes {
                if !unique.contains(&route) {
                    unique.push(route);
                }
            }
            unique
        })
        .boxed()
}

fn hook() -> impl Strategy<Value = Option<Hook>> {
    option::of((program(), span()).prop_map(|(command, timeout)| Hook { command, timeout }))
}

/// Command, arguments, environment, working folder.
fn process() -> impl Strategy<Value = (Vec<String>, Vec<String>, BTreeMap<String, String>, Option<String>)> {
    (
        prop_oneof![Just(Vec::new()), program()],
        vec(words(), 0..4),
        proptest::collection::btree_map("[A-Z_]{1,6}", words(), 0..4),
        option::of("/[a-z]{0,6}"),
    )
}

fn application() -> impl Strategy<Value = Application> {
    let limits_and_more = || {
        let limits = (option::of(1_048_576..1_u64 << 40), option::of(1..1_000_000_u64));
        let bounds = (positive_span(), positive_span(), positive_span(), span(), span());
        (
            strategy(),
            0..=1000_u32,
            limits,
            (hook(), hook(), hook()),
            (select(vec![Signal::Term, Signal::Int, Signal::Hup, Signal::Quit, Signal::Usr1, Signal::Usr2]), span()),
            bounds,
            vec((option::of("/[a-z]{1,5}"), any::<bool>(), any::<bool>()), 0..3),
            vec(any::<bool>(), 0..3),
            proptest::collection::btree_map("[a-z]{1,4}", value(), 0..3),
            option::of(any::<[u8; 32]>()),
        )
    };
    ports()
        .prop_flat_map(move |ports| (Just(ports.clone()), health(&ports), routes(&ports), process(), limits_and_more()))
        .prop_map(|(ports, health, routes, (command, args, env, working_dir), rest)| {
            let (
                strategy,
                replicas,
                (memory_bytes, cpu_millis),
                hooks,
                (signal, grace),
                bounds,
                volumes,
                secrets,
                options,
                digest,
            ) = rest;
            let volume = |(index, (source, read_only, env)): (usize, (Option<String>, bool, bool))| Volume {
                name: format!("v{index}"),
                path: format!("/data/{index}"),
                env: env.then(|| format!("vol{index}")),
                source,
                read_only,
            };
            let secret = |(index, as_file): (usize, bool)| {
                let secret = SecretName::new(format!("s{index}")).expect("valid");
                if as_file {
                    SecretUse::File { secret, file: format!("f{index}.pem") }
                } else {
                    SecretUse::Env { secret, var: format!("sec{index}") }
                }
            };
            Application {
                name: AppName::new("x").expect("valid"),
                target: Target(PlatformName::new("local").expect("valid")),
                resource: Resource {
                    uri: "file:/opt/my app".to_owned(),
                    sha256: digest.map(skipper_core::Sha256::from_bytes),
                },
                command,
                args,
                env: env.into_iter().collect::<BTreeMap<_, _>>(),
                secrets: secrets.into_iter().enumerate().map(secret).collect(),
                ports: ports
                    .into_iter()
                    .map(|port| Port { env: port.env.map(|env| env.to_lowercase()), ..port })
                    .collect(),
                health,
                routes,
                strategy,
                replicas,
                limits: Limits { memory_bytes, cpu_millis },
                volumes: volumes.into_iter().enumerate().map(volume).collect(),
                hooks: Hooks { before_launch: hooks.0, before_shift: hooks.1, after_shift: hooks.2 },
                depends_on: Vec::new(),
                stop: StopPolicy { signal, grace },
                bounds: Bounds { fetch: bounds.0, start: bounds.1, health: bounds.2, hold: bounds.3, drain: bounds.4 },
                working_dir,
                platform_options: options,
                images: BTreeMap::new(),
                deployer: None,
                relaunched: None,
            }
        })
}

/// Versions of every sort.
fn version() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(0|[1-9][0-9]?)(\\.(0|[1-9][0-9]?)){0,3}([.-](alpha|b|M|RC|SNAPSHOT|RELEASE|GA|sp|jre|dev)[.-]?[0-9]{0,2}){0,2}",
        1 => "[0-9a-cM.+-]{0,12}",
        1 => any::<String>(),
    ]
}

/// An identifier about which Maven has no opinion of its own.
fn identifier() -> impl Strategy<Value = String> {
    prop_oneof!["0|[1-9][0-9]{0,12}", "[a-z]{1,9}"].prop_filter("means something else to Maven", |word| {
        !["cr", "ga", "final", "release", "sp", "snapshot"].contains(&word.as_str())
    })
}

fn semantic() -> impl Strategy<Value = semver::Version> {
    let pre = vec(identifier(), 0..4).prop_map(|parts| parts.join("."));
    ((0_u64..4, 0_u64..20, 0_u64..4), pre).prop_map(|((major, minor, patch), pre)| semver::Version {
        pre: semver::Prerelease::new(&pre).expect("made of identifiers"),
        ..semver::Version::new(major, minor, patch)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_order_of_versions_is_total(a in version(), b in version(), c in version()) {
        use std::cmp::Ordering::{Equal, Greater};
        prop_assert_eq!(maven_cmp(&a, &b), maven_cmp(&b, &a).reverse());
        prop_assert_eq!(maven_cmp(&a, &a), Equal);
        if maven_cmp(&a, &b) != Greater && maven_cmp(&b, &c) != Greater {
            prop_assert_ne!(maven_cmp(&a, &c), Greater, "{} {} {}", a, b, c);
        }
        prop_assert!(!maven_key(&a).contains(char::is_control));
    }

    #[test]
    fn semantic_versions_are_ordered_as_semver_says(a in semantic(), b in semantic()) {
        prop_assert_eq!(maven_cmp(&a.to_string(), &b.to_string()), a.cmp_precedence(&b), "{} {}", a, b);
    }
}
