//! 1.0.

use http::Method;
use serde_json::Value;

use super::{install, json_of, shape, stocked, upgrade};
use crate::fixture::{Ask, Server};

const JSON: &str = "application/json;charset=UTF-8";
const METADATA: &str = "apiVersion:text origin:null repositoryId:number kind:text name:text version:text \
    packageSourceUrl:null packageHomeUrl:null tags:null maintainer:null description:text sha256:null iconUrl:null";

fn release(platform_status: &str) -> String {
    format!(
        "{{name:text version:number info:{{status:{{statusCode:text platformStatus:{platform_status}}} \
         firstDeployed:number lastDeployed:number deleted:null description:text}} pkg:{{metadata:{{{METADATA}}} \
         templates:[{{name:text data:text}}] dependencies:[] configValues:{{raw:text}} fileHolders:[]}} \
         configValues:{{raw:null}} manifest:text platformName:text}}"
    )
}

#[tokio::test]
async fn about_is_told_to_both_generations_at_once() {
    let server = Server::start().await;
    let about = json_of(&server.get("/api/about").await, 200, JSON);
    let part = "{name:text version:text}";
    let expected = format!("{{name:text version:text versionInfo:{{server:{part} shell:{part}}}}}");
    assert_eq!(shape(&about), expected);
}

#[tokio::test]
async fn an_install_is_deployed_when_the_platform_was_told() {
    let server = stocked().await;
    let answer = server.post("/api/install", &install("1.0.0", "web")).await;
    let body = json_of(&answer, 201, JSON);
    assert_eq!(shape(&body), release("text"));
    assert_eq!(answer.header("location"), Some("http://localhost:7577/api/status/web/1"));
    assert_eq!((&body["name"], &body["version"]), (&"web".into(), &1.into()));
    assert_eq!(body["info"]["status"]["statusCode"], "DEPLOYED");
    assert_eq!(body["info"]["description"], "Install complete");
    assert_eq!(body["platformName"], "default");
    assert_eq!(body["pkg"]["templates"][0]["name"], "web.yml");
    assert_eq!(body["pkg"]["configValues"]["raw"], "greeting: hello\n");
    let status: Value =
        serde_json::from_str(body["info"]["status"]["platformStatus"].as_str().expect("text")).expect("JSON in text");
    assert_eq!(status[0]["deploymentId"], "web.web-v1");
    let instance = &status[0]["instances"]["web.web-v1-0"];
    let fields: Vec<&String> = instance.as_object().expect("an instance").keys().collect();
    assert_eq!(fields, ["instanceNumber", "baseUrl", "process", "attributes", "id", "state"]);
    assert_eq!(instance["id"], "web.web-v1-0");
    // Of no instances there is nothing to be told.
    server.upload("3.0.0", "  replicas: 0\n").await.ok::<Value>();
    let none: Value = server.post("/api/install", &install("3.0.0", "none")).await.ok();
    assert_eq!(none["info"]["status"]["statusCode"], "DEPLOYED");
}

#[tokio::test]
async fn status_history_list_and_manifest_tell_of_a_release() {
    let server = stocked().await;
    server.post("/api/install", &install("1.0.0", "web")).await.ok::<Value>();
    server.told("web", "DEPLOYED", "Install complete").await;
    let info = "{status:{statusCode:text platformStatus:text} firstDeployed:number lastDeployed:number deleted:null \
        description:text}";
    for path in ["/api/status/web", "/api/status/web/1"] {
        assert_eq!(shape(&json_of(&server.get(path).await, 200, JSON)), info);
    }
    for path in ["/api/history/web/3", "/api/list", "/api/list/WE"] {
        assert_eq!(shape(&json_of(&server.get(path).await, 200, JSON)), format!("[{}]", release("text")), "{path}");
    }
    assert_eq!(json_of(&server.get("/api/list/other").await, 200, JSON), Value::Array(Vec::new()));
    let text = server.get("/api/manifest/web").await;
    assert_eq!(text.header("content-type"), Some("text/plain;charset=ISO-8859-1"));
    assert!(text.text().contains("kind: Application"), "{}", text.text());
    let json = server.send(Ask::get("/api/manifest/web/1").header("accept", "application/json")).await;
    assert_eq!(json.header("content-type"), Some("application/json;charset=ISO-8859-1"));
    assert_eq!(json.body, text.body);
}

#[tokio::test]
async fn an_upgrade_answers_at_once_and_the_versions_before_are_deleted_ones() {
    let server = stocked().await;
    server.post("/api/install", &install("1.0.0", "web")).await.ok::<Value>();
    let answer = server.post("/api/upgrade", &upgrade("2.0.0", "web")).await;
    let body = json_of(&answer, 201, JSON);
    assert_eq!(shape(&body), release("null"));
    assert_eq!(body["version"], 2);
    assert_eq!(body["info"]["status"]["statusCode"], "UNKNOWN");
    assert_eq!(body["info"]["description"], "Upgrade install underway");
    server.told("web", "DEPLOYED", "Upgrade complete").await;
    let history: Vec<Value> = server.get("/api/history/web/10").await.ok();
    let told: Vec<_> = history
        .iter()
        .map(|version| (version["version"].as_u64(), version["info"]["status"]["statusCode"].as_str()))
        .collect();
    assert_eq!(told, [(Some(2), Some("DEPLOYED")), (Some(1), Some("DELETED"))]);
    assert_eq!(history[1]["info"]["description"], "Delete complete");
    let newest: Vec<Value> = server.get("/api/history/web/1").await.ok();
    assert_eq!(newest.len(), 1);
    let list: Vec<Value> = server.get("/api/list").await.ok();
    assert_eq!(list.len(), 1, "what is deleted is not listed");
}

#[tokio::test]
async fn a_rollback_is_a_new_version_and_shows_the_manifest_as_its_values() {
    let server = stocked().await;
    server.post("/api/install", &install("1.0.0", "web")).await.ok::<Value>();
    server.post("/api/upgrade", &upgrade("2.0.0", "web")).await.ok::<Value>();
    server.told("web", "DEPLOYED", "Upgrade complete").await;
    let answer = server.send(Ask::new(Method::POST, "/api/rollback/web/1")).await;
    let body = json_of(&answer, 201, JSON);
    assert_eq!(
        shape(&body),
        release("null").replace("configValues:{raw:null} manifest", "configValues:{raw:text} manifest")
    );
    assert_eq!(body["version"], 3);
    assert_eq!(body["info"]["description"], "Initial install underway");
    assert_eq!(body["configValues"]["raw"], body["manifest"]);
    assert_eq!(body["pkg"]["metadata"]["version"], "1.0.0");
    // Both generations have a word of their own for it.
    server.told("web", "DEPLOYED", "Rollback complete").await;
    let info: Value = server.get("/api/status/web").await.ok();
    assert_eq!(info["description"], "Upgrade complete");
}

#[tokio::test]
async fn a_deleted_release_keeps_its_history_and_can_be_installed_again() {
    let server = stocked().await;
    server.post("/api/install", &install("1.0.0", "web")).await.ok::<Value>();
    let body = json_of(&server.send(Ask::new(Method::POST, "/api/delete/web")).await, 201, JSON);
    assert_eq!(shape(&body), release("null"));
    assert_eq!(body["info"]["status"]["statusCode"], "DELETED");
    assert_eq!(body["info"]["description"], "Delete complete");
    let info: Value = server.get("/api/status/web").await.ok();
    assert_eq!(info["status"]["platformStatus"], r#"[{"deploymentId":"web.web-v1","instances":{},"state":"unknown"}]"#);
    assert_eq!(server.get("/api/list").await.ok::<Value>(), Value::Array(Vec::new()));
    let again = json_of(&server.post("/api/install", &install("2.0.0", "web")).await, 201, JSON);
    assert_eq!(again["version"], 2);
}

#[tokio::test]
async fn a_package_is_installed_by_its_number() {
    let server = stocked().await;
    let packages: Value = server.get("/v1/packages?q=hello").await.ok();
    let number = packages["items"][0]["id"].as_i64().expect("a number");
    let body = serde_json::json!({"releaseName": "web", "platformName": "default"});
    let answer = server.post(&format!("/api/install/{number}"), &body).await;
    assert_eq!(shape(&json_of(&answer, 201, JSON)), release("text"));
    let again = server.post(&format!("/api/install/{number}"), &body).await;
    assert_eq!(again.status, 409, "{}", again.text());
}

#[tokio::test]
async fn a_manifest_beyond_latin_1_is_sent_in_utf_8() {
    let server = stocked().await;
    for (release, greeting, charset) in [("web", "grüß", "ISO-8859-1"), ("two", "你好", "UTF-8")] {
        let mut body = install("1.0.0", release);
        body["installProperties"]["configValues"] = serde_json::json!({"raw": format!("greeting: {greeting}\n")});
        server.post("/api/install", &body).await.ok::<Value>();
        let answer = server.get(&format!("/api/manifest/{release}")).await;
        assert_eq!(answer.header("content-type"), Some(format!("text/plain;charset={charset}").as_str()));
        let text = match charset {
            "UTF-8" => answer.text(),
            _ => answer.body.iter().map(|byte| char::from(*byte)).collect(),
        };
        assert!(text.contains(greeting), "{text}");
    }
}

#[tokio::test]
async fn a_release_is_found_by_what_its_documents_say_of_themselves() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "hello")).await.ok::<Value>();
    server.told("hello", "DEPLOYED", "Install complete").await;
    let found = async |metadata: &str| -> Vec<Value> {
        let page: Value = server.get(&format!("/v1/releases?metadata={metadata}")).await.ok();
        page["items"].as_array().expect("a page").iter().map(|item| item["name"].clone()).collect()
    };
    assert_eq!(found("name=web").await, ["hello"], "by the application, which is not called as the release is");
    assert!(found("name=hello").await.is_empty());
    assert!(found("type=").await.is_empty());
    for bad in ["type", "=x"] {
        assert_eq!(server.get(&format!("/v1/releases?metadata={bad}")).await.status, 422, "{bad}");
    }
}
