//! What was recorded between the 2.11.5 server and its clients: the Java client, the shell, and curl.

use std::{collections::BTreeMap, fs, path::Path};

use base64::Engine as _;
use serde_json::Value;

use super::{
    compare::{Ids, Rule, Rules},
    exchange::{Answer, Request, ask},
};
use crate::{bench::Bench, java};

/// Where the recorded packages say that their jars lie.
const RECORDED_JARS: &str = "/srv/example/app";

/// What varies: ids, times, ports, folders, versions, and the texts that a deployer writes.
fn rules() -> Rules {
    Rules(vec![
        ("timestamp", Rule::Digits),
        ("firstDeployed", Rule::Digits),
        ("lastDeployed", Rule::Digits),
        ("deployers/*/description", Rule::Kind),
        ("description", Rule::Digits),
        ("platformStatus", Rule::Inside),
        ("attributes/port", Rule::Digits),
        ("attributes/url", Rule::Kind),
        ("attributes/stderr", Rule::Kind),
        ("attributes/stdout", Rule::Kind),
        ("attributes/working.dir", Rule::Kind),
        ("repositoryId", Rule::Id("repositories")),
        ("_embedded/packageMetadata/*/id", Rule::Id("packageMetadata")),
        ("href", Rule::Href),
        ("repositories/*/url", Rule::Kind),
        ("deployers/*/description", Rule::Kind),
        ("deployers/*/options", Rule::Kind),
        ("versionInfo/*/version", Rule::Kind),
        ("versionInfo/*/name", Rule::Kind),
        ("versionInfo/shell/url", Rule::Any),
        ("logs/*", Rule::Kind),
    ])
}

/// Why an exchange is not replayed, or what more may vary in it.
enum Note {
    /// It cannot be as it was, for this reason.
    Skipped(&'static str),
    /// More rules.
    Varies(&'static [(&'static str, Rule)]),
}

/// One recorded exchange.
struct Exchange {
    request: Request,
    answer: Answer,
}

impl Exchange {
    fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).expect("a line of JSON");
        let headers = |of: &Value| -> Vec<(String, String)> {
            let all = of["headers"].as_array().expect("headers");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            all.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
        };
        let body = |of: &Value| match &of["body"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let (request, response) = (&value["request"], &value["response"]);
        let line = request["line"].as_str().expect("a line");
        let mut asked = Request::read(line, &body(request));
        asked.headers = headers(request);
        let status = response["line"].as_str().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let answer =
            Answer { status: status.parse().expect("a number"), headers: headers(response), body: body(response) };
        Self { request: asked, answer }
    }
}

/// A server as the recorded one was: one local repository, one platform, applications that take a while to start.
struct Session {
    bench: Bench,
    jars: java::Jars,
    ids: Ids,
    report: Vec<String>,
    asked: usize,
    _settings: tempfile::TempDir,
}

impl Session {
    fn start() -> Option<Self> {
        java::standin()?;
        let (settings, jars) = (tempfile::tempdir().expect("a temporary folder"), java::jars());
        let yaml = "spring:\n  cloud:\n    skipper:\n      server:\n        package-repositories:\n          local:\n            \
                    url: http://localhost:7577\n            local: true\n            \
                    description: Default local database backed repository\n            repo-order: 1\n        \
                    platform:\n          local:\n            accounts:\n              default:\n                \
                    java-opts: -XX:TieredStopAtLevel=1 -Dtiny.start-delay=1200\n";
        let file = settings.path().join("application.yml");
        fs::write(&file, yaml).expect("written");
        let bench = Bench::start_with(&[&format!("--spring.config.location={}", file.display())]);
        Some(Self { bench, jars, ids: Ids::default(), report: Vec::new(), asked: 0, _settings: settings })
    }

    /// The recorded request as it has to be asked here: with our ids, and with a package.
    fn request(&self, recorded: &Request) -> Request {
        let mut request = recorded.clone();
        request.path = self.ids.translate(&request.path);
        if request.path.ends_with("/package/upload") {
            let mut body: Value = serde_json::from_str(&request.body).expect("an upload");
            let name = body["name"].as_str().expect("a name").to_owned();
            let version = body["version"].as_str().expect("a version").to_owned();
            let zip = java::tiny(&name, &version, &self.jars.repository);
            body["packageFileAsBytes"] = base64::engine::general_purpose::STANDARD.encode(zip).into();
            request.body = body.to_string();
        }
        request
    }

    /// Asks and compares. What is being waited for is asked again until it is as recorded, or the time is up.
    fn exchange(&mut self, n: usize, exchange: &Exchange, more: &[(&'static str, Rule)]) {
        let request = self.request(&exchange.request);
        let rules = rules().with(more);
        let address = self.bench.url().trim_start_matches("http://").to_owned();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(8);
        let mut seen = 0;
        let found = loop {
            let mut ours = ask(&address, &request);
            ours.body = ours.body.replace(&self.jars.repository.display().to_string(), RECORDED_JARS);
            let mut ids = self.ids.clone();
            let found = ours.differences(&exchange.answer, &rules, &mut ids);
            // One that has long been there, and does not change, is not waited for.
            seen += 1;
            let may_change =
                request.method == "GET" && exchange.answer.status == 200 && ours.status == 200 && seen < 200;
            if found.is_empty() || !may_change || std::time::Instant::now() > end {
                self.ids = ids;
                break found;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        };
        self.asked += 1;
        if !found.is_empty() {
            self.report.push(format!("{n} {} {}\n    {}", request.method, request.path, found.join("\n    ")));
        }
    }

    fn replay(&mut self, file: &Path, notes: &BTreeMap<usize, Note>, keep: impl Fn(&mut Value)) {
        let text = fs::read_to_string(file).expect("the recording");
        let mut all: Vec<Exchange> = text.lines().map(Exchange::read).collect();
        for exchange in &mut all {
            if let Some(mut body) = exchange.answer.json() {
                keep(&mut body);
                exchange.answer.body = body.to_string();
            }
        }
        for (n, exchange) in all.iter().enumerate() {
            // Of several looks at the same thing, the last one is what was waited for.
            let again = all.get(n + 1).is_some_and(|next| {
                next.request.method == "GET"
                    && exchange.request.method == "GET"
                    && next.request.path == exchange.request.path
            });
            match notes.get(&n) {
                Some(Note::Skipped(reason)) => println!("{n} {} is not replayed: {reason}", exchange.request.path),
                _ if again => {}
                Some(Note::Varies(more)) => self.exchange(n, exchange, more),
                None => self.exchange(n, exchange, &[]),
            }
        }
    }

    #[track_caller]
    fn ends(self) {
        let (differ, asked) = (self.report.len(), self.asked);
        assert!(self.report.is_empty(), "{differ} of {asked} exchanges differ:\n{}", self.report.join("\n"));
    }
}

/// The state that an application is in just then is a matter of moments.
const MOMENT: &[(&str, Rule)] = &[("(inside)/*/state", Rule::Kind), ("instances/*/state", Rule::Kind)];

/// Whoever asks is told for both generations.
const ABOUT: &[(&str, Rule)] = &[("name", Rule::Any), ("version", Rule::Any)];

/// No values were stored as none.
const NO_VALUES: &[(&str, Rule)] = &[("configValues/raw", Rule::Any)];

/// What Java says of a request that it cannot read.
const UNREADABLE: &[(&str, Rule)] = &[("message", Rule::Kind)];

/// A projection's fields come in any order: the recordings differ among themselves.
const PROJECTION: &[(&str, Rule)] = &[("_embedded/packageMetadata/*", Rule::Loose)];

#[test]
fn the_java_clients_exchanges_are_as_recorded() {
    let Some(vectors) = super::vectors() else { return };
    let Some(mut session) = Session::start() else { return };
    let early = "an application that dies at once is found out early here, and was not";
    let notes = BTreeMap::from([
        (0, Note::Varies(ABOUT)),
        (3, Note::Varies(PROJECTION)),
        (11, Note::Varies(PROJECTION)),
        (14, Note::Varies(PROJECTION)),
        (18, Note::Varies(MOMENT)),
        (19, Note::Varies(MOMENT)),
        (43, Note::Varies(MOMENT)),
        (31, Note::Skipped("logs are found by the application's name as well")),
        (38, Note::Skipped("actuators are reached by the application's name as well")),
        (39, Note::Skipped("actuators are reached by the application's name as well")),
        (68, Note::Varies(&[("platformStatus", Rule::Kind)])),
        (78, Note::Skipped(early)),
        (79, Note::Skipped(early)),
        (80, Note::Skipped(early)),
        (81, Note::Skipped(early)),
        (89, Note::Varies(MOMENT)),
        (93, Note::Varies(MOMENT)),
        (98, Note::Varies(PROJECTION)),
    ]);
    session.replay(&vectors.join("captures-2.11.5/client.jsonl"), &notes, |body| {
        if body.pointer("/_embedded/releases").is_some() {
            only(body, "r");
        }
    });
    session.ends();
}

#[test]
fn the_shells_exchanges_are_as_recorded() {
    let Some(vectors) = super::vectors() else { return };
    let Some(mut session) = Session::start() else { return };
    let notes = BTreeMap::from([
        (0, Note::Varies(ABOUT)),
        (3, Note::Varies(ABOUT)),
        (6, Note::Varies(PROJECTION)),
        (8, Note::Varies(MOMENT)),
        (9, Note::Varies(MOMENT)),
        (10, Note::Varies(MOMENT)),
        (14, Note::Varies(ABOUT)),
        (16, Note::Varies(ABOUT)),
    ]);
    session.replay(&vectors.join("captures-2.11.5/shell.jsonl"), &notes, |body| only(body, "sh"));
    session.ends();
}

/// Keeps what is called so: the servers that were recorded held what other sessions had left.
fn only(body: &mut Value, start: &str) {
    for list in ["releases", "packageMetadata"] {
        let Some(items) = body.pointer_mut(&format!("/_embedded/{list}")).and_then(Value::as_array_mut) else {
            continue;
        };
        items.retain(|item| item["name"].as_str().is_some_and(|name| name.starts_with(start)));
        let left = items.len();
        if let Some(page) = body.get_mut("page") {
            page["totalElements"] = left.into();
        }
    }
}

#[test]
fn curls_exchanges_of_the_second_generation_are_as_recorded() {
    let Some(vectors) = super::vectors() else { return };
    let Some(mut session) = Session::start() else { return };
    let shared = "what both generations share answers curl as the first one does";
    let mut notes: BTreeMap<usize, Note> =
        [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 37, 49, 50, 51]
            .map(|n| (n, Note::Skipped(shared)))
            .into();
    notes.insert(2, Note::Varies(MOMENT));
    // A number that was guessed is another one here.
    notes.insert(3, Note::Varies(&[("message", Rule::Digits), ("path", Rule::Digits)]));
    for n in [28, 29, 52] {
        notes.insert(n, Note::Varies(NO_VALUES));
    }
    for n in [38, 39] {
        notes.insert(
            n,
            Note::Skipped("a path of neither generation answers in the shape of the first, or of this server"),
        );
    }
    notes.insert(40, Note::Varies(&[("_links/health-path", Rule::Any)]));
    notes.insert(
        42,
        Note::Varies(&[("build", Rule::Loose), ("time", Rule::Any), ("group", Rule::Any), ("build/*", Rule::Kind)]),
    );
    notes.insert(44, Note::Varies(UNREADABLE));
    notes.insert(46, Note::Varies(UNREADABLE));
    notes.insert(47, Note::Varies(&[("allow", Rule::Any)]));
    notes.insert(54, Note::Varies(ABOUT));
    notes.insert(55, Note::Varies(ABOUT));
    notes.insert(45, Note::Skipped("an empty request was a fault of the server"));
    session.replay(&vectors.join("captures-2.11.5/curl-hal.jsonl"), &notes, |_| {});
    session.ends();
}
