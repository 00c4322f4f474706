//! A server with a user of its own, as Spring's configuration names one, and what may be seen of the password.

use std::{fs, io::Read as _, io::Write as _, net::TcpStream};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    bench::{Bench, Ended, run, skipper},
    java,
};

const USER: [&str; 2] = ["--spring.security.user.name=alice", "--spring.security.user.password=s3cret"];

/// One GET as the user with that password, and with another header: status, and everything that follows.
fn get(bench: &Bench, path: &str, password: &str, more: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(bench.url().trim_start_matches("http://")).expect("it listens");
    let basic = BASE64_STANDARD.encode(format!("alice:{password}"));
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\n{more}Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, answer)
}

/// Runs a command line that knows of the server what `config` remembered.
fn at(bench: &Bench, args: &[&str]) -> Ended {
    run(skipper(bench.home()).args(args))
}

#[test]
fn a_user_of_springs_configuration_is_let_in_with_the_password_alone() {
    let bench = Bench::start_with(&USER);
    let uri = format!("{}/api", bench.url());
    at(&bench, &["config", "--uri", &uri]).fails(3);
    let wrong = at(&bench, &["config", "--uri", &uri, "--username", "alice", "--password", "guess"]).fails(3);
    assert!(wrong.contains("user or password is wrong") && !wrong.contains("guess"), "{wrong}");
    assert_eq!(
        at(&bench, &["config", "--uri", &uri, "--username", "alice", "--password", "s3cret"]).ok(),
        format!("Successfully targeted {uri}\n")
    );
    at(&bench, &["install", "hello", "helloworld", "--wait"]).ok();
    assert_eq!(at(&bench, &["list", "--names"]).ok(), "hello\n");
    let shown = at(&bench, &["config", "show"]).ok();
    assert!(shown.contains("[password]") && !shown.contains("s3cret"), "{shown}");

    // The errors of the original's own security: five fields, and the header by which its clients know what is wanted.
    let (status, refused) = get(&bench, "/api/list", "guess", "");
    assert!(status == 401 && refused.to_ascii_lowercase().contains("www-authenticate: basic realm="), "{refused}");
    let body = refused.split("\r\n\r\n").nth(1).expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let fields: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ["timestamp", "status", "error", "message", "path"]);
    assert_eq!(
        (&body["status"], &body["error"], &body["path"]),
        (&401.into(), &"Unauthorized".into(), &"/api/list".into())
    );
    assert_eq!(get(&bench, "/api/list", "s3cret", "").0, 200);
}

#[test]
fn an_application_is_not_told_what_lets_its_caller_in_here() {
    let Some(jars) = java::standin() else { return };
    let bench = Bench::start_with(&USER);
    at(&bench, &["config", "--uri", bench.url(), "--username", "alice", "--password", "s3cret"]).ok();
    fs::write(bench.home().join("tiny-1.0.0.zip"), java::tiny("tiny", "1.0.0", jars)).expect("written");
    at(&bench, &["install", "web", "tiny-1.0.0.zip", "--wait"]).ok();
    let path = "/api/release/actuator/web/web.tiny-v1/web.tiny-v1-0?endpoint=/info";
    let (status, answer) = get(&bench, path, "s3cret", "");
    assert!(status == 200 && answer.ends_with(r#"{"app":"tiny","path":"/actuator/info"}"#), "{answer}");
    let (_, answer) = get(&bench, path, "s3cret", "X-Application-Authorization: Bearer its-own\r\n");
    assert!(answer.ends_with(r#""path":"/actuator/info","authorization":"Bearer its-own"}"#), "{answer}");
    assert_eq!(get(&bench, path, "guess", "").0, 401);
    let found = at(&bench, &["list", "--names", "--metadata", "type=demo"]).ok();
    assert_eq!(found, "web\n", "by what its document says of itself");
    assert_eq!(at(&bench, &["list", "--names", "--metadata", "type=other"]).ok(), "");
}

#[test]
fn links_lead_over_a_proxy_that_is_trusted() {
    let config = "[edge]\ntrusted_proxies = \"127.0.0.1\"\nhttp = \"off\"\nhttps = \"off\"\n";
    let trusting = Bench::start_prepared(&[&["--config", "server.toml"], &USER[..]].concat(), |home| {
        fs::write(home.join("server.toml"), config).expect("written");
    });
    let through = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: skipper.example.org\r\n";
    let index = |bench: &Bench, more: &str| get(bench, "/api", "s3cret", more).1;
    let links = index(&trusting, through);
    assert!(links.contains("https://skipper.example.org/api/repositories"), "{links}");
    assert!(index(&trusting, "").contains("http://localhost/api/repositories"));
    let careful = Bench::start_with(&USER);
    let links = index(&careful, through);
    assert!(links.contains("http://localhost/api/repositories") && !links.contains("example.org"), "{links}");
}
