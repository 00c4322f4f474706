//! Maven repositories: a folder, and one over HTTP that answers as it is told.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use sha1::Digest as _;
use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
    spec::Resource,
};
use skipper_platform::artifact::{
    Cache, FetchLimits,
    maven::{Repository, Settings, stand_in},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::PATIENCE;

/// What is answered to a path.
#[derive(Clone)]
enum Answer {
    Body(Vec<u8>),
    Status(u16),
    /// To itself.
    Loop,
    Endless,
    /// The head, and then nothing.
    Silent,
    /// A byte now and then, for ever.
    Drip,
}

/// A repository over HTTP, and what it was asked.
struct Served {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Served {
    async fn new(answers: &[(&str, Answer)]) -> Self {
        let answers: BTreeMap<String, Answer> =
            answers.iter().map(|(path, answer)| ((*path).to_owned(), answer.clone())).collect();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let base = format!("http://{}/maven", listener.local_addr().expect("it is bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(answer(stream, answers.clone(), Arc::clone(&log)));
            }
        });
        Self { base, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panics"))
    }
}

async fn answer(mut stream: tokio::net::TcpStream, answers: BTreeMap<String, Answer>, log: Arc<Mutex<Vec<String>>>) {
    let mut request = vec![0; 8192];
    let read = stream.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let login = request.lines().find_map(|line| line.strip_prefix("authorization: Basic "));
    log.lock().expect("nobody panics").push(login.map_or_else(|| path.clone(), |login| format!("{path} {login}")));
    let name = path.strip_prefix("/maven/").unwrap_or_default();
    let close = "connection: close\r\n";
    let head = |status: &str, length: usize| format!("HTTP/1.1 {status}\r\n{close}content-length: {length}\r\n\r\n");
    let bytes = match answers.get(name).cloned().unwrap_or(Answer::Status(404)) {
        Answer::Body(body) => [head("200 OK", body.len()).into_bytes(), body].concat(),
        Answer::Status(code) => head(&format!("{code} Told"), 0).into_bytes(),
        Answer::Loop => {
            format!("HTTP/1.1 302 Found\r\nlocation: {path}\r\n{close}content-length: 0\r\n\r\n").into_bytes()
        }
        Answer::Endless | Answer::Drip => format!("HTTP/1.1 200 OK\r\n{close}\r\n").into_bytes(),
        Answer::Silent => head("200 OK", 100).into_bytes(),
    };
    let _ = stream.write_all(&bytes).await;
    match answers.get(name) {
        Some(Answer::Endless) => while stream.write_all(&[b'x'; 4096]).await.is_ok() {},
        Some(Answer::Drip) => {
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        // Until the other side has had enough.
        Some(Answer::Silent) => drop(stream.read(&mut [0; 16]).await),
        _ => {}
    }
}

fn body(text: &str) -> Answer {
    Answer::Body(text.as_bytes().to_vec())
}

fn sha1(text: &str) -> String {
    sha1::Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cache(dir: &Path, settings: Settings) -> Cache {
    let limits = FetchLimits { max_bytes: 100_000, read_timeout: Duration::from_millis(500), ..FetchLimits::default() };
    Cache::new(dir.join("artifacts"), limits).expect("the folder can be made").with_maven(settings)
}

/// A cache in that folder with these repositories, called `one`, `two`, …
fn asking(dir: &Path, addresses: &[&str]) -> Cache {
    let names = ["one", "two", "three"];
    let repositories = names.iter().zip(addresses);
    let repositories = repositories.map(|(id, address)| Repository::new(*id, address).expect("an address")).collect();
    cache(dir, Settings { repositories, ..Settings::default() })
}

async fn fetch(cache: &Cache, uri: &str) -> Result<Sha256, Error> {
    let resource = Resource { uri: uri.to_owned(), sha256: None };
    cache.fetch(&resource, PATIENCE).await.map(|pinned| pinned.sha256.expect("it is pinned"))
}

#[track_caller]
fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("temp dirs can be made")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("it is ours");
    fs::write(path, text).expect("it is ours");
}

#[tokio::test]
async fn an_artifact_comes_from_the_first_repository_that_has_it_and_is_then_asked_for_no_more() {
    let dir = temp();
    let path = "org/example/server/1.0/server-1.0.jar";
    let (first, second) = (
        Served::new(&[]).await,
        Served::new(&[
            (path, body("jar")),
            ("org/example/server/1.0/server-1.0.jar.sha1", body(&format!("{}  server-1.0.jar\n", sha1("jar")))),
        ])
        .await,
    );
    let login = second.base.replace("http://", "http://joe:hush@");
    let cache = asking(dir.path(), &[&first.base, &login]);
    let uri = "maven://org.example:server:1.0";
    assert_eq!(fetch(&cache, uri).await.expect("the second has it"), Sha256::of(b"jar"));
    assert_eq!(first.asked(), [format!("/maven/{path}")], "no sums of what is not there");
    let asked = second.asked();
    assert_eq!(asked.len(), 4, "the file and three sums: {asked:?}");
    // joe:hush
    assert!(asked.iter().all(|line| line.ends_with(" am9lOmh1c2g=")), "{asked:?}");

    assert_eq!(fetch(&cache, uri).await.expect("it is here"), Sha256::of(b"jar"));
    let pinned = Resource { uri: uri.to_owned(), sha256: Some(Sha256::of(b"jar")) };
    cache.fetch(&pinned, PATIENCE).await.expect("it is here");
    assert!(first.asked().is_empty() && second.asked().is_empty(), "nobody was asked again");

    let other = Resource { uri: uri.to_owned(), sha256: Some(Sha256::of(b"other")) };
    let error = cache.fetch(&other, PATIENCE).await.expect_err("it has another digest");
    assert_eq!(error.code(), "checksum-mismatch");
}

#[tokio::test]
async fn a_repository_that_lies_about_a_sum_is_refused_by_whatever_sum_it_is() {
    let path = "g/a/1/a-1.jar";
    let right = Served::new(&[(path, body("jar"))]).await;
    for (kind, said) in [
        ("sha1", sha1("other")),
        ("sha256", Sha256::of(b"other").to_string()),
        ("md5", "0".repeat(32)),
        ("sha1", "nonsense".to_owned()),
    ] {
        let dir = temp();
        let sum = format!("{path}.{kind}");
        // One that is right does not outweigh one that is not.
        let good = if kind == "sha1" { "sha256" } else { "sha1" };
        let good_said = if good == "sha1" { sha1("jar") } else { Sha256::of(b"jar").to_string() };
        let lying =
            Served::new(&[(path, body("jar")), (&sum, body(&said)), (&format!("{path}.{good}"), body(&good_said))])
                .await;
        let cache = asking(dir.path(), &[&lying.base, &right.base]);
        let error = fetch(&cache, "maven://g:a:1").await.expect_err("it lies");
        assert_eq!((error.code(), error.kind()), ("checksum-mismatch", ErrorKind::Permanent), "{}", error.chain());
        assert!(error.chain().contains("`one`") && error.chain().contains(&said), "{}", error.chain());
        let kept = fs::read_dir(dir.path().join("artifacts/sha256")).expect("it is there").count();
        assert_eq!(kept, 0, "nothing of it is kept");
    }
    let dir = temp();
    let mut strict = Repository::new("strict", &right.base).expect("an address");
    strict.sums_required = true;
    let cache = cache(dir.path(), Settings { repositories: vec![strict], ..Settings::default() });
    let error = fetch(&cache, "maven://g:a:1").await.expect_err("it publishes none");
    assert_eq!(error.code(), "checksum-missing");
    let (told, hint) = (error.chain(), error.advice().unwrap_or_default());
    assert!(told.contains("`strict` publishes no checksum of g/a/1/a-1.jar") && told.contains(".sha256"), "{told}");
    assert!(!told.contains("could not be asked") && hint.contains("checksum policy to warn"), "{told}; {hint}");
}

#[tokio::test]
async fn a_repository_that_is_down_slow_endless_or_goes_in_circles_is_told_and_the_next_one_is_asked() {
    let path = "g/a/1/a-1.jar";
    let right = Served::new(&[(path, body("jar")), ("g/a/1/a-1.jar.sha1", body(&sha1("jar")))]).await;
    let cases = [
        (Answer::Status(500), ErrorKind::Transient, "resource-unreachable"),
        (Answer::Status(401), ErrorKind::Permanent, "resource-forbidden"),
        (Answer::Loop, ErrorKind::Permanent, "resource-invalid"),
        (Answer::Endless, ErrorKind::Permanent, "resource-too-large"),
        (Answer::Silent, ErrorKind::Transient, "resource-unreachable"),
    ];
    for (answer, kind, code) in cases {
        let bad = Served::new(&[(path, answer)]).await;
        let dir = temp();
        let error = fetch(&asking(dir.path(), &[&bad.base]), "maven://g:a:1").await.expect_err("it is bad");
        assert_eq!((error.kind(), error.code()), (kind, code), "{}", error.chain());
        let begins =
            "Failed to resolve MavenResource: g:a:jar:1. Configured remote repository: : [one]: `one` could not";
        assert!(error.chain().starts_with(begins), "{}", error.chain());
        assert!(fetch(&asking(dir.path(), &[&bad.base, &right.base]), "maven://g:a:1").await.is_ok());
    }
    // One that always sends a little is given up with the time of the whole.
    let slow = Served::new(&[(path, Answer::Drip)]).await;
    let dir = temp();
    let resource = Resource { uri: "maven://g:a:1".to_owned(), sha256: None };
    let error = asking(dir.path(), &[&slow.base]).fetch(&resource, Duration::from_millis(300)).await;
    let error = error.expect_err("it is never complete");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Transient, "resource-unreachable"));
    // A sum that cannot be had now is not one that is not there.
    let unsure = Served::new(&[(path, body("jar")), ("g/a/1/a-1.jar.sha1", Answer::Status(503))]).await;
    let dir = temp();
    let error = fetch(&asking(dir.path(), &[&unsure.base]), "maven://g:a:1").await.expect_err("it is not verified");
    assert_eq!(error.kind(), ErrorKind::Transient, "{}", error.chain());
}

#[tokio::test]
async fn what_nobody_has_is_told_as_spring_tells_it() {
    let nowhere = temp();
    let file = format!("file://{}", nowhere.path().display());
    for (addresses, ends) in [
        (&[][..], "Configured remote repositories: : none"),
        (&[file.as_str()], "Configured remote repository: : [one]"),
        (&[file.as_str(), file.as_str()], "Configured remote repositories: : [one],[two]"),
    ] {
        let dir = temp();
        let error = fetch(&asking(dir.path(), addresses), "maven://g:a:war:x:1").await.expect_err("nobody has it");
        assert_eq!(error.chain(), format!("Failed to resolve MavenResource: g:a:war:x:1. {ends}"));
        assert_eq!((error.kind(), error.code()), (ErrorKind::Permanent, "resource-not-found"));
        assert!(error.advice().is_some());
    }
    let error = fetch(&asking(nowhere.path(), &[]), "maven://g:a").await.expect_err("no version");
    assert!(error.chain().starts_with("Bad artifact coordinates g:a, expected format is "), "{}", error.chain());
}

#[tokio::test]
async fn the_local_repository_is_looked_into_first_and_offline_it_and_what_is_here_are_all_there_is() {
    let dir = temp();
    let local = dir.path().join("m2");
    write(&local.join("g/a/1/a-1.jar"), "local");
    let remote = Served::new(&[("g/a/1/a-1.jar", body("remote")), ("g/b/1/b-1.jar", body("b"))]).await;
    let settings = |offline| Settings {
        local: Some(local.clone()),
        offline,
        repositories: vec![Repository::new("one", &remote.base).expect("an address")],
        ..Settings::default()
    };
    let online = cache(dir.path(), settings(false));
    assert_eq!(fetch(&online, "maven://g:a:1").await.expect("it is local"), Sha256::of(b"local"));
    assert!(remote.asked().is_empty());
    assert_eq!(fetch(&online, "maven://g:b:1").await.expect("it is remote"), Sha256::of(b"b"));
    remote.asked();

    let offline = cache(dir.path(), settings(true));
    assert_eq!(fetch(&offline, "maven://g:a:1").await.expect("it is local"), Sha256::of(b"local"));
    assert_eq!(fetch(&offline, "maven://g:b:1").await.expect("it was fetched before"), Sha256::of(b"b"));
    let error = fetch(&offline, "maven://g:c:1").await.expect_err("nobody may be asked");
    assert!(error.advice().is_some_and(|hint| hint.contains("maven.offline")), "{error:?}");
    assert!(remote.asked().is_empty());

    write(&local.join("g/a/1/a-1.jar.sha1"), &sha1("other"));
    let error = fetch(&online, "maven://g:a:1").await.expect_err("it is damaged");
    assert_eq!(error.code(), "checksum-mismatch");
}

/// Metadata of one build.
fn metadata(updated: &str, version: &str) -> String {
    format!(
        "<metadata><versioning><lastUpdated>{updated}</lastUpdated><snapshotVersions><snapshotVersion>\
         <extension>jar</extension><value>{version}</value><updated>{updated}</updated></snapshotVersion>\
         </snapshotVersions></versioning></metadata>"
    )
}

#[tokio::test]
async fn a_snapshot_is_the_newest_build_that_anybody_has() {
    let dir = temp();
    let file = |build: &str| format!("g/a/1-SNAPSHOT/a-1-{build}.jar");
    let (older, newer) = ("20260101.000000-1", "20260102.000000-2");
    let meta = "g/a/1-SNAPSHOT/maven-metadata.xml";
    let first =
        Served::new(&[(meta, body(&metadata("20260101000000", &format!("1-{older}")))), (&file(older), body("older"))])
            .await;
    let folder = dir.path().join("two");
    write(&folder.join(meta), &metadata("20260102000000", &format!("1-{newer}")));
    write(&folder.join(file(newer)), "newer");
    let two = format!("file://{}", folder.display());
    let uri = "maven://g:a:1-SNAPSHOT";

    let both = asking(dir.path(), &[&first.base, &two]);
    assert_eq!(fetch(&both, uri).await.expect("the second has the newest"), Sha256::of(b"newer"));
    let one = asking(dir.path(), &[&first.base]);
    assert_eq!(fetch(&one, uri).await.expect("the first has one"), Sha256::of(b"older"), "each time anew");
    let exact = format!("maven://g:a:1-{newer}");
    assert_eq!(fetch(&both, &exact).await.expect("also by its time"), Sha256::of(b"newer"));

    // Installed here later than any of them was built.
    let local = dir.path().join("m2");
    write(&local.join("g/a/1-SNAPSHOT/a-1-SNAPSHOT.jar"), "installed");
    let settings = |offline| Settings {
        local: Some(local.clone()),
        offline,
        repositories: vec![Repository::new("one", &first.base).expect("an address")],
        ..Settings::default()
    };
    assert_eq!(fetch(&cache(dir.path(), settings(false)), uri).await.expect("remote"), Sha256::of(b"older"));
    assert_eq!(fetch(&cache(dir.path(), settings(true)), uri).await.expect("local"), Sha256::of(b"installed"));
    write(
        &local.join("g/a/1-SNAPSHOT/maven-metadata-local.xml"),
        "<metadata><versioning><lastUpdated>20260103000000</lastUpdated></versioning></metadata>",
    );
    assert_eq!(fetch(&cache(dir.path(), settings(false)), uri).await.expect("local"), Sha256::of(b"installed"));

    // What tells the builds is held against its sums too.
    write(&folder.join("g/a/1-SNAPSHOT/maven-metadata.xml.sha1"), &sha1("something else"));
    let error = fetch(&both, uri).await.expect_err("the repository lies about its metadata");
    assert_eq!(error.code(), "checksum-mismatch", "{}", error.chain());
    assert!(error.chain().contains("maven-metadata.xml"), "{}", error.chain());

    // Nobody answers any more: what was resolved last serves.
    let gone = asking(dir.path(), &["http://127.0.0.1:1/maven"]);
    assert_eq!(fetch(&gone, uri).await.expect("it is here"), Sha256::of(b"installed"));
}

#[tokio::test]
async fn releases_and_snapshots_are_looked_for_only_where_they_are() {
    let dir = temp();
    let served = Served::new(&[]).await;
    let mut repository = Repository::new("one", &served.base).expect("an address");
    repository.snapshots = false;
    let settings = Settings { repositories: vec![repository], ..Settings::default() };
    let cache = cache(dir.path(), settings);
    fetch(&cache, "maven://g:a:1-SNAPSHOT").await.expect_err("it has none");
    fetch(&cache, "maven://g:a:1-20260101.000000-1").await.expect_err("it has none");
    assert!(served.asked().is_empty());
    fetch(&cache, "maven://g:a:1").await.expect_err("it has none");
    assert_eq!(served.asked().len(), 1);
}

#[tokio::test]
async fn the_guides_sample_is_built_in_unless_a_configured_repository_has_it() {
    let dir = temp();
    let uri = "maven://org.springframework.cloud.samples:spring-cloud-skipper-samples-helloworld:1.0.0.RELEASE";
    let wanted = skipper_platform::artifact::maven::Coordinates::parse(uri).expect("they are coordinates");
    let built_in = stand_in(&wanted).expect("it is built in").digest;
    let path = "org/springframework/cloud/samples/spring-cloud-skipper-samples-helloworld/1.0.0.RELEASE/\
                spring-cloud-skipper-samples-helloworld-1.0.0.RELEASE.jar";
    for (answer, expected) in [
        (Answer::Status(404), built_in),
        (Answer::Status(500), built_in),
        (body("the real one"), Sha256::of(b"the real one")),
    ] {
        let served = Served::new(&[(path, answer)]).await;
        let cache = asking(dir.path(), &[&served.base]);
        assert_eq!(fetch(&cache, uri).await.expect("there is always one"), expected);
        served.asked();
        let pinned = Resource { uri: uri.to_owned(), sha256: Some(built_in) };
        assert_eq!(cache.fetch(&pinned, PATIENCE).await.expect("pinned"), pinned);
        assert!(served.asked().is_empty(), "a rollback asks nobody");
    }
    // Those that nobody configured are not asked for it: the tour needs no network.
    let usual = Served::new(&[(path, body("from afar"))]).await;
    let mut repository = Repository::new("usual", &usual.base).expect("an address");
    repository.usual = true;
    let fresh = temp();
    let cache = cache(fresh.path(), Settings { repositories: vec![repository], ..Settings::default() });
    assert_eq!(fetch(&cache, uri).await.expect("there is always one"), built_in);
    assert!(usual.asked().is_empty());
    let other = uri.replace("1.0.0", "9.9.9");
    assert!(fetch(&cache, &other).await.is_err(), "only what is built in");
}

#[tokio::test]
async fn repositories_are_reached_through_the_proxy_but_for_those_that_are_excepted() {
    // A proxy is asked with the whole address, so nothing of it is found: that it was asked is what counts.
    let proxy = Served::new(&[]).await;
    let dir = temp();
    for (except, asked) in [(vec![], 1), (vec!["*.example.org".to_owned()], 0)] {
        let settings = Settings {
            repositories: vec![Repository::new("one", "http://maven.example.org/r").expect("an address")],
            proxy: Some(skipper_platform::artifact::maven::Proxy {
                address: proxy.base.parse().expect("an address"),
                login: None,
                except,
            }),
            ..Settings::default()
        };
        fetch(&cache(dir.path(), settings), "maven://g:a:1").await.expect_err("nobody has it");
        let lines = proxy.asked();
        assert_eq!(lines.len(), asked, "{lines:?}");
        assert!(lines.iter().all(|line| line == "http://maven.example.org/r/g/a/1/a-1.jar"), "{lines:?}");
    }
}
