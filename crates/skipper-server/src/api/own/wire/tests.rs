//! What clients have seen stays as it is: these texts are the schema.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::*;

/// Writes and reads back.
#[track_caller]
fn check<T: Serialize + DeserializeOwned>(value: &T, expected: &serde_json::Value) {
    let written = serde_json::to_value(value).expect("a wire type is JSON");
    assert_eq!(written, *expected);
    let read: T = serde_json::from_value(written.clone()).expect("what is written can be read");
    assert_eq!(serde_json::to_value(&read).expect("JSON"), written);
}

fn summary() -> RolloutSummary {
    RolloutSummary {
        id: "018f0000-0000-7000-8000-000000000001".into(),
        verb: "upgrade".into(),
        phase: "failed".into(),
        finished: true,
        from: Some(1),
        to: Some(2),
        cause: Some(CauseView {
            code: "unhealthy".into(),
            message: "no".into(),
            hint: None,
            step: Some(3),
            at: "2026-01-01T00:00:00Z".into(),
        }),
        created_at: "2026-01-01T00:00:00Z".into(),
        finished_at: None,
    }
}

#[test]
fn an_accepted_intent_is_written_like_this() {
    let value = Accepted {
        release: "web".into(),
        tenant: "default".into(),
        revision: Some(2),
        rollout: summary(),
        warnings: Vec::new(),
    };
    check(
        &value,
        &json!({
            "release": "web", "tenant": "default", "revision": 2,
            "rollout": {
                "id": "018f0000-0000-7000-8000-000000000001", "verb": "upgrade", "phase": "failed", "finished": true,
                "from": 1, "to": 2,
                "cause": {"code": "unhealthy", "message": "no", "step": 3, "at": "2026-01-01T00:00:00Z"},
                "created_at": "2026-01-01T00:00:00Z", "finished_at": null,
            },
        }),
    );
}

#[test]
fn a_problem_is_written_like_this() {
    let value = Problem {
        kind: "docs/errors/release-busy.md".into(),
        title: "A rollout of this release is open".into(),
        status: 409,
        code: "release-busy".into(),
        detail: "busy".into(),
        hint: Some("wait".into()),
        faults: Vec::new(),
        rollout: Some("018f0000-0000-7000-8000-000000000001".into()),
        error: None,
        request_id: "r".into(),
    };
    check(
        &value,
        &json!({
            "type": "docs/errors/release-busy.md", "title": "A rollout of this release is open", "status": 409,
            "code": "release-busy", "detail": "busy", "hint": "wait",
            "rollout": "018f0000-0000-7000-8000-000000000001", "request_id": "r",
        }),
    );
}

#[test]
fn a_release_is_written_like_this() {
    let value = ReleaseStatus {
        id: "i".into(),
        name: "web".into(),
        tenant: "default".into(),
        door: "releases".into(),
        state: ReleaseState::Degraded,
        summary: "revision 1 serves".into(),
        revision: Some(1),
        last_revision: 1,
        package: Some("hello-1.0.0".into()),
        description: None,
        apps: vec![AppStatus {
            name: "web".into(),
            platform: "local".into(),
            deployment: "web-web-r1-12345678".into(),
            revision: 1,
            weight: 100,
            strategy: "blue-green".into(),
            resource: "builtin:sample".into(),
            replicas: 2,
            running: 1,
            urls: vec!["http://127.0.0.1:9090/".into()],
            mode: "open".into(),
            instances: vec![InstanceStatus {
                index: 0,
                state: "running".into(),
                detail: None,
                handle: Some("pid 7".into()),
                started_at: Some("2026-01-01T00:00:00Z".into()),
                restarts: 0,
                addresses: [("http".to_owned(), "127.0.0.1:20001".to_owned())].into(),
            }],
        }],
        rollout: None,
        waiting: None,
        last_error: None,
        drift: vec![DriftView { app: "web".into(), message: "instance 1 of `web` is not there".into() }],
        created_at: "2026-01-01T00:00:00Z".into(),
        updated_at: "2026-01-01T00:00:00Z".into(),
        row_version: 3,
    };
    check(
        &value,
        &json!({
            "id": "i", "name": "web", "tenant": "default", "door": "releases", "state": "degraded",
            "summary": "revision 1 serves", "revision": 1, "last_revision": 1, "package": "hello-1.0.0",
            "description": null,
            "apps": [{
                "name": "web", "platform": "local", "deployment": "web-web-r1-12345678", "revision": 1, "weight": 100,
                "strategy": "blue-green", "resource": "builtin:sample", "replicas": 2, "running": 1,
                "urls": ["http://127.0.0.1:9090/"], "mode": "open",
                "instances": [{
                    "index": 0, "state": "running", "handle": "pid 7", "started_at": "2026-01-01T00:00:00Z",
                    "restarts": 0, "addresses": {"http": "127.0.0.1:20001"},
                }],
            }],
            "rollout": null, "waiting": null, "last_error": null,
            "drift": [{"app": "web", "message": "instance 1 of `web` is not there"}],
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "row_version": 3,
        }),
    );
}

#[test]
fn sources_of_revisions_are_written_like_this() {
    let package = SourceView::Package {
        repository: "local".into(),
        name: "hello".into(),
        version: "1.0.0".into(),
        sha256: "0".repeat(64),
        values: json!({"a": 1}),
    };
    check(
        &package,
        &json!({"kind": "package", "repository": "local", "name": "hello", "version": "1.0.0",
            "sha256": "0".repeat(64), "values": {"a": 1}}),
    );
    check(&SourceView::Revision { revision: 3 }, &json!({"kind": "revision", "revision": 3}));
    let scale = SourceView::Scale { revision: 3, replicas: [("web".to_owned(), 2)].into() };
    check(&scale, &json!({"kind": "scale", "revision": 3, "replicas": {"web": 2}}));
    check(&SourceView::Delete { purge: false }, &json!({"kind": "delete", "purge": false}));
    assert_eq!((package.text().as_str(), scale.text().as_str()), ("hello-1.0.0", "revision 3, web x 2"));
}

#[test]
fn requests_leave_out_what_was_not_said_and_refuse_what_is_not_known() {
    let request = UpgradeRequest { values: Some(json!({"a": 1})), reuse_values: true, ..UpgradeRequest::default() };
    check(&request, &json!({"values": {"a": 1}, "reuse_values": true}));
    check(&RollbackRequest::default(), &json!({}));
    let unknown = serde_json::from_value::<InstallRequest>(json!({"name": "a", "package": {"name": "b"}, "valus": {}}));
    let told = unknown.expect_err("unknown").to_string();
    assert!(told.contains("valus") && told.contains("values"), "{told}");
}

#[test]
fn secrets_are_not_shown_by_debug() {
    let request = SecretValueRequest { value: "s3cret".into() };
    assert!(!format!("{request:?}").contains("s3cret"));
}
