//! The door of Spring Cloud Skipper's clients, by shape: which fields, in which order, of which kind.

mod counts;
mod errors;
mod first;
mod held;
mod packages;
mod rollouts;
mod second;

use serde_json::{Value, json};

use crate::fixture::{Answer, Ask, Server};

/// What the Java client of 2.x accepts.
pub(crate) const JAVA_2: &str = "application/json, application/*+json";

/// Names and kinds of everything in a document, in order: `name:text info{status{…}}`.
pub(crate) fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("[{}]", items.first().map(shape).unwrap_or_default()),
        Value::Object(map) => {
            let fields: Vec<String> = map.iter().map(|(name, value)| format!("{name}:{}", shape(value))).collect();
            format!("{{{}}}", fields.join(" "))
        }
    }
}

#[track_caller]
pub(crate) fn json_of(answer: &Answer, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some(kind), "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

pub(crate) fn install(version: &str, release: &str) -> Value {
    json!({
        "packageIdentifier": {"repositoryName": "notused", "packageName": "hello", "packageVersion": version},
        "installProperties": {"releaseName": release, "platformName": "default"},
    })
}

pub(crate) fn upgrade(version: &str, release: &str) -> Value {
    json!({
        "packageIdentifier": {"packageName": "hello", "packageVersion": version},
        "upgradeProperties": {"releaseName": release},
    })
}

/// A server with two versions of the package `hello`.
pub(crate) async fn stocked() -> Server {
    let server = Server::start().await;
    server.upload("1.0.0", "").await.ok::<Value>();
    server.upload("2.0.0", "").await.ok::<Value>();
    server
}

impl Server {
    pub(crate) async fn spring(&self, ask: Ask) -> Answer {
        self.send(ask.header("accept", JAVA_2)).await
    }

    /// Waits until the newest version of a release has that status and sentence.
    pub(crate) async fn told(&self, release: &str, status: &str, sentence: &str) -> Value {
        let mut changes = self.app.store.events_subscribe();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                let info: Value = self.get(&format!("/api/release/status/{release}")).await.ok();
                let text = info["description"].as_str().unwrap_or_default();
                if info["status"]["statusCode"] == status && text.starts_with(sentence) {
                    return info;
                }
                changes.changed().await.expect("the store is open");
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await;
        waited.unwrap_or_else(|_| panic!("`{release}` does not become {status}, `{sentence}`"))
    }
}
