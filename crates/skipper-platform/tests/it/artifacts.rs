use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
    spec::Resource,
};
use skipper_platform::{artifact::FetchLimits, local::LogBounds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    remote::here_and_far,
    world::{PATIENCE, World},
};

here_and_far! {
    a_download_is_bounded_checked_and_done_once,
    a_file_is_copied_pinned_and_then_asked_for_no_more,
    what_cannot_be_reached_says_why_and_whether_it_may_help_to_ask_again,
    what_is_no_file_is_refused_with_advice,
}

async fn fetch(world: &World, uri: &str, sha256: Option<Sha256>) -> Result<Resource, Error> {
    world.platform.fetch(&Resource { uri: uri.to_owned(), sha256 }, PATIENCE).await
}

fn shelf(world: &World) -> Vec<String> {
    let dir = world.dir.path().join("artifacts");
    let names = |dir: std::path::PathBuf| fs::read_dir(dir).expect("it is there").flatten().map(|e| e.file_name());
    assert_eq!(names(dir.join("incoming")).count(), 0, "nothing half-fetched stays");
    let mut names: Vec<String> = names(dir.join("sha256")).filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    names
}

async fn a_file_is_copied_pinned_and_then_asked_for_no_more() {
    let world = World::new();
    let path = world.dir.path().join("my program");
    fs::write(&path, "one").expect("it is ours");
    let uri = format!("file:{}", path.display()).replace(' ', "%20");
    let pinned = fetch(&world, &uri, None).await.expect("it is there");
    let digest = Sha256::of(b"one");
    assert_eq!(pinned.sha256, Some(digest));
    let kept = world.dir.path().join("artifacts/sha256").join(digest.to_string());
    assert_eq!(fs::metadata(&kept).expect("it is kept").permissions().mode() & 0o777, 0o755);

    fs::write(&path, "two").expect("it is ours");
    let again = fetch(&world, &uri, Some(digest)).await.expect("it is here");
    assert_eq!((again, fs::read(&kept).expect("it is kept")), (pinned, b"one".to_vec()));
    let error = fetch(&world, &uri, Some(Sha256::of(b"three"))).await.expect_err("it is another file");
    assert_eq!((error.code(), error.kind()), ("checksum-mismatch", ErrorKind::Permanent));
    assert_eq!(shelf(&world), [digest.to_string()]);
}

async fn what_is_no_file_is_refused_with_advice() {
    let world = World::new();
    let pipe = world.dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there").success());
    let dir = world.dir.path().display();
    let cases = [
        (format!("file:{dir}/pipe"), "resource-invalid"),
        (format!("file:{dir}"), "resource-is-directory"),
        (format!("file:{dir}/nowhere"), "resource-not-found"),
        ("file:relative/path".to_owned(), "resource-invalid"),
        ("file://elsewhere/path".to_owned(), "resource-invalid"),
        ("file:/dev/null".to_owned(), "resource-invalid"),
        ("ftp://example.org/x".to_owned(), "resource-scheme"),
        ("plain".to_owned(), "resource-scheme"),
        ("builtin:nothing".to_owned(), "resource-not-found"),
    ];
    for (uri, code) in cases {
        let error = fetch(&world, &uri, None).await.expect_err("it cannot be had");
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Permanent), "{uri}: {}", error.chain());
    }
    let sample = fetch(&world, "builtin:sample", None).await.expect("it is built in");
    assert_eq!(fetch(&world, "builtin:sample", sample.sha256).await.expect("the same again"), sample);
}

/// Answers each request by its path; counts them.
async fn server() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let base = format!("http://{}", listener.local_addr().expect("it is bound"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio_util::task::TaskTracker::new().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
            let answer = match path.split('?').next().unwrap_or_default() {
                "/program" => format!("{head}content-length: 7\r\n\r\nprogram"),
                "/moved" => {
                    "HTTP/1.1 302 Found\r\nlocation: /program\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        .to_owned()
                }
                "/loop" => {
                    "HTTP/1.1 302 Found\r\nlocation: /loop\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
                }
                "/large" => format!("{head}content-length: 5000\r\n\r\n"),
                "/endless" => format!("{head}\r\n{}", "x".repeat(5000)),
                "/torn" => format!("{head}content-length: 100\r\n\r\nhalf"),
                "/busy" => "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
                "/silent" => format!("{head}content-length: 100\r\n\r\nhalf"),
                _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
            if path == "/silent" {
                tokio::time::sleep(PATIENCE).await;
            }
        }
    });
    (base, count)
}

async fn a_download_is_bounded_checked_and_done_once() {
    let limits = FetchLimits { max_bytes: 1000, read_timeout: Duration::from_millis(200), ..FetchLimits::default() };
    let world = World::with(LogBounds::default(), limits);
    let (base, count) = server().await;
    let digest = Sha256::of(b"program");
    let pinned = fetch(&world, &format!("{base}/moved?token=hush"), None).await.expect("it is there");
    assert_eq!((pinned.sha256, count.load(Ordering::SeqCst)), (Some(digest), 2));
    fetch(&world, &pinned.uri, pinned.sha256).await.expect("it is here");
    assert_eq!(count.load(Ordering::SeqCst), 2, "nobody was asked");

    let cases = [
        ("/program", Some(Sha256::of(b"x")), "checksum-mismatch", ErrorKind::Permanent),
        ("/missing", None, "resource-not-found", ErrorKind::Permanent),
        ("/loop", None, "resource-invalid", ErrorKind::Permanent),
        ("/large", None, "resource-too-large", ErrorKind::Permanent),
        ("/endless", None, "resource-too-large", ErrorKind::Permanent),
        ("/torn", None, "resource-unreachable", ErrorKind::Transient),
        ("/busy", None, "resource-unreachable", ErrorKind::Transient),
        ("/silent", None, "resource-unreachable", ErrorKind::Transient),
    ];
    for (path, wanted, code, kind) in cases {
        let error = fetch(&world, &format!("{base}{path}?token=hush"), wanted).await.expect_err("it must fail");
        assert_eq!((error.code(), error.kind()), (code, kind), "{path}: {}", error.chain());
        assert!(!error.chain().contains("hush"), "{}", error.chain());
    }
    let refused = fetch(&world, "http://127.0.0.1:1/x", None).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::Transient);
    assert_eq!(shelf(&world), [digest.to_string()]);
}

async fn what_cannot_be_reached_says_why_and_whether_it_may_help_to_ask_again() {
    let world = World::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("address");
    let refused = fetch(&world, &format!("http://{nobody}/x"), None).await.expect_err("nobody listens");
    assert_eq!((refused.code(), refused.kind()), ("resource-unreachable", ErrorKind::Transient));
    assert!(refused.advice().is_some_and(|hint| hint.contains("nothing listens")), "{refused:?}");

    let (plain, _) = server().await;
    let secure = plain.replace("http://", "https://");
    let wrong = fetch(&world, &format!("{secure}/x"), None).await.expect_err("it does not speak TLS");
    assert_eq!((wrong.code(), wrong.kind()), ("resource-tls", ErrorKind::Permanent), "{}", wrong.chain());

    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .expect("a server");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("address").port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let serving = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    };
    let uri = format!("https://localhost:{port}/x");
    let unknown = tokio::select! {
        answer = fetch(&world, &uri, None) => answer.expect_err("nobody knows who issued it"),
        () = serving => unreachable!("it accepts for ever"),
    };
    assert_eq!((unknown.code(), unknown.kind()), ("resource-tls", ErrorKind::Permanent), "{}", unknown.chain());
    assert!(unknown.advice().is_some_and(|hint| hint.contains("SSL_CERT_FILE")), "{unknown:?}");
}
