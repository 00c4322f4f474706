//! What users of Spring Cloud Skipper have, and what becomes of it.

use std::{fs, path::Path};

use super::*;
use crate::config::{Database, Loaded, load};

/// A folder with files, and what the server is started with in it.
struct Case {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Case {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let sources = Sources {
            default_data_dir: "/var/lib/skipper".into(),
            working_dir: dir.path().to_owned(),
            ..Sources::default()
        };
        Self { dir, sources }
    }

    fn args(mut self, arguments: &[&str]) -> Self {
        self.sources.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    fn env(mut self, env: &[(&str, &str)]) -> Self {
        self.sources.env = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        self
    }

    /// Everything as lines: values with their origin, then faults and warnings.
    fn translate(&self) -> (Vec<String>, Vec<String>, Vec<String>) {
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        let found = read(&self.sources, &mut faults, &mut warnings);
        let line = |key: &str, said: &Said| self.short(&format!("{key} = {} ({})", said.text, said.origin));
        let mut values: Vec<String> = found.values.iter().map(|(key, said)| line(&key.to_string(), said)).collect();
        values.extend(found.port.iter().map(|said| line("port", said)));
        values.extend(found.address.iter().map(|said| line("address", said)));
        values.extend(found.no_local.iter().map(|origin| self.short(&format!("no local ({origin})"))));
        let told = |all: Vec<Fault>| all.iter().map(|fault| self.short(&fault.to_string())).collect();
        (values, told(faults), told(warnings))
    }

    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }

    #[track_caller]
    fn gives(&self, expected: &[&str]) {
        let (values, faults, warnings) = self.translate();
        assert_eq!(values, expected, "{warnings:#?}");
        assert!(faults.is_empty(), "{faults:#?}");
    }

    #[track_caller]
    fn value(&self, key: &str) -> Option<String> {
        let (values, faults, _) = self.translate();
        assert!(faults.is_empty(), "{faults:#?}");
        let prefix = format!("{key} = ");
        let found = values.iter().find_map(|line| line.strip_prefix(&prefix))?;
        Some(found.rsplit_once(" (").expect("with its origin").0.to_owned())
    }

    #[track_caller]
    fn fails(&self, parts: &[&str]) {
        let (values, faults, _) = self.translate();
        assert_eq!(faults.len(), parts.len(), "{faults:#?} {values:#?}");
        for (fault, part) in faults.iter().zip(parts) {
            assert!(fault.contains(part), "`{fault}` does not say `{part}`");
        }
    }

    #[track_caller]
    fn warns(&self, parts: &[&str]) {
        let (_, faults, warnings) = self.translate();
        assert!(faults.is_empty(), "{faults:#?}");
        assert_eq!(warnings.len(), parts.len(), "{warnings:#?}");
        for part in parts {
            assert!(warnings.iter().any(|warning| warning.contains(part)), "{warnings:#?} say nothing of `{part}`");
        }
    }
}

const PORT: &str = "--spring.config.location=app.yml";

fn skipper(below: &str) -> String {
    let below: String = below.lines().map(|line| format!("      {line}\n")).collect();
    format!("spring:\n  cloud:\n    skipper:\n     server:\n{below}")
}

#[test]
fn without_anything_of_spring_nothing_is_said() {
    Case::new(&[]).env(&[("HOME", "/root"), ("MAVEN_OPTS", "-Xmx1g"), ("INFO", "x")]).gives(&[]);
}

#[test]
fn accounts_keep_their_names_and_their_options_become_native_ones() {
    let text = "platform:\n  local:\n    accounts:\n      localDev:\n        shutdownTimeout: 60\n        \
                javaOpts: \"-Dtest=foo\"\n      plain:\n      other:\n        env-vars-to-inherit: [PATH, \"LC_.*\"]\n        \
                port-range.low: 2000\n        java_home_path.3: /jdk17\n      \
                idle:\n        docker.network: foo\n        maximumConcurrentTasks: 3\n";
    Case::new(&[("app.yml", &skipper(text))]).args(&[PORT]).gives(&[
        "platforms.idle.type = local (app.yml:17)",
        "platforms.localDev.java_opts = -Dtest=foo (app.yml:10)",
        "platforms.localDev.shutdown_timeout = 60s (app.yml:9)",
        "platforms.localDev.type = local (app.yml:9)",
        "platforms.other.env_vars_to_inherit = PATH,LC_.* (app.yml:13)",
        "platforms.other.java_home_path.3 = /jdk17 (app.yml:15)",
        "platforms.other.port_range.low = 2000 (app.yml:14)",
        "platforms.other.type = local (app.yml:13)",
        "platforms.plain.type = local (app.yml:11)",
    ]);
}

#[test]
fn variables_join_the_account_that_a_file_names_and_are_stronger() {
    let text = "platform:\n  local:\n    accounts:\n      localDev:\n        javaCmd: /a\n        javaOpts: -x\n";
    let prefix = "SPRING_CLOUD_SKIPPER_SERVER_PLATFORM_LOCAL_ACCOUNTS_";
    let (cmd, list0, list1) = (
        format!("{prefix}LOCALDEV_JAVA_CMD"),
        format!("{prefix}DEV_ENVVARSTOINHERIT_0"),
        format!("{prefix}DEV_ENV_VARS_TO_INHERIT_1"),
    );
    let case = Case::new(&[("app.yml", &skipper(text))]).args(&[PORT]);
    let case = case.env(&[(&cmd, "/b"), (&list0, "A"), (&list1, "B")]);
    assert_eq!(case.value("platforms.localDev.java_cmd").as_deref(), Some("/b"));
    assert_eq!(case.value("platforms.localDev.java_opts").as_deref(), Some("-x"));
    assert_eq!(case.value("platforms.dev.env_vars_to_inherit").as_deref(), Some("A,B"));
}

#[test]
fn repositories_are_read_as_a_list_and_as_a_map() {
    let list = "packageRepositories:\n -\n   name: test\n   url: http://a\n   repoOrder: 2\n - name: local\n   \
                url: http://h:7577\n   local: true\n   description: Ours\n";
    let map = "package-repositories:\n  test:\n    url: http://a\n    repo-order: 2\n  local:\n    url: http://h:7577\n    \
               local: yes\n    description: Ours\n";
    let without_origin = |text: &str| {
        let (values, faults, warnings) = Case::new(&[("app.yml", &skipper(text))]).args(&[PORT]).translate();
        assert!(faults.is_empty() && warnings.is_empty(), "{faults:?} {warnings:?}");
        values.iter().map(|line| line.split(" (").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let expected = [
        "repositories.local.description = Ours",
        "repositories.local.local = true",
        "repositories.local.url = http://h:7577",
        "repositories.test.repo_order = 2",
        "repositories.test.url = http://a",
    ];
    assert_eq!(without_origin(list), expected);
    assert_eq!(without_origin(map), expected);
    let variable = [("SPRING_CLOUD_SKIPPER_SERVER_PACKAGEREPOSITORIES_0_URL", "http://b")];
    let case = Case::new(&[("app.yml", &skipper(list))]).args(&[PORT]).env(&variable);
    assert_eq!(case.value("repositories.test.url").as_deref(), Some("http://b"));
    Case::new(&[("app.yml", &skipper("packageRepositories:\n - url: http://a\n"))]).args(&[PORT]).fails(&["no `name`"]);
    Case::new(&[("app.yml", &skipper("packageRepositories:\n - name: x\n   url: 'classpath:/r'\n"))])
        .args(&[PORT])
        .warns(&["repository `x` is left out"]);
    let lists = "packageRepositories:\n - name: x\n - name: y\n   url: http://a\n - name: y\n   url: http://b\n";
    let case = Case::new(&[("app.yml", &skipper(lists))]).args(&[PORT]);
    case.warns(&["repository `x` is left out: it has no `url`", "`y` is in this list before"]);
    let host =
        "packageRepositories:\n - name: local\n   url: http://${spring.cloud.client.hostname}:7577\n   local: true\n";
    let url = Case::new(&[("app.yml", &skipper(host))]).args(&[PORT]).value("repositories.local.url").expect("a url");
    let name = url.strip_prefix("http://").and_then(|url| url.strip_suffix(":7577")).expect("between them");
    assert!(!name.is_empty() && !name.contains('$'), "{url}");
}

#[test]
fn maven_is_read_in_both_forms() {
    let text = "maven:\n  localRepository: /m2\n  offline: false\n  connect-timeout: 5000\n  remoteRepositories:\n    \
                springRepo: https://a\n    own:\n      url: https://b\n      auth:\n        username: u\n        \
                password: p\n  proxy:\n    host: h\n    port: 3128\n    auth.username: x\n";
    let case = Case::new(&[("app.yml", text)]).args(&[PORT, "--maven.remote-repositories.third.url=https://c"]);
    let (values, ..) = case.translate();
    assert_eq!(
        values.iter().map(|line| line.split(" (").next().unwrap_or_default()).collect::<Vec<_>>(),
        [
            "maven.connect_timeout = 5000ms",
            "maven.local_repository = /m2",
            "maven.offline = false",
            "maven.proxy.host = h",
            "maven.proxy.port = 3128",
            "maven.proxy.username = x",
            "maven.repositories.own.password = p",
            "maven.repositories.own.url = https://b",
            "maven.repositories.own.username = u",
            "maven.repositories.springRepo.url = https://a",
            "maven.repositories.third.url = https://c",
        ]
    );
}

#[test]
fn of_two_that_say_the_same_the_stronger_one_counts() {
    let files = [
        ("app.yml", "server.port: 1\n---\nspring.profiles: dev\nserver.port: 2\n"),
        ("app-dev.yml", "server.port: 3\n"),
        ("more/application.yml", "server:\n  port: 4\n"),
        ("more/application.properties", "server.port=5\n"),
        ("more/application-dev.yaml", "server.port: 6\n"),
    ];
    let more = "--spring.config.additional-location=optional:file:./more/";
    let json = ("SPRING_APPLICATION_JSON", "{\"server\": {\"port\": 8}}");
    let port = |arguments: &[&str], env: &[(&str, &str)]| {
        Case::new(&files).args(arguments).env(env).value("port").expect("a port")
    };
    let dev = "--spring.profiles.active=dev";
    assert_eq!(port(&[PORT], &[]), "1");
    assert_eq!(port(&["--spring.config.location=app.yml,optional:missing.yml"], &[]), "1");
    assert_eq!(port(&[PORT], &[("SPRING_PROFILES_ACTIVE", "dev")]), "3");
    assert_eq!(port(&[PORT, more], &[]), "5");
    assert_eq!(port(&[PORT, more, dev], &[]), "6");
    assert_eq!(port(&[PORT, more, dev], &[("SERVER_PORT", "7")]), "7");
    assert_eq!(port(&[PORT, more, dev], &[("SERVER_PORT", "7"), json]), "8");
    assert_eq!(port(&[PORT, "-Dserver.port=70"], &[("SERVER_PORT", "7")]), "70");
    assert_eq!(port(&[PORT, more, dev, "--server.port=9"], &[("SERVER_PORT", "7"), json]), "9");
}

#[test]
fn profiles_choose_documents_also_when_a_file_names_them() {
    let text = "spring.profiles.active: [prod, eu]\nserver.port: 1\n---\nspring:\n  config:\n    activate:\n      \
                on-profile: \"prod & eu\"\nserver.port: 2\n---\nspring.config.activate.on-profile: \"!prod\"\nserver.port: 3\n\
                ---\nspring.config.activate.on-cloud-platform: kubernetes\nserver.port: 4\n";
    let case = || Case::new(&[("app.yml", text)]);
    assert_eq!(case().args(&[PORT]).value("port").as_deref(), Some("2"));
    assert_eq!(case().args(&[PORT, "--spring.profiles.active=x"]).value("port").as_deref(), Some("3"));
    let cloud = [("KUBERNETES_SERVICE_HOST", "h"), ("KUBERNETES_SERVICE_PORT", "1")];
    assert_eq!(case().args(&[PORT]).env(&cloud).value("port").as_deref(), Some("4"));
    let group =
        "spring.profiles.group.prod: db\nspring.profiles.active: prod\n---\nspring.profiles: db\nserver.port: 5\n";
    assert_eq!(Case::new(&[("app.yml", group)]).args(&[PORT]).value("port").as_deref(), Some("5"));
    Case::new(&[("app.yml", "spring.profiles: a & b | c\n")]).args(&[PORT]).fails(&["not a condition on profiles"]);
    Case::new(&[]).args(&["--spring.profiles.active=../x"]).fails(&["not the name of a profile"]);
}

#[test]
fn files_of_the_working_folder_count_where_they_speak_of_skipper() {
    let ours = skipper("enableLocalPlatform: true\n") + "server.port: 1\n";
    assert_eq!(Case::new(&[("application.yml", &ours)]).value("port").as_deref(), Some("1"));
    assert_eq!(Case::new(&[("config/application.yml", &ours)]).value("port").as_deref(), Some("1"));
    let foreign = [("application.yml", "server.port: 8080\nspring.datasource.url: jdbc:mysql://h/d\n")];
    Case::new(&foreign).warns(&["is not read; --spring.config.location="]);
    Case::new(&[("application.yml", "a: [\n")]).warns(&["is not read"]);
    let case = Case::new(&[("application-x.yml", "server.port: 2\n")]).args(&["--spring.profiles.active=x"]);
    assert_eq!(case.value("port").as_deref(), Some("2"));
    let case = Case::new(&[("own.properties", "server.port=3\n")]).args(&["--spring.config.name=own"]);
    assert_eq!(case.value("port").as_deref(), Some("3"));
}

#[test]
fn files_may_import_others_within_bounds() {
    let files = [
        ("app.yml", "spring.config.import: optional:missing.yml,sub/b.properties\nserver.port: 1\n"),
        ("sub/b.properties", "server.port=2\nspring.config.import=./c.yml\n"),
        ("sub/c.yml", "server.address: 127.0.0.3\n"),
    ];
    Case::new(&files).args(&[PORT]).gives(&["port = 2 (sub/b.properties:1)", "address = 127.0.0.3 (sub/c.yml:1)"]);
    Case::new(&[("app.yml", "spring.config.import: app.yml\n")]).args(&[PORT]).fails(&["import one another"]);
    Case::new(&[("app.yml", "spring.config.import: 'configserver:http://h'\n")])
        .args(&[PORT])
        .fails(&["`configserver:` cannot be read here"]);
}

#[test]
fn what_is_not_there_is_named() {
    Case::new(&[]).args(&["--spring.config.location=no.yml"]).fails(&["no.yml is not there; write `optional:`"]);
    Case::new(&[]).args(&["--spring.config.location=no/"]).fails(&["the folder no is not there"]);
    Case::new(&[("x.txt", "")]).args(&["--spring.config.location=x.txt"]).fails(&["neither a .yml"]);
    Case::new(&[]).args(&["--spring.config.location=classpath:/application.yml"]).warns(&["no class path"]);
    Case::new(&[("app.yml", "a: 1\na: 2\n")]).args(&[PORT]).fails(&["app.yml:2: the key `a` is set twice"]);
    Case::new(&[])
        .env(&[("SPRING_APPLICATION_JSON", "{")])
        .fails(&["SPRING_APPLICATION_JSON: `spring.application.json` is not"]);
}

#[test]
fn placeholders_take_properties_and_variables() {
    let text = "db:\n  host: ${DB_HOST:db.internal}\nserver.port: ${my.port:${OTHER:7}}\nspring.datasource:\n  \
                url: jdbc:postgresql://${db.host}/x\n  username: me\n  password: ${SECRET}\n";
    let case = || Case::new(&[("app.yml", text)]).args(&[PORT]);
    let set = case().env(&[("SECRET", "p@ss"), ("MY_PORT", "8")]);
    assert_eq!(set.value("port").as_deref(), Some("8"));
    assert_eq!(set.value("database.url").as_deref(), Some("postgres://me:p%40ss@db.internal/x"));
    set.warns(&[]);
    let set = case().env(&[("SECRET", "p"), ("OTHER", "9"), ("DB_HOST", "h")]);
    assert_eq!(set.value("port").as_deref(), Some("9"));
    assert_eq!(set.value("database.url").as_deref(), Some("postgres://me:p@h/x"));
    case().fails(&["app.yml:7: `spring.datasource.password`: `${SECRET}` is set nowhere"]);
}

#[test]
fn encrypted_values_are_refused_without_being_told() {
    let text = "spring.datasource.password: '{cipher}AQB3'\nmaven.proxy.auth.password: ${x}\nx: '{cipher}BQC4'\n";
    let case = Case::new(&[("app.yml", text)]).args(&[PORT]);
    let (_, faults, _) = case.translate();
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(
        faults.iter().all(|fault| fault.contains("{cipher}") && !fault.contains("AQB3") && !fault.contains("BQC4"))
    );
}

#[test]
fn databases_are_translated_or_refused() {
    let url = |url: &str| Case::new(&[]).args(&[&format!("--spring.datasource.url={url}")]);
    assert_eq!(url("jdbc:h2:mem:x;DB_CLOSE_DELAY=-1").value("database.url").as_deref(), Some(""));
    url("jdbc:h2:mem:x").warns(&["SQLite is used instead"]);
    url("jdbc:mysql://h/d").fails(&["not in MySQL"]);
    let env = [("SPRING_DATASOURCE_URL", "jdbc:postgresql://h/d"), ("SPRING_DATASOURCE_DRIVER_CLASS_NAME", "x")];
    Case::new(&[]).env(&env).gives(&["database.url = postgres://h/d (environment variable SPRING_DATASOURCE_URL)"]);
}

#[test]
fn unknown_keys_are_warnings_and_faults_when_strict() {
    let text = skipper(
        "enableLocalPlatfrom: true\nplatform:\n  cloudfoundry:\n    accounts:\n      dev:\n        \
                        connection:\n          org: o\n          spcae: s\n",
    );
    let mut case = Case::new(&[("app.yml", &text)]).args(&[PORT]);
    case.warns(&[
        "app.yml:5: unknown key `spring.cloud.skipper.server.enableLocalPlatfrom`; did you mean",
        "app.yml:11: the account `dev` of cloudfoundry is left out",
        "app.yml:12: unknown key `spring.cloud.skipper.server.platform.cloudfoundry.accounts.dev.connection.spcae`; did \
         you mean `spring.cloud.skipper.server.platform.cloudfoundry.accounts.dev.connection.space`?",
    ]);
    case.sources.strict = true;
    let (_, faults, warnings) = case.translate();
    assert_eq!((faults.len(), warnings.len()), (3, 0), "{faults:#?} {warnings:#?}");
    let variable = [("SPRING_CLOUD_SKIPPER_SERVER_ENABLELOKALPLATFORM", "true")];
    Case::new(&[]).env(&variable).warns(&["unknown key"]);
}

#[test]
fn keys_without_effect_are_named_with_the_reason() {
    let text = "server.ssl:\n  key-store: x\n  key-store-password: hidden\nmanagement.endpoints.web.exposure.include: '*'\n\
                logging.level:\n  root: warn\n  org.springframework.web: DEBUG\n  org.hibernate: DEBUG\n  \
                org.springframework.cloud.skipper: DEBUG\nspring.jpa.hibernate.ddl-auto: create\nspring.data.rest.base-path: /api\nmaven:\n  resolve-pom: true\n  updatePolicy: daily\n";
    let case = Case::new(&[("app.yml", text)]).args(&[PORT]);
    case.warns(&[
        "`server.ssl.*` (2 keys) has no effect: this server speaks plain HTTP",
        "`management.endpoints.web.exposure.include` has no effect",
        "`logging.level` of 2 loggers has no effect",
        "`spring.jpa.hibernate.ddl-auto` has no effect",
        "`maven.resolve-pom` has no effect: the file alone is fetched",
        "`maven.updatePolicy` has no effect: what a snapshot is now is asked",
    ]);
    assert_eq!(case.value("log.level").as_deref(), Some("warn,skipper=debug"));
    let (_, _, warnings) = case.translate();
    assert!(warnings.iter().all(|warning| !warning.contains("hidden")));
    Case::new(&[]).args(&["--spring.data.rest.base-path=/rest"]).fails(&["only `/api` is possible, not `/rest`"]);
    Case::new(&[]).args(&["--server.servlet.context-path=/"]).gives(&[]);
}

#[test]
fn a_user_needs_a_password_and_a_role_that_means_something() {
    let user = |arguments: &[&str]| Case::new(&[]).args(arguments);
    user(&[
        "--spring.security.user.name=u",
        "--spring.security.user.password={noop}pw",
        "--spring.security.user.roles=VIEW,ROLE_CREATE",
    ])
    .gives(&[
        "security.user.name = u (flag --spring.security.user.name)",
        "security.user.password = pw (flag --spring.security.user.password)",
        "security.user.role = operator (flag --spring.security.user.roles)",
    ]);
    assert_eq!(user(&["--security.user.password=pw"]).value("security.user.name").as_deref(), Some("user"));
    assert_eq!(
        user(&["--security.user.password=pw", "--security.user.role=MANAGE"]).value("security.user.role").as_deref(),
        Some("admin")
    );
    user(&["--security.user.name=u"]).fails(&["needs a password"]);
    user(&["--security.user.password=pw", "--security.user.role=USER"]).fails(&["none of the roles"]);
    user(&["--security.user.password={bcrypt}$2a$10$abc"]).fails(&["only {noop}"]);
}

#[test]
fn a_port_alone_keeps_the_loopback_address_and_native_settings_are_stronger() {
    let listen = |arguments: &[&str], env: &[(&str, &str)], flag: Option<&str>| {
        let mut case = Case::new(&[]).args(arguments).env(env);
        case.sources.flags.extend(flag.map(|flag| ("listen".to_owned(), flag.to_owned())));
        load(&case.sources).expect("valid").config.listen[0].to_string()
    };
    assert_eq!(listen(&["--server.port=9000"], &[], None), "127.0.0.1:9000");
    assert_eq!(listen(&["--server.port=9000", "--server.address=0.0.0.0"], &[], None), "0.0.0.0:9000");
    assert_eq!(listen(&["--server.address=::1"], &[], None), "[::1]:7577");
    assert_eq!(listen(&[], &[("SERVER_PORT", "9000")], None), "127.0.0.1:9000");
    assert_eq!(listen(&["--server.port=9000"], &[("SKIPPER_LISTEN", "127.0.0.2:1")], None), "127.0.0.2:9000");
    assert_eq!(listen(&[], &[("SERVER_PORT", "9000"), ("SKIPPER_LISTEN", "127.0.0.2:1")], None), "127.0.0.2:1");
    assert_eq!(listen(&["--server.port=9000"], &[], Some("127.0.0.3:3")), "127.0.0.3:3");
    Case::new(&[]).args(&["--server.port=tcp://10.0.0.1:80"]).fails(&["is not a port"]);
    Case::new(&[]).args(&["--server.address=example.org"]).fails(&["is not an IP address"]);
}

#[test]
fn skipper_toml_is_stronger_than_springs_files_and_both_are_shown_with_their_lines() {
    let files = [
        ("skipper.toml", "[database]\nurl = \"sqlite:/a\"\n[platforms.x]\ntype = \"local\"\n"),
        ("app.yml", "spring.datasource.url: jdbc:postgresql://h/d\nlogging.level.root: debug\n"),
    ];
    let mut case = Case::new(&files).args(&[PORT]);
    case.sources.file = Some("skipper.toml".into());
    let Loaded { config, shown, .. } = load(&case.sources).expect("valid");
    assert_eq!(config.database, Database::Sqlite("/a".into()));
    let origin = |key: &str| case.short(&shown.iter().find(|v| v.key == key).expect("shown").origin.to_string());
    assert_eq!(origin("log.level"), "app.yml:2");
    assert_eq!(origin("database.url"), "skipper.toml:2");
}

#[test]
fn without_the_local_platform_nothing_can_run_here() {
    let text = skipper("enableLocalPlatform: false\nplatform.local.accounts.dev.javaCmd: /java\n");
    let Loaded { config, .. } = load(&Case::new(&[("app.yml", &text)]).args(&[PORT]).sources).expect("valid");
    assert!(config.platforms.is_empty());
}

/// The original's own files, where somebody has them.
#[test]
fn the_files_of_the_original_are_understood() {
    let Ok(folder) = std::env::var("SKIPPER_VECTORS") else {
        eprintln!("skipped: SKIPPER_VECTORS is not set");
        return;
    };
    let mut open = vec![Path::new(&folder).to_owned()];
    let mut count = 0;
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if name.starts_with("application") && name.ends_with(".yml") && !name.contains("shell") {
                count += 1;
                let case = Case::new(&[]).args(&[&format!("--spring.config.location={}", path.display())]);
                let (values, faults, warnings) = case.translate();
                assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
                let unknown: Vec<&String> = warnings.iter().filter(|warning| warning.contains("unknown key")).collect();
                assert!(unknown.is_empty(), "{}: {unknown:#?}", path.display());
                if values.iter().any(|value| value.contains("localDev")) {
                    let of = |key: &str| case.value(key).unwrap_or_default();
                    assert_eq!(of("platforms.localDev.shutdown_timeout"), "60s");
                    assert_eq!(of("platforms.localDev.java_opts"), "-Dtest=foo");
                    assert_eq!(of("platforms.localDevDebug.java_opts"), "-Xdebug");
                }
            }
        }
    }
    assert!(count > 0, "the folder has such files");
}
