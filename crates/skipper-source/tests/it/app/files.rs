//! The files as people write them.

use skipper_core::{secret::SecretValue, time::Millis};
use skipper_source::app::{self, Backend, Callbacks, Directory, Environment, JwksAt, Kind, Text, check, env_file};

use super::{CONTAINER, POD, SERVER, WORKER, good, load, server, try_app, vars, with};

const SECRET: [(&str, &str); 1] = [("SLIP_SECRET", "a-long-hmac-key")];

#[test]
fn every_example_of_slips_guide_loads_without_a_word() {
    let apps = [("shop.toml", CONTAINER), ("pipeline.toml", WORKER), ("stats.toml", POD)];
    let loaded = load(SERVER, &apps, &SECRET);
    let server = loaded.server.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(server.listen.to_string(), "127.0.0.1:7890");
    assert_eq!(
        (server.secret.expose(), server.backend, server.storage.as_str()),
        ("a-long-hmac-key", Backend::Auto, "/var/lib/slip")
    );
    assert!(server.registries.is_empty() && server.preview.is_none());
    assert_eq!(server.caddy.map(|caddy| caddy.admin_api).as_deref(), Some("http://localhost:2019"));
    assert_eq!(loaded.warnings, []);
    let names: Vec<&str> = loaded.apps.keys().map(String::as_str).collect();
    assert_eq!(names, ["pipeline", "shop", "stats"]);
    let shop = loaded.apps["shop"].as_ref().unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((shop.image.as_str(), shop.network.as_str()), ("ghcr.io/acme/shop", "slip"));
    assert_eq!((shop.resources.memory, shop.resources.cpus), (Some(512 << 20), Some(1000)));
    assert_eq!(shop.deploy.drain_timeout, Some(Millis::secs(30)));
    let stats = loaded.apps["stats"].as_ref().unwrap_or_else(|faults| panic!("{faults}"));
    let routes: Vec<_> = stats.routes.iter().map(|r| (r.host.as_str(), r.container.as_deref(), r.port)).collect();
    assert_eq!(routes, [("stats.example.com", Some("api"), None), ("jobs.example.com", Some("jobs-web"), None)]);
    let pipeline = loaded.apps["pipeline"].as_ref().unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(pipeline.volumes[0].mount_path, "/app/data");
    assert_eq!(pipeline.deploy.recreate, Some(true));
}

#[test]
fn a_server_says_everything_that_later_versions_know() {
    let all = r#"
[server]
[auth]
secret = "x-${A}-y"
[registry]
ghcr_token = "${GHCR}"
[registries.own]
url = "https://registry.example.com:5000/v2/"
username = "robot"
token = "${OWN}"
[registries.hub]
url = "index.docker.io"
token = "t"
[caddy]
admin_api = "http://127.0.0.1:2020/"
acme_email = "ops@example.com"
acme_ca = "https://acme.example.com/directory"
[caddy.tls]
email = "ops@example.com"
dns_provider = "cloudflare"
dns_provider_config = { api_token = "{env.CF_TOKEN}", nested = { n = 1 } }
propagation_delay = "30s"
staging = true
[storage]
[runtime]
backend = "podman"
[preview]
domain = "preview.example.com"
max_per_app = 5
default_ttl = "7d"
max_memory = "256m"
max_cpus = "0.5"
[deploy]
timeout = "15m"
preview_timeout = "5m"
domain = "deploy.example.com"
tls = "internal"
"#;
    let loaded = load(all, &[], &[("A", "${B}"), ("B", "no"), ("GHCR", "ghp"), ("OWN", "pw")]);
    assert_eq!(loaded.warnings, []);
    let server = loaded.server.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(server.secret.expose(), "x-${B}-y", "filled in once");
    assert_eq!(
        (server.listen.port(), server.storage.as_str(), server.backend.clone()),
        (7890, "/var/lib/slip", Backend::Podman)
    );
    let registries: Vec<_> = server
        .registries
        .iter()
        .map(|r| (r.name.as_str(), r.host.as_str(), r.username.as_str(), r.token.as_ref().map(SecretValue::expose)))
        .collect();
    assert_eq!(
        registries,
        [
            ("hub", "docker.io", "slip", Some("t")),
            ("ghcr", "ghcr.io", "slip", Some("ghp")),
            ("own", "registry.example.com:5000", "robot", Some("pw")),
        ]
    );
    let caddy = server.caddy.clone().expect("there");
    assert_eq!(caddy.admin_api, "http://127.0.0.1:2020");
    let tls = caddy.tls.expect("there");
    assert!(tls.staging && tls.dns_provider_config.0["api_token"] == "{env.CF_TOKEN}");
    let preview = server.preview.clone().expect("there");
    assert_eq!((preview.max_per_app, preview.default_ttl), (Some(5), Some(Millis::secs(604_800))));
    assert_eq!(server.deploy.timeout, Some(Millis::secs(900)));
    let shown = format!("{server:?}");
    for secret in ["ghp", "\"pw\"", "no", "CF_TOKEN", "x-$"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn what_is_missing_is_told_all_at_once_and_caddy_may_be() {
    let faults = load("", &[], &[]).server.expect_err("nothing is there").to_string();
    for table in ["server", "auth", "registry", "storage"] {
        assert!(faults.contains(&format!("slip.toml:1:1: missing field `{table}`")), "{table}: {faults}");
    }
    let wild = format!("{SERVER}[preview]\ndomain = \"*.preview.example.com\"\n");
    let told = load(&wild, &[], &SECRET).server.expect_err("names are made below it").to_string();
    assert!(told.contains("preview.domain") && told.ends_with("write `preview.example.com`"), "{told}");
    let text = "[server]\n[storage]\n[auth]\nsecret = \"s\"\n[registries.x]\nurl = \"x.example.com\"\n";
    let loaded = load(text, &[], &[]);
    assert!(loaded.server.expect("registries stand for registry").caddy.is_none());
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn faults_have_line_column_and_key_and_come_together() {
    let text = r#"[app]
name = "web"
image = "acme/web"
[routing]
domain = "https://web.example.com"
port = 70000
[health]
path = "health"
interval = "-1s"
timeout = "0s"
retries = 0
expect_status = "200-"
[deploy]
strategy = "bluegreen"
drain_timeout = "1 week"
[resources]
memory = "lots"
cpus = "many"
[[volumes]]
host_path = "data"
mount_path = "/"
"#;
    let faults = try_app(text, &[]).expect_err("much is wrong");
    let told: Vec<String> =
        faults.findings().iter().filter_map(|f| f.at.map(|at| format!("{at} {}", f.path))).collect();
    assert_eq!(
        told,
        [
            "5:10 routing.domain",
            "6:8 routing.port",
            "8:8 health.path",
            "9:12 health.interval",
            "10:11 health.timeout",
            "11:11 health.retries",
            "12:17 health.expect_status",
            "14:12 deploy.strategy",
            "15:17 deploy.drain_timeout",
            "17:10 resources.memory",
            "18:8 resources.cpus",
            "20:13 volumes[0].host_path",
            "21:14 volumes[0].mount_path",
        ],
        "{faults}"
    );
    assert!(
        faults
            .to_string()
            .contains("apps/web.toml:14:12: deploy.strategy: unknown strategy `bluegreen`; did you mean `blue-green`?")
    );
}

#[test]
fn unknown_keys_are_warned_of_with_the_nearest_one() {
    let text = with("[healht]\n[health]\nintervall = \"2s\"\n");
    let (app, warnings) = app::file("apps/a.toml", "a", &text, Environment::new(&vars(&[]))).expect("it loads");
    assert_eq!(app.health.interval, None);
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "apps/a.toml:3:2: unknown key `healht`; did you mean `health`?",
            "apps/a.toml:5:1: health: unknown key `intervall`; did you mean `interval`?"
        ]
    );
}

#[test]
fn a_bad_file_takes_no_other_with_it() {
    let apps = [
        ("bad.toml", "[app\nname ="),
        ("other.toml", CONTAINER),
        ("shop.toml", CONTAINER),
        ("notes.txt", "{{{"),
        (".toml", "{{{"),
        (".hid.toml", "[health]\n[app]\nname = \".hid\"\nimage = \"a\"\n"),
        ("Web App.toml", "[health]\n[app]\nname = \"Web App\"\nimage = \"a\"\n"),
        ("Web_App.toml", "[health]\n[app]\nname = \"Web_App\"\nimage = \"a\"\n"),
    ];
    let loaded = load(SERVER, &apps, &SECRET);
    assert!(loaded.server.is_ok());
    let good: Vec<&str> = loaded.apps.iter().filter(|(_, app)| app.is_ok()).map(|(stem, _)| stem.as_str()).collect();
    assert_eq!(good, ["Web_App", "shop"]);
    let told = |stem: &str| loaded.apps[stem].as_ref().expect_err("broken").to_string();
    assert!(told("bad").starts_with("apps/bad.toml:1:"), "{}", told("bad"));
    assert!(
        told("other").contains("app name mismatch: filename `other` but config says `shop`; call the file shop.toml")
    );
    assert!(told("Web App").contains("as in `web-app`"), "{}", told("Web App"));
    assert!(loaded.warnings.iter().any(|w| w.file == "apps/Web_App.toml" && w.code == "name-odd"));
}

#[test]
fn a_host_name_leads_to_one_app() {
    let named =
        |name: &str, routing: &str| format!("app = {{ name = \"{name}\", image = \"a\" }}\nhealth = {{}}\n{routing}");
    let one = named("one", "[routing]\ndomain = \"WWW.example.com\"\nport = 80");
    let two = named("two", "[[routing.routes]]\nhostname = \"www.example.com.\"\nport = 81");
    let three = named("three", "[[routing.routes]]\nhostname = \"www.example.com\"\npath = \"/api/\"\nport = 81");
    let loaded = load(SERVER, &[("one.toml", &one), ("two.toml", &two), ("three.toml", &three)], &SECRET);
    assert!(loaded.apps["one"].is_ok() && loaded.apps["three"].is_ok());
    let told = loaded.apps["two"].as_ref().expect_err("taken").to_string();
    assert_eq!(
        told,
        "apps/two.toml: routing: `www.example.com` is wanted by the apps `one` and `two`: `one` comes first by name; \
         give one of them another host name or path"
    );
    let twice = with("health = {}\n").replace("routing =", "x =")
        + "[[routing.routes]]\nhostname = \"b.example.com\"\n[[routing.routes]]\nhostname = \"B.example.com\"\n";
    assert!(try_app(&twice, &[]).expect_err("twice").to_string().contains("is routed twice"));
    // That of webhooks leads to the API.
    let server = format!("{SERVER}[deploy]\ndomain = \"www.example.com\"\n");
    let loaded = load(&server, &[("one.toml", &one)], &SECRET);
    assert!(loaded.apps["one"].as_ref().expect_err("taken").to_string().contains("`deploy.domain`"));
}

#[test]
fn what_comes_out_of_the_environment_is_a_secret_and_no_toml() {
    let text = with(
        "health = {}\n[env]\nPLAIN = \"a $HOME ${} ${open\"\nURL = \"postgres://u:${PW}@db/x\"\nPORT = 8080\nFLAG = true\n",
    );
    let text = text.replace("image = \"acme/a\"", "image = \"acme/a\", secret = \"${KEY}\"");
    let app = try_app(&text, &[("PW", "p\"]\n[app]\nname = \"evil"), ("KEY", "${PW}")]).expect("it loads");
    assert_eq!(app.name.as_str(), "a");
    assert_eq!(app.env["URL"].expose(), "postgres://u:p\"]\n[app]\nname = \"evil@db/x");
    assert!(matches!(app.env["URL"], Text::Secret(_)));
    assert_eq!(app.env["PLAIN"], Text::Plain("a $HOME ${} ${open".to_owned()));
    assert_eq!((app.env["PORT"].expose(), app.env["FLAG"].expose()), ("8080", "true"));
    assert_eq!(app.keys[0].expose(), "${PW}", "filled in once");
    assert!(!format!("{app:?}").contains("evil"));
    let unset = try_app(&with("health = {}\n[env]\nA = \"x${NOT}y${NEITHER}\"\n"), &[]).expect_err("unset").to_string();
    assert!(unset.contains("apps/a.toml:5:5: env.A: missing environment variable `NOT`; set it"), "{unset}");
    assert!(unset.contains("`NEITHER`"), "{unset}");
}

#[test]
fn empty_secrets_are_refused() {
    for secret in ["\"\"", "\"${EMPTY}\"", "[\"k\", \"\"]"] {
        let text =
            with("health = {}\n").replace("image = \"acme/a\"", &format!("image = \"acme/a\", secret = {secret}"));
        let told = try_app(&text, &[("EMPTY", "")]).expect_err("empty").to_string();
        assert!(told.contains("must not be empty"), "{told}");
    }
    let text =
        with("health = {}\n").replace("image = \"acme/a\"", "image = \"acme/a\", secret = [\"new\", \"old\", \"new\"]");
    assert_eq!(good(&text).keys.len(), 2, "several while they are rotated");
}

#[test]
fn variables_are_not_filled_in_where_slip_does_not_do_it() {
    let text = with("health = {}\n").replace("acme/a", "acme/${PW}");
    let told = try_app(&text, &[("PW", "hunter22")]).expect_err("no image").to_string();
    assert!(told.contains("`acme/${PW}` is not the name of an image") && !told.contains("hunter22"), "{told}");
}

#[test]
fn images_are_names_and_a_tag_is_left_to_the_deploy() {
    for (image, name) in [
        ("nginx", "nginx"),
        ("nginx:1.27", "nginx"),
        ("ghcr.io/you/app:latest", "ghcr.io/you/app"),
        ("localhost:5000/x", "localhost:5000/x"),
        ("127.0.0.1:5000/a/b_c/d-e:v1", "127.0.0.1:5000/a/b_c/d-e"),
    ] {
        assert_eq!(good(&with("health = {}\n").replace("acme/a", image)).image, name);
    }
    for image in
        ["", "Upper/case", "a b", "a//b", "../x", "-x", "x/", "/x", "http://x/y", "x:5000:5000/y", "a/$(id)", "ä"]
    {
        assert!(try_app(&with("health = {}\n").replace("acme/a", image), &[]).is_err(), "{image}");
    }
}

#[test]
fn an_image_says_what_it_is() {
    let text = r#"
[app]
name = "stats"
kind = "Pod"
manifest = "./pod.yaml"
image = "ghcr.io/acme/stats"
[health]
path = "/up"
container = "api"
interval = "1s"
[routing]
port = 3000
container = "api"
domain = "stats.example.com"
[[routing.routes]]
port = 3000
container = "api"
[[routing.routes]]
container = "jobs"
kind = "worker"
[defaults.resources]
memory = "256m"
[preview]
enabled = true
ttl = "24h"
max = 3
resources = { memory = "128m" }
[preview.database]
strategy = "branch"
provider = "neon"
[preview.hooks]
migrate = "bin/migrate"
seed = "bin/seed --small"
[[volumes]]
mount_path = "/data/"
read_only = true
[env]
HOME_URL = "${SLIP_SECRET}"
[deploy]
strategy = "recreate"
timeout = "3m"
[remote]
server = "https://x"
app = "y"
"#;
    let (repo, warnings) = app::repo("/slip/slip.toml", text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((repo.kind, repo.manifest.as_deref()), (Some(Kind::Pod), Some("/slip/pod.yaml")));
    assert_eq!(repo.routes.iter().map(|r| r.worker).collect::<Vec<_>>(), [false, true]);
    assert_eq!(repo.volumes[0].mount_path, "/data");
    assert_eq!(repo.env["HOME_URL"], "${SLIP_SECRET}", "an image does not read the server's environment");
    assert_eq!(warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["variable-here"]);
    let preview = repo.preview.expect("enabled");
    assert_eq!((preview.ttl, preview.database.variable.as_str()), (Some(Millis::secs(86_400)), "DATABASE_URL"));

    for (text, told) in [
        ("", "missing field `app`"),
        ("[app]\nname = \"x\"\nkind = \"banana\"", "must be `container`, `pod` or `worker`"),
        ("[app]\nname = \"x\"\nkind = \"pod\"", "no manifest is named"),
        (
            "[app]\nname = \"x\"\nkind = \"pod\"\nmanifest = \"../../etc/shadow\"",
            "is not the path of a file of the image",
        ),
        ("[app]\nname = \"x\"\n[preview.database]\nstrategy = \"branch\"", "needs a provider"),
        ("[app]\nname = \"x\"\n[preview.database]\nstrategy = \"copy\"", "must be `shared`, `ephemeral` or `branch`"),
    ] {
        let faults = app::repo("/slip/slip.toml", text).expect_err(text).to_string();
        assert!(faults.contains(told), "{faults}");
    }
}

#[test]
fn a_check_says_slips_line() {
    let apps = vars(&[("shop.toml", CONTAINER), ("pipeline.toml", WORKER)]);
    let none = vars(&[]);
    let found = check(&Directory { server: SERVER, apps: &apps, env: Environment::new(&none) });
    assert_eq!(found.line(false).as_deref(), Ok("✓ Configuration is valid (2 apps, listening on 127.0.0.1:7890)"));
    let strict = found.line(true).expect_err("a variable is not set");
    assert!(
        strict.starts_with(
            "✗ Configuration validation failed: slip.toml:9:10: auth.secret: missing environment variable `SLIP_SECRET`"
        ),
        "{strict}"
    );
    let apps = vars(&[("shop.toml", "[app]\nname = \"shop\""), ("x.toml", "")]);
    let found = check(&Directory { server: SERVER, apps: &apps, env: Environment::new(&none) });
    let told = found.line(false).expect_err("broken");
    assert!(told.starts_with("✗ Configuration validation failed: apps/shop.toml:1:"), "{told}");
    assert!(told.contains("apps/x.toml"), "{told}");
}

#[test]
fn an_environment_file_is_systemds() {
    let text = "# c\n; c\n\nA=1\nB = \"x \\\"y\\\" \\$z\"\nC='a b'\nD=a \\\n  b\nexport E=5\nF=\n";
    let vars = env_file(text).expect("fine");
    let shown: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(shown, [("A", "1"), ("B", "x \"y\" $z"), ("C", "a b"), ("D", "a b"), ("E", "5"), ("F", "")]);
    assert_eq!(env_file("A=1\nno\n=x\n1A=2\n"), Err(vec![2, 3, 4]));
}

#[test]
fn defaults_are_slips() {
    let server = server("[server]\n[caddy]\n[auth]\nsecret = \"s\"\n[registry]\n[storage]\n", &[]);
    assert_eq!(server.listen.to_string(), "0.0.0.0:7890");
    assert_eq!(server.caddy.map(|caddy| caddy.admin_api).as_deref(), Some("http://localhost:2019"));
    assert_eq!(server.storage, "/var/lib/slip");
}

#[test]
fn tokens_that_deploy_are_bound_to_whose_they_are() {
    let auth = "[auth.oidc]\naudience = \"skipper\"\n";
    let server = server(&format!("{SERVER}\n{auth}"), &SECRET);
    let oidc = server.oidc.expect("it is there");
    assert_eq!(oidc.issuer, "https://token.actions.githubusercontent.com");
    assert_eq!(oidc.keys, JwksAt::Url("https://token.actions.githubusercontent.com/.well-known/jwks".to_owned()));
    for (text, code) in [
        ("", "key-missing"),
        ("audience = \"a\"\nissuer = \"https://other.test\"", "key-missing"),
        ("audience = \"a\"\njwks_url = \"http://other.test/keys\"", "value-invalid"),
        ("audience = \"a\"\njwks_url = \"http://localhost.evil/keys\"", "value-invalid"),
        ("audience = \"a\"\njwks_file = \"keys\"", "value-invalid"),
        ("audience = \"a\"\njwks_file = \"/keys\"\njwks_url = \"https://a.test\"", "value-invalid"),
    ] {
        let faults = load(&format!("{SERVER}\n[auth.oidc]\n{text}\n"), &[], &SECRET).server.expect_err("refused");
        assert!(faults.findings().iter().any(|finding| finding.code == code), "{text}: {faults}");
    }
    let app = |oidc: &str| try_app(&CONTAINER.replace("[app]", &format!("[app]\noidc = {oidc}")), &[]);
    let bound =
        app(r#"{ repository = "acme/*", ref = "refs/heads/main" }"#).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(bound.oidc[0].0["repository"].matches("acme/shop"));
    for (oidc, code) in [
        ("{}", "claim-missing"),
        (r#"{ ref = "refs/heads/main" }"#, "claim-missing"),
        (r#"{ repository = "*" , ref = "x"}"#, "claim-open"),
        (r#"{ repository = "ac*/shop", ref = "x" }"#, "claim-open"),
        (r#"{ repository_owner = "ac*", ref = "x" }"#, "claim-open"),
        (r#"{ sub = "**" }"#, "claim-open"),
        (r#"[{ repository = "acme/shop", ref = "x" }, {}]"#, "claim-missing"),
    ] {
        let faults = app(oidc).expect_err("refused");
        assert!(faults.findings().iter().any(|finding| finding.code == code), "{oidc}: {faults}");
    }
}

#[test]
fn who_is_told_of_deploys_is_said_by_the_server_and_by_each_app() {
    let text = r#"
[callbacks]
github = { token = "${GITHUB_TOKEN}" }
webhook = { url = "https://hooks.example.com/${HOOK}", secret = "whsec_AAAA" }
"#;
    let env = [("SLIP_SECRET", "k"), ("GITHUB_TOKEN", "t0ken"), ("HOOK", "s3cret")];
    let server = server(&format!("{SERVER}\n{text}"), &env);
    assert!(!format!("{server:?}").contains("s3cret"), "an address may be a secret");
    let silent = good(CONTAINER).callbacks;
    assert_eq!(Callbacks::github(&server.callbacks, &silent), None, "of which repository?");
    assert_eq!(Callbacks::webhooks(&server.callbacks, &silent)[0].url.expose(), "https://hooks.example.com/s3cret");
    let own = good(&format!(
        "{CONTAINER}\n[callbacks]\ngithub = {{ repository = \"acme/shop\", environment = \"live\" }}\n\
         webhook = [{{ url = \"http://127.0.0.1:9/x\", secret = [\"a\", \"b\"] }}]\n"
    ));
    let github = Callbacks::github(&server.callbacks, &own.callbacks).expect("token and repository");
    let said = (github.url.as_str(), github.token.expose(), github.repository.as_str(), github.environment.as_str());
    assert_eq!(said, ("https://api.github.com", "t0ken", "acme/shop", "live"));
    assert_eq!(Callbacks::webhooks(&server.callbacks, &own.callbacks)[0].keys.len(), 2);
    for wrong in [
        r#"github = { url = "http://api.example.com" }"#,
        r#"github = { repository = "shop" }"#,
        r#"github = { repository = "acme/../x" }"#,
        r#"webhook = { url = "ftp://x", secret = "a" }"#,
        r#"webhook = { url = "https://user:p@x", secret = "a" }"#,
        r#"webhook = { url = "https://x" }"#,
        r#"webhook = { url = "https://x", secret = "" }"#,
    ] {
        let read = try_app(&format!("{CONTAINER}\n[callbacks]\n{wrong}\n"), &[]);
        assert!(read.is_err(), "{wrong}");
    }
}
