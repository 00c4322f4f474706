use std::{collections::BTreeMap, fs, path::PathBuf};

use super::*;

fn sources(toml: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("skipper.toml");
    fs::write(&path, toml).expect("written");
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let sources = Sources {
        flags: map(flags),
        env: map(env),
        file: Some(path),
        search: Vec::new(),
        default_data_dir: PathBuf::from("/var/lib/skipper"),
        working_dir: dir.path().to_owned(),
        ..Sources::default()
    };
    (dir, sources)
}

#[track_caller]
fn faults(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    let (dir, sources) = sources(toml, env, &[]);
    let prefix = format!("{}/", dir.path().display());
    let error = load(&sources).expect_err("faults");
    error.0.iter().map(|fault| fault.to_string().replace(&prefix, "")).collect()
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let (_dir, sources) = sources("", &[], &[]);
    let Loaded { config, shown, .. } = load(&sources).expect("defaults are valid");
    assert_eq!(config.listen, ["127.0.0.1:7577".parse().expect("address")]);
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/skipper"));
    assert_eq!(config.database, Database::Sqlite("/var/lib/skipper/skipper.db".into()));
    assert_eq!(config.default_platform.as_str(), "local");
    assert!(shown.iter().all(|value| value.origin == Origin::Default));
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = "listen = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n";
    let (_dir, sources) =
        sources(file, &[("SKIPPER_LISTEN", "127.0.0.1:2"), ("RUST_LOG", "debug")], &[("listen", "127.0.0.1:3")]);
    let Loaded { config, shown, .. } = load(&sources).expect("valid");
    assert_eq!(config.listen[0].port(), 3);
    assert_eq!((config.log.level.as_str(), config.log.format), ("debug", LogFormat::Json));
    let origin = |key: &str| shown.iter().find(|v| v.key == key).expect("shown").origin.to_string();
    assert_eq!(origin("listen"), "flag --listen");
    assert_eq!(origin("log.level"), "environment variable RUST_LOG");
    assert!(origin("log.format").ends_with("skipper.toml:4"));
    assert_eq!(origin("limits.body"), "default");
}

#[test]
fn host_and_port_replace_their_half_of_the_address() {
    let listen = |env: &[(&str, &str)]| {
        let (_dir, sources) = sources("listen = \"127.0.0.2:9\"", env, &[]);
        load(&sources).expect("valid").config.listen[0].to_string()
    };
    assert_eq!(listen(&[("PORT", "80")]), "127.0.0.2:80");
    assert_eq!(listen(&[("HOST", "0.0.0.0")]), "0.0.0.0:9");
    assert_eq!(listen(&[("HOST", "::1"), ("PORT", "5")]), "[::1]:5");
    assert_eq!(listen(&[("PORT", "80"), ("SKIPPER_LISTEN", "127.0.0.1:7")]), "127.0.0.1:7");
}

#[test]
fn every_fault_is_reported_with_its_line_and_the_nearest_key() {
    let file = "lisen = \"127.0.0.1:1\"\n[edge]\nhtpp = 80\nhttps = \"nonsense\"\n[limits]\nbody = \"lots\"\n\
                [platforms.x]\ntype = \"cloud\"\n[log]\nformat = \"xml\"\n[retention]\nidempotency_keys = \"0s\"\n";
    let found = faults(file, &[]);
    let expect = [
        "skipper.toml:1: unknown key `lisen`; did you mean `listen`?",
        "skipper.toml:3: unknown key `edge.htpp`; did you mean `edge.http`?",
        "skipper.toml:4: `edge.https` = `nonsense`: `nonsense` is not an address; write it as 127.0.0.1:7577 or \
         [::1]:7577, or `auto`, or `off`",
        "skipper.toml:6: `limits.body` = `lots`: `lots` is not a size: write it as 65536, 512KiB, 64MiB or 1GiB",
        "skipper.toml:8: `platforms.x.type` = `cloud`: this server knows the type `local`",
        "skipper.toml:10: `log.format` = `xml`: is not a log format; write text or json",
        "skipper.toml:12: `retention.idempotency_keys` = `0s`: must be longer than nothing",
    ];
    assert_eq!(found, expect);
}

#[test]
fn variables_are_expanded_after_parsing_and_secrets_are_not_shown() {
    let file = "admin_token = \"${TOKEN}\"\n[log]\nlevel = \"${LEVEL:-warn}\"\n";
    let (_dir, sources) = sources(file, &[("TOKEN", "0123456789abcdef\"x")], &[]);
    let Loaded { config, shown, .. } = load(&sources).expect("valid");
    assert_eq!(config.admin_token.expect("set").expose(), "0123456789abcdef\"x");
    assert_eq!(config.log.level, "warn");
    assert_eq!(shown.iter().find(|v| v.key == "admin_token").expect("shown").value, "[secret]");
    assert_eq!(faults(file, &[]).len(), 1);
    let short = faults(file, &[("TOKEN", "letmein")]);
    assert!(short[0].contains("guessed") && !short[0].contains("letmein"), "{short:?}");
}

#[test]
fn broken_toml_is_a_fault_with_its_line() {
    let found = faults("listen = \"127.0.0.1:1\"\n[log\n", &[]);
    assert!(found[0].starts_with("skipper.toml:2: "), "{found:?}");
}

#[test]
fn a_named_file_must_exist_and_one_that_is_searched_need_not() {
    let (dir, mut sources) = sources("", &[], &[]);
    sources.file = Some(dir.path().join("missing.toml"));
    assert!(load(&sources).is_err());
    sources.file = None;
    sources.search = vec![dir.path().join("missing.toml")];
    assert!(load(&sources).is_ok());
}
