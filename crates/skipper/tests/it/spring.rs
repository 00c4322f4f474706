//! A server that is started as users of Spring Cloud Skipper start theirs.

use std::fs;

use tempfile::TempDir;

use crate::bench::{Watched, clear, run, skipper};

const YAML: &str = r#"
spring:
  cloud:
    skipper:
      server:
        platform:
          local:
            accounts:
              localDev:
                shutdownTimeout: 60
          cloudfoundry:
            accounts:
              dev:
                connection:
                  org: myOrg
info.app:
  name: Our Skipper
  version: ${APP_VERSION:1.2.3}
spring.security.user:
  name: alice
  password: ${PASSWORD}
  roles: VIEW
server.port: 1
"#;

/// A folder, and whatever is left of what ran in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("skipper-it-").tempdir().expect("a temporary folder");
        fs::write(dir.path().join("app.yml"), YAML).expect("written");
        Self(dir)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        clear(self.0.path());
    }
}

#[test]
fn a_server_starts_with_springs_file_and_arguments() {
    let home = Home::new();
    let arguments = ["--spring.config.location=file:./app.yml", "--server.port=0", "--data-dir", "data"];
    let mut command = skipper(home.0.path());
    command.arg("server").args(arguments).args(["--edge-http", "off", "--edge-https", "off"]);
    let mut server = Watched::start(command.env("PASSWORD", "s3cret"));
    let told = server.line_with("the account `dev` of cloudfoundry is left out");
    assert!(told.contains("app.yml:15"), "{told}");
    let line = server.line_with("listens on http://127.0.0.1:");
    let url = line.split("listens on ").nth(1).and_then(|rest| rest.split([' ', ',']).next()).expect("an address");

    let get = |path: &str, user: Option<&str>| {
        let mut request = std::net::TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
        let user = user.map_or_else(String::new, |user| format!("Authorization: Basic {user}\r\n"));
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{user}Connection: close\r\n\r\n");
        std::io::Write::write_all(&mut request, head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut request, &mut answer).expect("it answers");
        answer
    };
    let about = get("/api/about", Some("YWxpY2U6czNjcmV0"));
    assert!(about.contains("Our Skipper") && about.contains("1.2.3"), "{about}");
    let refused = get("/api/list", None);
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("Basic realm"), "{refused}");
    // `alice:s3cret`
    assert!(get("/api/list", Some("YWxpY2U6czNjcmV0")).starts_with("HTTP/1.1 200"));
    let deployers = get("/api/deployers", Some("YWxpY2U6czNjcmV0"));
    assert!(deployers.contains("localDev") && deployers.contains("ShutdownTimeout = [60]"), "{deployers}");
    server.child.kill().expect("it runs");
    server.ended();
}

#[test]
fn what_springs_configuration_says_is_shown_with_its_origin_and_what_is_wrong_is_told_at_once() {
    let home = Home::new();
    let show = |arguments: &[&str]| {
        let mut command = skipper(home.0.path());
        command.args(["config", "show", "--server", "--spring.config.location=app.yml"]).args(arguments);
        command
    };
    let shown = run(show(&["-Dmaven.offline=true"]).env("PASSWORD", "s3cret"));
    let err = shown.err.clone();
    let out = shown.ok();
    let line = |key: &str| out.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("platforms.localDev.shutdown_timeout").ends_with("app.yml:10"), "{out}");
    assert!(line("maven.offline").contains("-Dmaven.offline"), "{out}");
    assert!(line("listen").contains("127.0.0.1:1") && line("listen").ends_with("app.yml:23"), "{out}");
    assert!(!out.contains("s3cret") && err.contains("cloudfoundry is left out"), "{err}");

    let wrong = run(&mut show(&["--server.port=http", "--spring.datasource.url=jdbc:mysql://h/d"])).fails(2);
    for part in ["`${PASSWORD}` is set nowhere", "`http` is not a port", "not in MySQL"] {
        assert!(wrong.contains(part), "{wrong}");
    }
    run(show(&["--strict"]).env("PASSWORD", "s3cret")).fails(2);
}
