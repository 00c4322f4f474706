use serde_json::Value;
use skipper_server::api::{Access, document, routes};

use crate::fixture::Server;

#[test]
fn every_route_of_the_table_is_described_under_its_own_path_and_method() {
    let document = serde_json::to_value(document()).expect("JSON");
    assert!(document["openapi"].as_str().expect("version").starts_with("3.1"));
    let (mut described, mut ids) = (0, std::collections::HashSet::new());
    for (_, item) in document["paths"].as_object().expect("paths") {
        described += item
            .as_object()
            .expect("operations")
            .keys()
            .filter(|k| ["get", "post", "put", "patch", "delete"].contains(&k.as_str()))
            .count();
    }
    // The door of Spring's clients describes itself: by its index and its profiles.
    let springs = |path: &str| path.starts_with("/api") || path.starts_with("/actuator");
    let all: Vec<_> = routes().into_iter().filter(|route| !springs(route.path)).collect();
    assert_eq!(described, all.len(), "nothing is described that is not served");
    for route in all {
        let method = route.method.as_str().to_lowercase();
        let operation = &document["paths"][route.path][&method];
        assert!(operation.is_object(), "{method} {} is not described", route.path);
        assert!(operation["summary"].is_string(), "{method} {} says nothing", route.path);
        let responses = operation["responses"].as_object().expect("responses");
        // What becomes another protocol has gone well by that.
        let went_well = |status: &String| status.starts_with('2') || status == "101";
        assert!(responses.keys().any(went_well), "{method} {}", route.path);
        assert!(responses.contains_key("500"), "{method} {}", route.path);
        for (status, response) in responses {
            let description = response["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{method} {} {status}", route.path);
        }
        let id = operation["operationId"].as_str().expect("an id").to_owned();
        assert!(ids.insert(id.clone()), "{id} is there twice");
        let secured = operation["security"].is_array();
        assert_eq!(secured, route.access != Access::Public, "{method} {}", route.path);
        assert_eq!(secured, responses.contains_key("401"), "{method} {}", route.path);
    }
}

#[test]
fn every_reference_leads_to_a_schema() {
    let document = serde_json::to_value(document()).expect("JSON");
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").expect("a local reference");
        assert!(document["components"]["schemas"][name].is_object(), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.push(reference.clone());
            }
            map.values().for_each(|inner| collect(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_served_to_anybody() {
    let server = Server::start().await;
    let document: Value = server.get("/openapi.json").await.ok();
    assert_eq!(document["info"]["title"], "Skipper");
}
