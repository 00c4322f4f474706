//! Files as the API changes them, and what `validate` says of an image's.

use serde_json::{Value, json};
use skipper_source::{
    Severity,
    app::{self, Edited, Environment, edit, new_file, show, validate, validate_manifest},
};

use super::vars;

const FILE: &str = r#"# the shop
[app]
name = "shop"
image = "ghcr.io/acme/shop"  # without a tag
secret = "${SHOP_KEY}"

[routing]
domain = "shop.example.com" # for people
port = 8080

[health]
path = "/health"
interval = "500ms" # often

[deploy]

# what it needs
[env]
# the database
URL = "pg://${PW}@db"
MODE = "production"

[resources]
memory = "512m"
"#;

const ENV: [(&str, &str); 2] = [("SHOP_KEY", "k-e-y"), ("PW", "hunter22")];

fn patch(body: &Value) -> Result<Edited, skipper_source::Faults> {
    edit(FILE, "shop", body, Environment::new(&vars(&ENV)))
}

#[track_caller]
fn patched(body: &Value) -> String {
    patch(body).unwrap_or_else(|faults| panic!("{faults}")).text
}

#[test]
fn a_change_leaves_everything_else_to_the_letter() {
    assert_eq!(patched(&json!({})), FILE);
    assert_eq!(patched(&json!({"name": "shop", "port": 8080})), FILE);
    assert_eq!(patched(&json!({"port": 9090})), FILE.replace("port = 8080", "port = 9090"));
    assert_eq!(
        patched(&json!({"domain": "new.example.com"})),
        FILE.replace("shop.example.com\" # for", "new.example.com\" # for")
    );
    let env = json!({"env": {"URL": "pg://${PW}@db", "MODE": "test", "NEW": "x"}});
    let expected = FILE.replace("MODE = \"production\"\n", "MODE = \"test\"\nNEW = \"x\"\n");
    assert_eq!(patched(&env), expected);
    let edited = patch(&env).expect("fine");
    assert_eq!(edited.app.env["URL"].expose(), "pg://hunter22@db");
    assert!(!edited.text.contains("hunter22") && !edited.text.contains("k-e-y"));
}

#[test]
fn a_table_is_replaced_as_a_whole_and_null_takes_away() {
    let health = patched(&json!({"health": {"path": "/up"}}));
    assert_eq!(health, FILE.replace("path = \"/health\"\ninterval = \"500ms\" # often\n", "path = \"/up\"\n"));
    assert!(patch(&json!({"health": null})).is_ok(), "the table stays, empty");
    assert!(!patched(&json!({"resources": null, "secret": null})).contains("512m"));
    let edited = patch(&json!({"secret": null})).expect("fine");
    assert!(edited.app.keys.is_empty());
    let previews = patched(&json!({"preview": {"max": 3, "env": {"A": "b"}}, "network": {"name": "back"}}));
    assert!(
        previews.contains("[preview]\nmax = 3\nenv = { A = \"b\" }") && previews.contains("[network]\nname = \"back\""),
        "{previews}"
    );
}

#[test]
fn a_merge_patch_goes_into_tables_and_null_takes_one_key_away() {
    let merged = |patch: &Value| app::merged(FILE, "shop", patch).expect("the file is fine");
    let patch = json!({"port": 9090, "env": {"MODE": null, "NEW": "x"}, "resources": {"cpus": "0.5"}, "network": {"name": "back"}});
    let text = patched(&merged(&patch));
    let expected = FILE
        .replace("port = 8080", "port = 9090")
        .replace("MODE = \"production\"\n", "NEW = \"x\"\n")
        .replace("memory = \"512m\"\n", "memory = \"512m\"\ncpus = \"0.5\"\n");
    assert_eq!(text, format!("{expected}\n[network]\nname = \"back\"\n"));
    assert_eq!(patched(&merged(&json!({}))), FILE);
    assert!(!patched(&merged(&json!({"resources": null}))).contains("512m"), "a table goes as a whole");
    let deep = json!({"env": {"A": [[[[[[[[[1]]]]]]]]]}});
    assert!(patch_of(&merged(&deep)).contains("nested too deeply"));
}

fn patch_of(body: &Value) -> String {
    patch(body).map(|edited| edited.text).expect_err("refused").to_string()
}

#[test]
fn what_a_change_cannot_mean_is_refused() {
    for (body, told) in [
        (json!([]), "the body must be an object"),
        (json!({"name": "other"}), "an app keeps its name"),
        (json!({"domain": "a b"}), "is not a host name"),
        (json!({"port": 0}), "must be a whole number from 1 to 65535"),
        (json!({"env": []}), "must be an object"),
        (json!({"resources": {"memory": "lots"}}), "is not a size of memory"),
        (json!({"env": {"A": "${NOT_SET}"}}), "missing environment variable `NOT_SET`"),
        (json!({"env": {"A": "x\"]\n[app]\nname = \"evil"}, "image": "Bad Image"}), "is not the name of an image"),
        (json!({"env": {"A": [[[[[[[[[1]]]]]]]]]}}), "nested too deeply"),
    ] {
        let text = patch(&body).map(|edited| edited.text).expect_err("refused").to_string();
        assert!(text.contains(told), "{text}");
        assert!(!text.contains("hunter22"), "{text}");
    }
    let edited = patch(&json!({"domian": "x"})).expect("passed over");
    assert_eq!(
        (edited.text.as_str(), edited.warnings[0].to_string().as_str()),
        (FILE, "unknown field `domian`; did you mean `domain`?")
    );
    let edited = patch(&json!({"env": {"A": "x\"]\n[app]\nname = \"evil", "a b.c=": "x"}}));
    assert!(edited.is_err(), "no such variable");
    let edited = patch(&json!({"env": {"A": "x\"]\n[app]\nname = \"evil"}})).expect("text is text");
    assert_eq!((edited.app.name.as_str(), edited.app.env["A"].expose()), ("shop", "x\"]\n[app]\nname = \"evil"));
    let listed = FILE.replace(
        "domain = \"shop.example.com\" # for people\nport = 8080",
        "[[routing.routes]]\nhostname = \"a.example.com\"\nport = 1",
    );
    let told =
        edit(&listed, "shop", &json!({"port": 2}), Environment::new(&vars(&ENV))).expect_err("of which?").to_string();
    assert!(told.contains("change `routes`"), "{told}");
    let routes = json!({"routes": [{"hostname": "b.example.com", "port": 2}]});
    let edited =
        edit(&listed, "shop", &routes, Environment::new(&vars(&ENV))).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(edited.app.routes[0].host.as_str(), "b.example.com", "{}", edited.text);
}

#[test]
fn a_new_app_is_a_file_that_loads() {
    let none = vars(&[]);
    let body = json!({
        "name": "web", "image": "acme/web", "domain": "web.example.com", "env": {"A": "1"},
        "health": {"path": "/up", "interval": "2s"}, "deploy": {"drain_timeout": "500ms"}, "secret": "key",
        "volumes": [{"host_path": "/srv/web", "mount_path": "/data", "read_only": true}],
    });
    let made = new_file(&body, Environment::new(&none)).unwrap_or_else(|faults| panic!("{faults}"));
    let (read, _) = app::file("apps/web.toml", "web", &made.text, Environment::new(&none)).expect("it loads");
    assert_eq!(read, made.app);
    assert_eq!((read.routes[0].port, read.volumes.len()), (Some(8080), 1), "{}", made.text);
    assert!(made.text.contains("drain_timeout = \"500ms\""), "nothing is cut off: {}", made.text);
    let bare = new_file(&json!({"name": "w", "image": "acme/w", "domain": ""}), Environment::new(&none)).expect("fine");
    assert!(bare.app.routes.is_empty());
    for name in ["", "Web", "-a", "a_b", "a.b", "..", &"a".repeat(64)] {
        let told = new_file(&json!({"name": name, "image": "x"}), Environment::new(&none)).map(|made| made.text);
        assert!(told.expect_err("no label").to_string().contains("invalid app name"), "{name}");
    }
}

#[test]
fn what_is_shown_holds_no_key_and_no_value_of_the_environment() {
    let shown = show("shop", FILE).expect("fine");
    assert_eq!(
        shown,
        json!({
            "name": "shop", "image": "ghcr.io/acme/shop", "domain": "shop.example.com", "port": 8080,
            "env": {"URL": "pg://${PW}@db", "MODE": "production"}, "resources": {"memory": "512m"}, "network": {},
            "health": {"path": "/health", "interval": "500ms"}, "deploy": {}, "preview": {},
        })
    );
    let mut body = shown.clone();
    body.as_object_mut().expect("an object").retain(|_, value| *value != json!({}));
    assert_eq!(patched(&body), FILE, "what was shown can be sent back");
    let routes = "[[routing.routes]]\nhostname = \"a.org\"\nport = 1\n";
    let shown = show("x", routes).expect("fine");
    assert_eq!(
        (&shown["domain"], &shown["port"], &shown["routes"][0]["hostname"]),
        (&json!("a.org"), &json!(1), &json!("a.org"))
    );
}

#[test]
fn an_images_file_is_validated_with_its_manifest() {
    let text = "[app]\nname = \"stats\"\nkind = \"pod\"\nmanifest = \"k8s/pod.yaml\"\n[routing]\nport = 80\ncontainer = \"setup\"\n[health]\ncontainer = \"wbe\"\n[preview]\nenabled = true\n";
    let found = validate("slip.toml", text, false);
    assert!(found.is_valid() && found.findings.is_empty(), "{:?}", found.findings);
    assert_eq!(found.manifest(), Some("k8s/pod.yaml"));
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: x }\nspec:\n  initContainers: [{ name: setup, image: a }]\n  containers: [{ name: web, image: 'localhost:5000/x' }, { name: b, image: 'b:latest' }, { name: c, image: 'c:${tag}' }]\n";
    let repo = found.repo.expect("read");
    let told: Vec<String> =
        validate_manifest(&repo, "k8s/pod.yaml", pod, false).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "k8s/pod.yaml: container `setup` not found in pod manifest (referenced in routing.container); known here: web, b, c",
            "k8s/pod.yaml: container `wbe` not found in pod manifest (referenced in health.container); did you mean `web`?",
        ]
    );
    let strict = validate_manifest(&repo, "k8s/pod.yaml", pod, true);
    let told: Vec<&str> =
        strict.iter().filter(|f| f.severity == Severity::Warning).map(|f| f.message.as_str()).collect();
    assert_eq!(told, ["image `a` has no tag", "image `localhost:5000/x` has no tag", "image `b:latest` uses :latest"]);
    assert!(validate_manifest(&repo, "p", "kind: Pod", false).len() >= 3, "all at once");
}

#[test]
fn odd_images_files_are_warned_of_or_refused() {
    for (text, strict, valid, told) in [
        ("[app]\nname = \"Web\"\n", false, false, "is no DNS label"),
        ("[app]\nname = \"web\"\nkin = \"pod\"\n", false, true, "did you mean `kind`?"),
        ("[app]\nname = \"web\"\nkin = \"pod\"\n", true, false, "did you mean `kind`?"),
        ("[app]\nname = \"web\"\nmanifest = \"pod.yaml\"\n", false, true, "counts for the kind `pod` alone"),
        ("[app]\nname = \"web\"\nkind = \"pod\"\n", false, false, "no manifest is named"),
        ("[app]\nname = \"web\"\n[preview]\nenabled = true\n", false, true, "no routing.port"),
        ("[app]\nname = \"web\"\n[preview.database]\nstrategy = \"branch\"\n", false, false, "needs a provider"),
        (
            "[app]\nname = \"web\"\nkind = \"pod\"\nmanifest = \"/app/pod.yaml\"\n",
            false,
            true,
            "lies elsewhere in the image",
        ),
        ("[app\n", false, false, "slip.toml:1:"),
    ] {
        let found = validate("slip.toml", text, strict);
        assert_eq!(found.is_valid(), valid, "{text}: {:?}", found.findings);
        let shown: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|line| line.contains(told)), "{text}: {shown:?}");
    }
}
