use std::time::Duration;

use skipper_core::{
    deployment::{Deployment, Instance},
    health::Attempt,
    name::PortName,
    spec::Check,
    time::Millis,
};

use crate::{
    remote::here_and_far,
    world::{FIXTURE, World, deployment, eventually, kill, port},
};

here_and_far! {
    an_answer_that_is_not_http_is_a_failed_attempt,
    an_application_of_spring_boot_is_well_when_its_port_is_open_and_it_says_nothing_else,
    attempts_say_what_they_found,
}

async fn attempt(world: &World, it: &mut Deployment, instance: &Instance, check: Check) -> Attempt {
    it.app.health.check = check;
    it.app.health.timeout = Millis(300);
    world.platform.probe(it, instance).await
}

fn http(path: &str, status: &[(u16, u16)]) -> Check {
    Check::Http { port: PortName::new("http").expect("valid"), path: path.to_owned(), status: status.to_vec() }
}

async fn attempts_say_what_they_found() {
    let world = World::new();
    let mut it = deployment(&[FIXTURE, "serve"]);
    it.app.ports = vec![port("http"), port("other")];
    let instance = world.start(&it).await;
    eventually("it listens", || std::net::TcpStream::connect(instance.addresses["http"]).is_ok()).await;
    let command = |text: &str| Check::Command { command: ["sh", "-c", text].map(str::to_owned).to_vec() };
    let tcp = |name: &str| Check::Tcp { port: PortName::new(name).expect("valid") };
    let cases = [
        (http("/health", &[(200, 299)]), true, "200 OK in "),
        (http("/health", &[(204, 204), (300, 399)]), false, ", expected 204, 300-399"),
        (http("/silent", &[(200, 200)]), false, "timed out after 300ms"),
        (http("no path at all", &[(200, 200)]), false, "cannot be asked for"),
        (tcp("http"), true, "connected in "),
        (tcp("other"), false, "connection refused"),
        (command("test -n \"$PORT\""), true, "status 0 in "),
        (command("echo no table; exit 7"), false, "status 7: no table"),
        (command("sleep 60"), false, "timed out after 300ms"),
        (Check::Running, true, "runs"),
    ];
    for (check, ok, words) in cases {
        let got = attempt(&world, &mut it, &instance, check.clone()).await;
        assert_eq!(got.ok, ok, "{check:?}: {}", got.detail);
        assert!(got.detail.contains(words), "{check:?}: {}", got.detail);
    }
    kill(world.app_pid(&it), "KILL");
    world.ended(&it).await;
    for check in [Check::Running, http("/", &[(200, 200)])] {
        let got = attempt(&world, &mut it, &instance, check).await;
        assert_eq!((got.ok, got.detail.as_str()), (false, "killed by signal 9"));
    }
}

async fn an_answer_that_is_not_http_is_a_failed_attempt() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    let answers: [&[u8]; 3] = [b"", b"SSH-2.0-OpenSSH\r\n", &[b'x'; 200_000]];
    for answer in answers {
        let serving = async {
            let (mut stream, _) = listener.accept().await.expect("it is asked");
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await;
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        };
        let asking = skipper_platform::probe::http(address, "/", &[(200, 200)], Duration::from_secs(5));
        let (outcome, ()) = tokio::join!(asking, serving);
        assert!(!outcome.ok && !outcome.detail.contains("timed out"), "{}", outcome.detail);
    }
}

async fn an_application_of_spring_boot_is_well_when_its_port_is_open_and_it_says_nothing_else() {
    let cases = [
        // What /actuator/health and /health are answered with; whether that is well; what is told.
        (200, 404, true, "/actuator/health: 200 OK"),
        (404, 200, true, "/health: 200 OK"),
        (404, 404, true, "tells no health"),
        (401, 404, true, "tells no health"),
        (302, 403, true, "tells no health"),
        (503, 200, false, "/actuator/health: 503 Service Unavailable"),
        (404, 503, false, "/health: 503 Service Unavailable"),
        (500, 200, false, "/actuator/health: 500"),
    ];
    for (actuator, health, well, words) in cases {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let serving = async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("it is asked");
                let mut request = [0; 4096];
                let read = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap_or(0);
                let status = if request[..read].starts_with(b"GET /actuator/health ") { actuator } else { health };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await;
            }
        };
        let outcome = tokio::select! {
            outcome = skipper_platform::probe::boot(address, Duration::from_secs(5)) => outcome,
            () = serving => unreachable!("it accepts for ever"),
        };
        assert_eq!(outcome.ok, well, "{actuator} {health}: {}", outcome.detail);
        assert!(outcome.detail.contains(words), "{actuator} {health}: {}", outcome.detail);
    }
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    assert!(!skipper_platform::probe::boot(address, Duration::from_secs(5)).await.ok);
}
