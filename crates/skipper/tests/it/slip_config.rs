//! slip's configuration on the command line, under our name and under slip's.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use crate::bench::{run, skipper};

const SERVER: &str =
    "[server]\nlisten = \"127.0.0.1:7890\"\n[auth]\nsecret = \"${SLIP_SECRET}\"\n[registry]\n[caddy]\n[storage]\n";
const APP: &str = "[app]\nname = \"web\"\nimage = \"acme/web\"\n[routing]\ndomain = \"web.example.com\"\nport = 80\n[health]\n[deploy]\n";

/// The program under another name.
pub(crate) fn called(name: &str, home: &Path) -> Command {
    let link = home.join(name);
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_skipper"), &link).expect("linked");
    }
    let mut command = Command::new(link);
    command.env_clear().env("HOME", home).current_dir(home);
    command
}

fn folder(home: &Path) {
    fs::create_dir_all(home.join("cfg/apps")).expect("made");
    fs::write(home.join("cfg/slip.toml"), SERVER).expect("written");
    fs::write(home.join("cfg/apps/web.toml"), APP).expect("written");
    fs::write(home.join("cfg/apps/README"), "not toml {{{").expect("written");
}

#[test]
fn slipd_checks_a_folder_with_slips_words() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = home.path();
    folder(home);
    let valid = "✓ Configuration is valid (1 apps, listening on 127.0.0.1:7890)\n";
    let ended = run(called("slipd", home).args(["--config", "cfg", "--check"]));
    assert!(ended.err.contains("missing environment variable `SLIP_SECRET`"), "{}", ended.err);
    assert_eq!(ended.ok(), valid);
    assert_eq!(run(called("slipd", home).args(["--check", "--config=cfg/slip.toml"])).ok(), valid);
    assert_eq!(run(skipper(home).args(["config", "check", "cfg"])).ok(), valid);
    fs::write(home.join("env"), "# of the unit\nSLIP_SECRET=\"k\"\n").expect("written");
    let ended = run(called("slipd", home).args(["--config", "cfg", "--check", "--env-file", "env"]));
    assert_eq!((ended.err.as_str(), ended.out.as_str(), ended.code), ("", valid, 0));

    fs::write(home.join("cfg/apps/web.toml"), APP.replace("port = 80", "port = 80000")).expect("written");
    fs::write(home.join("cfg/apps/bad.toml"), "[app").expect("written");
    let ended = run(called("slipd", home).args(["--config", "cfg", "--check"]));
    assert!(ended.out.is_empty(), "{}", ended.out);
    let err = ended.fails(1);
    assert!(err.contains("✗ Configuration validation failed: apps/bad.toml:1:"), "{err}");
    assert!(err.contains("apps/web.toml:6:8: routing.port: must be a whole number from 1 to 65535"), "{err}");
    let shown = run(skipper(home).args(["config", "check", "cfg", "--json"]));
    assert!(shown.out.contains("\"valid\": false"), "{}", shown.out);
    let err = run(called("slipd", home).args(["--config", "nowhere", "--check"])).fails(1);
    assert!(err.starts_with("✗ Configuration validation failed: ") && err.contains("nowhere/slip.toml"), "{err}");
    fs::write(home.join("cfg/apps/web.toml"), [0xff, 0xfe]).expect("written");
    let err = run(called("slipd", home).args(["--config", "cfg", "--check"])).fails(1);
    assert!(err.contains("web.toml: cannot be read"), "{err}");
}

#[test]
fn slip_validates_what_an_image_brings_along() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = home.path();
    fs::write(home.join("slip.toml"), "[app]\nname = \"web\"\nkind = \"pod\"\nmanifest = \"pod.yaml\"\n")
        .expect("written");
    let err = run(called("slip", home).arg("validate")).fails(1);
    assert_eq!(err, "✗ pod manifest not found: pod.yaml\n");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: web }\nspec: { containers: [{ name: web, image: 'acme/web' }] }\n";
    fs::write(home.join("pod.yaml"), pod).expect("written");
    let valid = "✓ Valid repo config\n  app: web\n  kind: pod\n  manifest: pod.yaml\n  preview: disabled\n";
    assert_eq!(run(called("slip", home).arg("validate")).ok(), valid);
    assert_eq!(run(skipper(home).args(["validate", "."])).ok(), valid);
    let out = run(skipper(home).args(["validate", "slip.toml", "--strict"])).ok();
    assert_eq!(
        out.lines().next().map(|line| line.starts_with("⚠ pod.yaml: containers.web.image: ")),
        Some(true),
        "{out}"
    );
    fs::write(home.join("slip.toml"), "[app]\nname = \"web\"\nmaifest = \"x\"\n").expect("written");
    assert!(run(skipper(home).arg("validate")).ok().starts_with("⚠ slip.toml:3:1: app: unknown key `maifest`"));
    assert!(
        run(skipper(home).args(["validate", "--strict"])).fails(1).starts_with("✗ slip.toml:3:1: app: unknown key")
    );
}
