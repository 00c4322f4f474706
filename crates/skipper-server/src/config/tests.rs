use std::{collections::BTreeMap, fs, path::PathBuf};

use skipper_edge::{AcmeConfig, ChallengeKind, ExternalAccount, Redirect};
use skipper_platform::container::{EngineKind, Pull};

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
fn repositories_are_in_the_order_in_which_they_were_written() {
    let names = |toml: &str| {
        let (_dir, sources) = sources(toml, &[], &[]);
        let named = load(&sources).expect("valid").config.repositories.named;
        named.iter().map(|one| one.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let (local, zoo, ant) = (
        "[repositories.local]\nlocal = true\n",
        "[repositories.zoo]\nurl = \"http://a\"\n",
        "[repositories.ant]\nurl = \"http://b\"\n",
    );
    assert_eq!(names(&[local, zoo, ant].concat()), "local zoo ant");
    assert_eq!(names(&[zoo, ant, local].concat()), "zoo ant local");
    // In the environment nobody knows which came first.
    let of = |option: &str, name: &str| format!("SPRING_CLOUD_SKIPPER_SERVER_PACKAGEREPOSITORIES_{name}_{option}");
    let env = [(of("LOCAL", "LOCAL"), "true"), (of("URL", "ZOO"), "http://a")];
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let (_dir, sources) = sources("", &env, &[]);
    let named = load(&sources).expect("valid").config.repositories.named;
    assert_eq!(named.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["zoo", "local"]);
}

#[test]
fn where_nobody_says_so_the_account_of_that_name_or_the_only_one_is_the_default() {
    let chosen = |names: &[&str]| {
        let toml: String = names.iter().map(|name| format!("[platforms.{name}]\ntype = \"local\"\n")).collect();
        let (_dir, sources) = sources(&toml, &[], &[]);
        load(&sources).expect("valid").config.default_platform.to_string()
    };
    assert_eq!(chosen(&["other"]), "other");
    assert_eq!(chosen(&["a", "default"]), "default");
    assert_eq!(chosen(&["a", "default", "local"]), "local");
    // As the original's own samples have them: a server starts, and each install names its platform.
    assert_eq!(chosen(&["localDev", "localDevDebug"]), "default");
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
                [platforms.x]\ntype = \"cloud\"\n[log]\nformat = \"xml\"\n[retention]\nidempotency_keys = \"0s\"\n\
                [containers]\ncollect_every = \"never\"\nkeep_revisions = 0\n";
    let found = faults(file, &[]);
    let expect = [
        "skipper.toml:1: unknown key `lisen`; did you mean `listen`?",
        "skipper.toml:3: unknown key `edge.htpp`; did you mean `edge.http`?",
        "skipper.toml:4: `edge.https` = `nonsense`: `nonsense` is not an address; write it as 127.0.0.1:7577 or \
         [::1]:7577, or `auto`, or `off`",
        "skipper.toml:6: `limits.body` = `lots`: `lots` is not a size: write it as 65536, 512KiB, 64MiB or 1GiB",
        "skipper.toml:8: `platforms.x.type` = `cloud`: this server knows the types `local`, `docker`, `podman` and `compose`",
        "skipper.toml:10: `log.format` = `xml`: is not a log format; write text or json",
        "skipper.toml:12: `retention.idempotency_keys` = `0s`: must be longer than nothing",
        "skipper.toml:14: `containers.collect_every` = `never`: `never` is not a span of time: write it as 500ms, 30s, \
         1h30m or 7d, nor off",
        "skipper.toml:15: `containers.keep_revisions` = `0`: is not a number above 0",
    ];
    assert_eq!(found, expect);
}

#[test]
fn certificates_are_ordered_only_by_whoever_agreed_to_the_terms() {
    let acme = |toml: &str| {
        let (_dir, sources) = sources(toml, &[], &[]);
        load(&sources).expect("valid").config.edge
    };
    assert_eq!((acme("").acme, acme("").redirect_https), (None, None));
    let enabled = "[edge.acme]\nenabled = true\nterms_agreed = true\n";
    let usual = acme(enabled).acme.expect("enabled");
    assert_eq!(usual, AcmeConfig::new("https://acme-v02.api.letsencrypt.org/directory"));
    let more = format!(
        "{enabled}email = [\"a@x.example\", \"b@x.example\"]\nchallenges = \"tls-alpn-01\"\nca_file = \"ca.pem\"\n\
         eab_key_id = \"kid\"\neab_key_file = \"/k\"\n[edge]\nredirect_https = 443\n"
    );
    let (more, redirect) = (acme(&more).acme.expect("enabled"), acme(&more).redirect_https);
    assert_eq!(
        (more.contact, more.challenges),
        (vec!["a@x.example".into(), "b@x.example".into()], vec![ChallengeKind::TlsAlpn01])
    );
    assert!(more.ca_file.expect("set").ends_with("ca.pem"));
    assert_eq!(more.external_account, Some(ExternalAccount { key_id: "kid".into(), key_file: "/k".into() }));
    assert_eq!(redirect, Some(Redirect::Port(443)));
    let wrong = "[edge]\nredirect_https = \"yes\"\n[edge.acme]\nenabled = true\ndirectory = \"http://ca.example\"\n\
                 email = \"nobody\"\nchallenges = \"dns-01\"\neab_key_id = \"kid\"\n";
    assert_eq!(
        faults(wrong, &[]),
        [
            "skipper.toml:2: `edge.redirect_https` = `yes`: is not `on`, `off`, or the port by which clients reach the TLS \
             listener",
            "skipper.toml:4: `edge.acme.enabled`: read the terms of the certificate authority, and set \
             `edge.acme.terms_agreed = true` if you agree",
            "skipper.toml:5: `edge.acme.directory` = `http://ca.example`: is not the https URL of a directory",
            "skipper.toml:6: `edge.acme.email` = `nobody`: `nobody` is not an address of e-mail",
            "skipper.toml:7: `edge.acme.challenges` = `dns-01`: `dns-01` is not a challenge; write http-01 or tls-alpn-01",
            "skipper.toml:8: `edge.acme.eab_key_id` is nothing without `edge.acme.eab_key_file`",
        ]
    );
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
fn a_token_that_is_good_enough_to_try_things_on_is_taken_with_a_warning() {
    let warnings = |token: &str| {
        let (_dir, sources) = sources("", &[("ADMIN_TOKEN", token)], &[]);
        let warnings = load(&sources).expect("valid").warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let said = warnings("dev-admin-token");
    assert!(said.len() == 1 && said[0].contains("ADMIN_TOKEN") && !said[0].contains("dev-admin"), "{said:?}");
    assert!(warnings("0123456789abcdef").is_empty());
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

#[test]
fn an_account_says_how_springs_applications_are_run() {
    let file = r#"
        [platforms.dev]
        type = "local"
        java_cmd = "/jdk/bin/java"
        shutdown_timeout = "60s"
        env_vars_to_inherit = ["OWN", "SKIPPER_.*"]
        debug_suspend = "n"
        debug_port = 5005
        working_directories_root = "work"
        java_home_path = { "3" = "/jdk17" }
        [platforms.dev.port_range]
        low = 21000
        [platforms.local]
        type = "local"
    "#;
    let env = [("OWN", "x"), ("LC_ALL", "C"), ("SKIPPER_SECRET_KEY", "hush"), ("PATH", "/bin"), ("JAVA_HOME", "/jdk")];
    let (dir, sources) = sources(file, &env, &[]);
    let Loaded { config, shown, .. } = load(&sources).expect("valid");
    let dev = &config.platforms["dev"].deployer;
    assert_eq!(dev.java_cmd.as_deref(), Some("/jdk/bin/java"));
    assert_eq!(dev.shutdown_timeout, std::time::Duration::from_secs(60));
    assert_eq!(dev.inherited, [("OWN".to_owned(), "x".to_owned())].into(), "and nothing of ours");
    assert_eq!((dev.debug.as_deref(), dev.debug_suspend), (Some("5005"), false));
    assert_eq!(dev.working_directories_root, Some(dir.path().join("work")));
    assert_eq!(dev.java_home_path["3"], PathBuf::from("/jdk17"));
    assert_eq!(dev.port_range, Some(21_000..=65_535));
    let local = &config.platforms["local"].deployer;
    let inherited: Vec<&str> = local.inherited.keys().map(String::as_str).collect();
    assert_eq!((inherited, local.search.as_str()), (vec!["LC_ALL", "PATH"], "/bin"));
    assert_eq!(local.java_home, Some("/jdk".into()));
    assert!(shown.iter().any(|one| one.key == "platforms.dev.port_range.low" && one.value == "21000"));
}

#[test]
fn maven_repositories_are_asked_in_order_and_their_passwords_are_not_shown() {
    let file = r#"
        [maven]
        local_repository = "m2"
        offline = true
        request_timeout = "5s"
        [maven.repositories.spring]
        url = "https://joe:hush@repo.example.org/libs"
        snapshot_policy.enabled = false
        [maven.repositories.own]
        url = "file:///srv/maven"
        username = "me"
        password = "hush"
        policy.checksum_policy = "fail"
        [maven.proxy]
        host = "proxy"
        port = 3128
        non_proxy_hosts = "localhost|*.example.org"
    "#;
    let (dir, sources) = sources(file, &[("HOME", "/home/me")], &[]);
    let Loaded { config, shown, .. } = load(&sources).expect("valid");
    let ids: Vec<&str> = config.maven.repositories.iter().map(|one| one.id.as_str()).collect();
    let usual = ["mavenCentral-default", "springSnapshot-default", "springMilestone-default"];
    assert_eq!(ids, [&usual[..], &["own", "spring"]].concat());
    let (own, spring) = (&config.maven.repositories[3], &config.maven.repositories[4]);
    assert!(own.sums_required && own.snapshots && !spring.sums_required && !spring.snapshots && spring.releases);
    assert_eq!(own.login.as_ref().map(|(user, password)| (user.as_str(), password.expose())), Some(("me", "hush")));
    assert_eq!((config.maven.local.clone(), config.maven.offline), (Some(dir.path().join("m2")), true));
    let proxy = config.maven.proxy.as_ref().expect("there is one");
    assert_eq!((proxy.address.as_str(), proxy.except.len()), ("http://proxy:3128/", 2));
    assert!(!shown.iter().any(|one| one.value.contains("hush")), "{shown:?}");

    let (_dir, sources) = self::sources("", &[("HOME", "/home/me")], &[]);
    let usual = load(&sources).expect("valid").config.maven;
    assert_eq!((usual.local, usual.repositories.len()), (Some("/home/me/.m2/repository".into()), 3));
}

#[test]
fn what_is_wrong_with_an_account_or_a_repository_is_told_with_its_line() {
    let file = "[platforms.dev]\ntype = \"local\"\njava_comd = \"x\"\ndebug_port = 0\nport_range = { low = 9, high = 8 }\n\
                env_vars_to_inherit = \"(\"\ndocker.network = \"host\"\n\
                [maven]\noffline = \"perhaps\"\n[maven.repositories.a]\nuser = \"x\"\n[maven.repositories.b]\nurl = \"b\"\n";
    let told = faults(file, &[]);
    for words in [
        "skipper.toml:3: unknown key `platforms.dev.java_comd`; did you mean `platforms.dev.java_cmd`?",
        "skipper.toml:4: `platforms.dev.debug_port` = `0`: is not a port from 1 to 65535",
        "skipper.toml:5: `platforms.dev.port_range.low` = `9`: is above `port_range.high`",
        "skipper.toml:6: `platforms.dev.env_vars_to_inherit` = `(`: `(` is not a regular expression",
        "skipper.toml:7: unknown key `platforms.dev.docker.network`; it is about containers",
        "skipper.toml:9: `maven.offline` = `perhaps`: is neither true nor false",
        "skipper.toml:11: unknown key `maven.repositories.a.user`",
        "skipper.toml:11: `maven.repositories.a` has no `url`",
        "skipper.toml:13: `maven.repositories.b.url` is not the address of a repository",
    ] {
        assert!(told.iter().any(|line| line.starts_with(words)), "{words}\n{}", told.join("\n"));
    }
    assert_eq!(told.len(), 9, "{}", told.join("\n"));
}

#[test]
fn an_engine_has_its_address_its_rules_and_its_registries_and_no_password_is_shown() {
    let file = "[platforms.prod]\ntype = \"docker\"\nsocket = \"/run/d.sock\"\nnetwork = \"apps\"\npull = \"always\"\n\
                [platforms.prod.registries.\"ghcr.io\"]\nusername = \"me\"\npassword = \"${TOKEN}\"\n\
                [platforms.prod.registries.own]\nurl = \"https://r.example.org:5000/v2\"\ntoken = \"t\"\n\
                [platforms.far]\ntype = \"podman\"\nhost = \"tcp://10.0.0.9:2375\"\npublish = \"10.0.0.9\"\n\
                [platforms.local]\ntype = \"local\"\n";
    let (_dir, sources) = sources(file, &[("TOKEN", "s3cret")], &[]);
    let Loaded { config, shown, .. } = load(&sources).expect("valid");
    let settings = |name: &str| match &config.platforms[name].kind {
        PlatformKind::Container(kind, settings) => (*kind, settings.clone()),
        other => panic!("{name} is an engine, and not {other:?}"),
    };
    let (kind, prod) = settings("prod");
    assert_eq!((kind, prod.host.as_deref()), (EngineKind::Docker, Some("unix:///run/d.sock")));
    assert_eq!((prod.network.as_deref(), prod.pull), (Some("apps"), Pull::Always));
    let logins: Vec<_> =
        prod.registries.iter().map(|(host, it)| (host.as_str(), it.username.as_str(), it.password.expose())).collect();
    assert_eq!(logins, [("ghcr.io", "me", "s3cret"), ("r.example.org:5000", "skipper", "t")]);
    let (kind, far) = settings("far");
    assert_eq!((kind, far.host.as_deref()), (EngineKind::Podman, Some("tcp://10.0.0.9:2375")));
    assert!(config.usual_engines.is_empty(), "who names one means those");
    assert!(shown.iter().all(|one| !one.value.contains("s3cret") && one.value != "t"), "{shown:?}");

    let file = "[platforms.p]\ntype = \"podman\"\nhost = \"https://x\"\npul = \"never\"\npull = \"sometimes\"\n\
                registries.x.user = \"a\"\nregistries.y.username = \"b\"\n";
    let told = faults(file, &[]);
    for words in [
        "skipper.toml:3: `platforms.p.host` = `https://x`: an engine behind TLS or SSH cannot be reached",
        "skipper.toml:4: unknown key `platforms.p.pul`; did you mean `platforms.p.pull`?",
        "skipper.toml:5: `platforms.p.pull` = `sometimes`: is not always, missing or never",
        "skipper.toml:6: unknown key `platforms.p.registries.x.user`; of a registry it can be url",
        "skipper.toml:7: registry `y` has no password and no token",
    ] {
        assert!(told.iter().any(|line| line.starts_with(words)), "{words}\n{told:#?}");
    }
}

#[test]
fn an_account_of_projects_has_its_folder_and_what_it_allows() {
    let file = "[platforms.compose]\ntype = \"compose\"\n\
                [platforms.other]\ntype = \"compose\"\nbase = \"/srv/tenants\"\nhost = \"tcp://10.0.0.9:2375\"\n\
                command = \"docker compose\"\npull = \"never\"\nallow = \"host-network, bind:/srv/shared\"\n";
    let (_dir, sources) = sources(file, &[], &[]);
    let config = load(&sources).expect("valid").config;
    let settings = |name: &str| match &config.platforms[name].kind {
        PlatformKind::Compose(settings) => settings.clone(),
        other => panic!("{name} is of compose, and not {other:?}"),
    };
    let usual = settings("compose");
    assert_eq!(usual.base, std::path::Path::new("/opt/skipper/tenants"));
    assert_eq!((usual.host.as_str(), usual.command), ("unix:///var/run/docker.sock", None));
    let other = settings("other");
    assert_eq!(other.base, std::path::Path::new("/srv/tenants"));
    assert_eq!((other.pull, other.host.as_str()), (Pull::Never, "tcp://10.0.0.9:2375"));
    assert_eq!(other.command.as_deref(), Some(&["docker".to_owned(), "compose".to_owned()][..]));
    assert_eq!(other.policy.words().collect::<Vec<_>>(), ["bind:/srv/shared", "host-network"]);

    let file = "[platforms.p]\ntype = \"compose\"\nbas = \"/x\"\nallow = \"everything\"\nhost = \"x\"\n";
    let told = faults(file, &[]);
    for words in [
        "skipper.toml:3: unknown key `platforms.p.bas`; did you mean `platforms.p.base`?",
        "skipper.toml:4: `platforms.p.allow` = `everything`: `everything` allows nothing; it can be privileged",
        "skipper.toml:5: `platforms.p.host` = `x`: is not an engine's address",
    ] {
        assert!(told.iter().any(|line| line.starts_with(words)), "{words}\n{told:#?}");
    }
}

#[test]
fn registries_at_the_top_are_those_of_every_engine() {
    let file = "[registries.ghcr]\nurl = \"https://GHCR.io\"\ntoken = \"${TOKEN}\"\n[registries.\"r.example.org:5000\"]\nusername = \"me\"\n\
                password = \"pass\"\n";
    let (_dir, sources) = sources(file, &[("TOKEN", "s3cret")], &[]);
    let Loaded { config, shown, .. } = load(&sources).expect("valid");
    let logins: Vec<_> = config
        .registries
        .iter()
        .map(|(host, it)| (host.as_str(), it.username.as_str(), it.password.expose()))
        .collect();
    assert_eq!(logins, [("ghcr.io", "skipper", "s3cret"), ("r.example.org:5000", "me", "pass")]);
    let value = |key: &str| shown.iter().find(|one| one.key == key).map(|one| one.value.as_str());
    assert_eq!(
        (value("registries.ghcr.token"), value("registries.ghcr.url")),
        (Some("[secret]"), Some("https://GHCR.io"))
    );
    let told =
        faults("[registries.a]\nurl = \"x/y z\"\ntoken = \"t\"\n[registries.b]\nusername = \"u\"\ntokn = \"t\"\n", &[]);
    for words in [
        "skipper.toml:6: unknown key `registries.b.tokn`; did you mean `registries.b.token`?",
        "skipper.toml:5: registry `b` has no password and no token",
    ] {
        assert!(told.iter().any(|line| line.starts_with(words)), "{words}\n{told:#?}");
    }
}

#[test]
fn engines_that_nobody_names_are_looked_for_where_they_usually_are() {
    let usual = |file: &str, env: &[(&str, &str)]| {
        let (_dir, sources) = sources(file, env, &[]);
        load(&sources).expect("valid").config.usual_engines
    };
    let hosts = |all: &[&str]| all.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
    let podman = hosts(&["unix:///run/podman/podman.sock"]);
    assert_eq!(
        usual("", &[]),
        [(EngineKind::Docker, hosts(&["unix:///var/run/docker.sock"])), (EngineKind::Podman, podman.clone())]
    );
    let told = usual("", &[("DOCKER_HOST", "unix:///x"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
    let own = hosts(&["unix:///run/user/7/podman/podman.sock", "unix:///run/podman/podman.sock"]);
    assert_eq!(told, [(EngineKind::Docker, hosts(&["unix:///x"])), (EngineKind::Podman, own)]);
    assert_eq!(usual("[platforms.docker]\ntype = \"local\"\n", &[]), [(EngineKind::Podman, podman)]);
    assert_eq!(usual("[containers]\ndetect = false\n", &[]), []);
}
