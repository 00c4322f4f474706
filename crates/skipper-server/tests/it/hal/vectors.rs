//! What the original answered, compared by fields, their order, nulls and kinds, where `SKIPPER_VECTORS` names a folder that
//! has its recordings.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{JAVA, classic};
use crate::fixture::{Ask, Server};

/// The folder of that name, or `None` with a line that says so.
fn folder(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("SKIPPER_VECTORS") else {
        println!("left out: SKIPPER_VECTORS names no folder of recordings");
        return None;
    };
    Some(PathBuf::from(root).join(name))
}

/// Everything in which two documents differ, but for values.
fn differences(at: &str, expected: &Value, ours: &Value, found: &mut Vec<String>) {
    match (expected, ours) {
        (Value::Object(expected), Value::Object(ours)) => {
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>().join(" ");
            if names(expected) != names(ours) {
                found.push(format!("{at}: `{}` is `{}`", names(expected), names(ours)));
            }
            for (key, value) in expected {
                if let Some(own) = ours.get(key) {
                    differences(&format!("{at}/{key}"), value, own, found);
                }
            }
        }
        (Value::Array(expected), Value::Array(ours)) => {
            if expected.is_empty() != ours.is_empty() {
                found.push(format!("{at}: {} items are {}", expected.len(), ours.len()));
            }
            for (index, (value, own)) in expected.iter().zip(ours).enumerate() {
                differences(&format!("{at}/{index}"), value, own, found);
            }
        }
        (Value::String(expected), Value::String(own)) if at.ends_with("/href") => {
            if masked(expected) != masked(own) {
                found.push(format!("{at}: {expected} is {own}"));
            }
        }
        (Value::Number(expected), Value::Number(own)) if expected.is_f64() == own.is_f64() => {}
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => {}
        _ => found.push(format!("{at}: {expected} is {ours}")),
    }
}

/// Without ids: numbers and UUIDs.
fn masked(href: &str) -> String {
    let segment = |segment: &str| {
        let (id, rest) = segment.split_at(segment.find('{').unwrap_or(segment.len()));
        let is_id = id.parse::<i64>().is_ok_and(|number| number != 123) || uuid::Uuid::parse_str(id).is_ok();
        if is_id { format!("ID{rest}") } else { segment.to_owned() }
    };
    href.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[track_caller]
fn check(name: &str, expected: &Value, ours: &Value) {
    let mut found = Vec::new();
    differences("", expected, ours, &mut found);
    assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
}

/// A server with what the recordings of 2.x were made with, as far as its shapes need it.
async fn with_a_release() -> Server {
    let server = Server::start().await;
    for version in ["1.0.0", "1.0.1"] {
        server.publish(classic("tiny", version)).await;
    }
    let install = json!({
        "packageIdentifier": {"packageName": "tiny", "packageVersion": "1.0.0"},
        "installProperties": {"releaseName": "h1", "platformName": "local"},
    });
    assert_eq!(server.post("/api/package/install", &install).await.status, 201);
    server
}

#[tokio::test]
async fn resources_look_as_the_guide_shows_them() {
    let Some(folder) = folder("guide-M1-examples") else { return };
    let server = Server::start().await;
    for name in [
        "19.1.1-accessing-the-index",
        "19.13.1-retrieving-a-list-of-app-deployer-datas",
        "19.14.1-retrieving-a-list-of-app-deployers",
        "19.15.1-retrieving-a-list-of-releases",
    ] {
        let read = |kind: &str| fs::read_to_string(folder.join(format!("{name}.{kind}.http"))).expect("a recording");
        let (request, response) = (read("request"), read("response"));
        let uri = request.split(' ').nth(1).expect("a request line");
        let (head, body) = response.split_once("\n\n").or_else(|| response.split_once("\r\n\r\n")).expect("a body");
        let answer = server.get(uri).await;
        let kind = head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).expect("a type");
        assert_eq!(answer.header("content-type"), Some(kind.trim()), "{name}");
        let mut ours: Value = answer.ok();
        if uri == "/api" {
            let links = ours["_links"].as_object_mut().expect("links");
            links.retain(|rel, _| !matches!(rel.as_str(), "release" | "package"));
        }
        check(name, &serde_json::from_str(body).expect("JSON"), &ours);
    }
}

#[tokio::test]
async fn resources_look_as_2_x_sends_them_to_its_java_client() {
    let Some(folder) = folder("captures-2.11.5") else { return };
    let server = with_a_release().await;
    let text = fs::read_to_string(folder.join("curl-hal.jsonl")).expect("recordings");
    let mut compared = 0;
    for line in text.lines() {
        let exchange: Value = serde_json::from_str(line).expect("JSON");
        let request = exchange["request"]["line"].as_str().expect("a request line");
        let Some(uri) = request.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1")) else { continue };
        let expected = &exchange["response"]["body"];
        let resource = ["/api/packageMetadata", "/api/repositories", "/api/deployers", "/api/profile", "/api/releases"];
        if !expected.is_object() || !resource.iter().any(|resource| uri.starts_with(resource)) {
            continue;
        }
        let mut expected = expected.clone();
        if let Some(deployer) = expected.pointer_mut("/_embedded/deployers/0/options") {
            *deployer = json!([]);
        }
        let ours: Value = server.send(Ask::get(uri).header("accept", JAVA)).await.ok();
        check(request, &expected, &ours);
        compared += 1;
    }
    assert!(compared >= 11, "{compared} exchanges");
}
