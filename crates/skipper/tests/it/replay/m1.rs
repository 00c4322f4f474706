//! The exchanges of the 1.0.0.M1 guide, one pair of files for each section of its API documentation.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    compare::{Ids, Rule, Rules},
    exchange::{Answer, Request, answer, ask},
};
use crate::{
    bench::{Bench, until},
    java,
};

/// What varies: ids, times, the deployer's internals, where things lie.
fn rules() -> Rules {
    Rules(vec![
        ("firstDeployed", Rule::Digits),
        ("lastDeployed", Rule::Digits),
        ("platformStatus", Rule::Inside),
        ("(inside)/0", Rule::Loose),
        ("(inside)/*/instances/*", Rule::Loose),
        ("(inside)/*/instances/*/instanceNumber", Rule::Any),
        ("(inside)/*/instances/*/baseUrl", Rule::Any),
        ("(inside)/*/instances/*/process", Rule::Any),
        ("(inside)/*/instances/*/attributes", Rule::Loose),
        ("attributes/pid", Rule::Any),
        ("attributes/*", Rule::Kind),
        ("(inside)/*/state", Rule::Kind),
        ("instances/*/state", Rule::Kind),
        ("repositoryId", Rule::Id("repositories")),
        ("href", Rule::Href),
        ("repositories/*/url", Rule::Kind),
        ("url", Rule::Kind),
        ("deployers/*/description", Rule::Kind),
    ])
}

/// What is there before an exchange.
enum Before {
    /// Our answer to the exchange of that section is compared with it first, so that ids are known.
    Seen(&'static str),
    /// A release of that name, of package `log` in that version, that runs.
    Runs(&'static str, &'static str),
    /// The release is no longer being changed.
    Quiet(&'static str),
}

/// One server with everything that the guide's examples presuppose.
struct Session {
    bench: Bench,
    folder: PathBuf,
    ids: Ids,
    report: Vec<String>,
    /// The server's configuration.
    _settings: tempfile::TempDir,
}

impl Session {
    fn start(vectors: &Path, jars: &java::Jars) -> Self {
        let settings = tempfile::tempdir().expect("a temporary folder");
        let test =
            vectors.join("M1-549e4c71/spring-cloud-skipper-server-core/src/test/resources/repositories/binaries/test");
        let java = jars.java.as_ref().map_or(String::new(), |java| {
            format!("        platform.local.accounts.default.javaCmd: {}\n", java.display())
        });
        let yaml = format!(
            "spring:\n  cloud:\n    skipper:\n      server:\n{java}        packageRepositories:\n          -\n            \
             name: test\n            url: \"file://{}\"\n            description: test repository with a few packages\n          \
             -\n            name: local\n            url: \"http://localhost:7577\"\n            local: true\n            \
             description: Default local database backed repository\nmaven:\n  includeDefaultRemoteRepos: false\n  \
             remoteRepositories:\n    springRepo: \"file://{}\"\n",
            test.display(),
            jars.repository.display()
        );
        let file = settings.path().join("application.yml");
        fs::write(&file, yaml).expect("written");
        let bench = Bench::start_with(&[&format!("--spring.config.location={}", file.display())]);
        let folder = vectors.join("guide-M1-examples");
        let session = Self { bench, folder, ids: Ids::default(), report: Vec::new(), _settings: settings };
        let packages = Request::get("/api/packageMetadata?size=100");
        until("the index is read", || session.ask(&packages).body, |body| body.contains("helloworld-docker"));
        session
    }

    fn ask(&self, request: &Request) -> Answer {
        ask(self.bench.url().trim_start_matches("http://"), request)
    }

    /// The recorded request and answer of a section.
    fn recorded(&self, section: &str) -> (Request, Answer) {
        let read = |kind: &str| {
            let mut files = fs::read_dir(&self.folder).expect("the examples").flatten();
            let file = files.find(|file| {
                let name = file.file_name().to_string_lossy().into_owned();
                name.starts_with(&format!("{section}-")) && name.ends_with(&format!(".{kind}.http"))
            });
            let text = fs::read_to_string(file.unwrap_or_else(|| panic!("no {section}")).path()).expect("text");
            // The documentation's line ends are not those of the wire.
            let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
            (head.trim_end().replace('\n', "\r\n"), body.to_owned())
        };
        let (head, body) = read("request");
        let request = Request::read(&head, body.trim());
        let (head, body) = read("response");
        let length: Option<usize> = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .and_then(|text| text.trim().parse().ok());
        let body = length.and_then(|length| body.get(..length)).unwrap_or(&body);
        (request, answer(format!("{head}\r\n\r\n{body}").as_bytes()).expect("an answer"))
    }

    /// Asks and compares; differences are added to the report.
    fn exchange(&mut self, section: &str, before: &[Before], more: &[(&'static str, Rule)]) {
        for state in before {
            match state {
                Before::Seen(other) => {
                    let (request, mut recorded) = self.recorded(other);
                    let mut ours = self.ask(&request);
                    sort_repositories(&mut recorded);
                    sort_repositories(&mut ours);
                    ours.differences(&recorded, &rules(), &mut self.ids);
                }
                Before::Runs(release, version) => {
                    let body = format!(
                        "{{\"packageIdentifier\":{{\"packageName\":\"log\",\"packageVersion\":\"{version}\"}},\
                         \"installProperties\":{{\"releaseName\":\"{release}\",\"platformName\":\"default\"}}}}"
                    );
                    let answer = self.ask(&Request::post("/api/install", &body));
                    assert_eq!(answer.status, 201, "{}", answer.body);
                    self.quiet(release);
                }
                Before::Quiet(release) => self.quiet(release),
            }
        }
        let (mut request, mut recorded) = self.recorded(section);
        request.path = self.ids.translate(&request.path);
        let mut ours = self.ask(&request);
        for answer in [&mut recorded, &mut ours] {
            sort_repositories(answer);
        }
        let mut found = ours.differences(&recorded, &rules().with(more), &mut self.ids);
        if recorded.status == 201 && ours.header("location").is_none() {
            found.push("header location: the guide promises one for what was created (18.2)".to_owned());
        }
        if !found.is_empty() {
            self.report.push(format!("{section} {} {}\n    {}", request.method, request.path, found.join("\n    ")));
        }
    }

    fn quiet(&self, release: &str) {
        until(
            "the release runs",
            || self.ask(&Request::get(&format!("/api/status/{release}"))).body,
            |body| body.contains("\"DEPLOYED\"") && body.contains(r#"\"state\":\"deployed\""#),
        );
    }

    #[track_caller]
    fn ends(self) {
        assert!(self.report.is_empty(), "{} exchanges differ:\n{}", self.report.len(), self.report.join("\n"));
    }
}

/// Repositories are listed by their ids, and those are others.
fn sort_repositories(answer: &mut Answer) {
    let Some(mut body) = answer.json() else { return };
    if let Some(all) = body.pointer_mut("/_embedded/repositories").and_then(Value::as_array_mut) {
        all.sort_by_key(|one| one["name"].to_string());
        answer.body = body.to_string();
    }
}

#[test]
fn the_guides_exchanges_without_a_release_are_as_it_shows_them() {
    let (Some(vectors), jars) = (super::vectors(), java::jars()) else { return };
    let mut session = Session::start(&vectors, &jars);
    session.exchange("19.1.1", &[], &[("_links", Rule::More)]);
    session.exchange("19.2.1", &[], &[("name", Rule::Any), ("version", Rule::Any), ("versionInfo", Rule::Any)]);
    session.exchange("19.12.1", &[], &[]);
    session.exchange("19.12.2", &[], &[]);
    session.exchange("19.13.1", &[], &[]);
    session.exchange("19.14.1", &[], &[]);
    session.exchange("19.15.1", &[], &[]);
    session.exchange("19.16.1", &[], &[]);
    session.exchange("19.16.2", &[], &[]);
    session.exchange("19.3.1", &[], &[]);
    session.ends();
}

#[test]
fn the_guides_exchanges_of_a_release_are_as_it_shows_them() {
    let (Some(vectors), jars) = (super::vectors(), java::jars()) else { return };
    let mut session = Session::start(&vectors, &jars);
    session.exchange("19.4.1", &[Before::Seen("19.12.1")], &[]);
    session.exchange("19.5.1", &[Before::Quiet("myLogRelease")], &[]);
    session.exchange("19.6.1", &[], &[]);
    session.exchange("19.10.1", &[], &[]);
    session.exchange("19.11.1", &[], &[]);
    session.exchange("19.7.1", &[], &[]);
    session.exchange("19.8.1", &[Before::Quiet("myLogRelease")], &[]);
    session.quiet("myLogRelease");
    session.ends();
}

#[test]
fn the_guides_exchanges_by_id_and_version_are_as_it_shows_them() {
    let (Some(vectors), jars) = (super::vectors(), java::jars()) else { return };
    let mut session = Session::start(&vectors, &jars);
    session.exchange("19.4.2", &[Before::Seen("19.12.1"), Before::Seen("19.16.1")], &[]);
    session.exchange("19.5.2", &[Before::Runs("myLogRelease2", "1.0.0")], &[]);
    session.exchange("19.6.2", &[], &[]);
    session.exchange("19.11.2", &[], &[]);
    session.exchange("19.9.1", &[Before::Runs("myLogRelease", "1.0.0")], &[]);
    session.ends();
}
