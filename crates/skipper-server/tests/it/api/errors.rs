//! Errors, by status, class and sentence.

use http::Method;
use serde_json::{Value, json};

use super::{install, json_of, shape, stocked, upgrade};
use crate::fixture::{Answer, Ask, Server};

const SKIPPER: &str = "org.springframework.cloud.skipper.SkipperException";
const NOT_FOUND: &str = "org.springframework.cloud.skipper.ReleaseNotFoundException";

#[track_caller]
pub(super) fn check(answer: &Answer, status: u16, exception: &str, message: &str) {
    let first = answer.header("content-type") == Some("application/json;charset=UTF-8");
    let body = json_of(answer, status, if first { "application/json;charset=UTF-8" } else { "application/json" });
    assert_eq!(body["status"], status);
    assert_eq!(body["exception"].as_str().unwrap_or_default(), exception, "{body}");
    assert!(body["message"].as_str().unwrap_or_default().contains(message), "{body}");
    assert_eq!(body["timestamp"].is_i64(), first, "{body}");
    let fields: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    let fields: Vec<&str> = fields.into_iter().filter(|name| !["releaseName", "version"].contains(name)).collect();
    let expected = ["timestamp", "status", "error", "exception", "message", "path"];
    let expected: Vec<&str> =
        expected.into_iter().filter(|name| !(exception.is_empty() && *name == "exception")).collect();
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn a_release_that_is_not_there_is_told_of_with_its_name() {
    let server = stocked().await;
    server.post("/api/install", &install("1.0.0", "web")).await.ok::<Value>();
    for path in ["/api/status/nope", "/api/release/status/nope", "/api/release/manifest/nope", "/api/release/logs/nope"]
    {
        let answer = server.get(path).await;
        check(&answer, 404, NOT_FOUND, "Release with the name [nope] doesn't exist");
        assert_eq!(answer.read::<Value>()["releaseName"], "nope");
    }
    let answer = server.get("/api/release/status/web/77").await;
    check(&answer, 404, NOT_FOUND, "Release with the name [web] and version [77] doesn't exist");
    assert_eq!(answer.read::<Value>()["version"], 77);
    let answer = server.get("/api/release/status/web/-1").await;
    check(&answer, 404, NOT_FOUND, "Release with the name [web] and version [-1] doesn't exist");
    for (method, path) in [(Method::POST, "/api/delete/nope"), (Method::DELETE, "/api/release/nope")] {
        check(&server.send(Ask::new(method, path)).await, 404, NOT_FOUND, "[nope]");
    }
    check(&server.get("/api/history/nope/3").await, 404, NOT_FOUND, "[nope]");
    check(&server.post("/api/release/upgrade", &upgrade("1.0.0", "nope")).await, 404, NOT_FOUND, "[nope]");
    let back = json!({"releaseName": "web", "version": 99});
    let answer = server.post("/api/release/rollback", &back).await;
    check(&answer, 404, NOT_FOUND, "Release with the name [web] and version [99] doesn't exist");
}

#[tokio::test]
async fn scalars_that_are_written_as_others_are_read_as_they_were_written() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "5")).await.ok::<Value>();
    // Not by a value of this program's own, which knows no `1.10`.
    let send = async |more: &str| {
        let body = format!(
            r#"{{"packageIdentifier": {{"packageName": "hello", "packageVersion": 1.10}},
                "installProperties": {{"releaseName": 7, "platformName": "default"{more}}}}}"#
        );
        let mut ask = Ask::new(Method::POST, "/api/package/install").header("content-type", "application/json");
        ask.body = body.into_bytes();
        server.send(ask).await
    };
    check(&send("").await, 409, SKIPPER, "Can not find package 'hello', version '1.10'");
    let text = "instead got class = class java.lang.IntegeroverrideValues.getRaw() = 5";
    check(&send(r#", "configValues": {"raw": 5}"#).await, 409, SKIPPER, text);
    let answer = server.post("/api/release/rollback", &json!({"releaseName": 5, "version": "99"})).await;
    check(&answer, 404, NOT_FOUND, "Release with the name [5] and version [99] doesn't exist");
    let answer = server.post("/api/release/scale/5", &json!({"scale": [{"name": "web", "count": 2.7}]})).await;
    let unreadable = "org.springframework.http.converter.HttpMessageNotReadableException";
    check(&answer, 400, unreadable, "JSON parse error: `2.7` is not a whole number");
}

#[tokio::test]
async fn what_cannot_be_installed_is_refused_with_the_sentence_of_the_original() {
    let server = stocked().await;
    let check_both = async |body: Value, first: u16, second: u16, exception: &str, message: &str| {
        check(&server.post("/api/install", &body).await, first, exception, message);
        check(&server.post("/api/package/install", &body).await, second, exception, message);
    };
    check_both(install("9.9.9", "web"), 404, 409, SKIPPER, "Can not find package 'hello', version '9.9.9'").await;
    let mut body = install("1.0.0", "web");
    body["packageIdentifier"] = json!({"packageName": "nope"});
    check_both(body, 404, 409, SKIPPER, "Can not find a package named 'nope'").await;
    let mut body = install("1.0.0", "web");
    body["installProperties"]["platformName"] = "nowhere".into();
    check_both(body, 404, 409, SKIPPER, "No deployer named 'nowhere'").await;
    let argument = "java.lang.IllegalArgumentException";
    check_both(json!({}), 400, 500, argument, "Install properties must not be null").await;
    check_both(install("1.0.0", " "), 400, 500, argument, "Release name must not be empty").await;
    check(
        &server.post("/api/install/77", &json!({"releaseName": "a", "platformName": "default"})).await,
        404,
        SKIPPER,
        "Package with id='77' can not be found.",
    );
    server.post("/api/install", &install("1.0.0", "web")).await.ok::<Value>();
    check_both(
        install("1.0.0", "web"),
        409,
        409,
        SKIPPER,
        "Release with the name [web] already exists and it is not deleted.",
    )
    .await;
}

#[tokio::test]
async fn an_upgrade_that_changes_nothing_is_refused() {
    let server = stocked().await;
    server.post("/api/install", &install("1.0.0", "web")).await.ok::<Value>();
    let text = "Package to upgrade has no difference than existing deployed/deleted package. Not upgrading.";
    check(&server.post("/api/upgrade", &upgrade("1.0.0", "web")).await, 409, SKIPPER, text);
    let class = "org.springframework.cloud.skipper.ReleaseUpgradeException";
    check(&server.post("/api/release/upgrade", &upgrade("1.0.0", "web")).await, 409, class, text);
    let same = server.send(Ask::new(Method::POST, "/api/release/rollback/web/1")).await;
    check(&same, 409, class, text);
}

#[tokio::test]
async fn what_is_no_request_of_this_door_is_told_in_its_shape_too() {
    let server = stocked().await;
    check(&server.get("/api/nope").await, 404, "", "No message available");
    let argument = "java.lang.IllegalArgumentException";
    check(&server.post("/api/release/scale/web", &json!({})).await, 500, argument, "`scale` names no application");
    let none = json!({"scale": [{"name": "web"}]});
    check(&server.post("/api/release/scale/web", &none).await, 500, argument, "`count` of app web is missing");
    let many = json!({"scale": [{"name": "web", "count": 5000}]});
    check(&server.post("/api/release/scale/web", &many).await, 500, argument, "`count` of app web is 5000");
    let put = server.send(Ask::new(Method::PUT, "/api/release/upgrade")).await;
    check(
        &put,
        405,
        "org.springframework.web.HttpRequestMethodNotSupportedException",
        "Request method 'PUT' not supported",
    );
    let mut allowed: Vec<&str> = put.header("allow").expect("an Allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    // A release may be called `upgrade`.
    assert_eq!(allowed, ["DELETE", "POST"]);
    let mut broken = Ask::post("/api/package/install", &json!({}));
    broken.body = b"{bad".to_vec();
    let unreadable = "org.springframework.http.converter.HttpMessageNotReadableException";
    check(&server.send(broken).await, 400, unreadable, "JSON parse error");
    let form =
        Ask::post("/api/package/install", &json!({})).header("content-type", "application/x-www-form-urlencoded");
    let media = "org.springframework.web.HttpMediaTypeNotSupportedException";
    check(
        &server.send(form).await,
        415,
        media,
        "Content type 'application/x-www-form-urlencoded;charset=UTF-8' not supported",
    );
    let mismatch = "org.springframework.web.method.annotation.MethodArgumentTypeMismatchException";
    check(&server.get("/api/status/web/one").await, 400, mismatch, "For input string: \"one\"");
    let large = json!({"releaseName": "x".repeat(100_000)});
    let too_large = server.post("/api/release/cancel", &large).await;
    check(&too_large, 413, "org.springframework.web.multipart.MaxUploadSizeExceededException", "at most");
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_so_in_the_shape_of_the_door() {
    let server = Server::start().await;
    let viewer = server.token(skipper_core::actor::Role::Viewer, None).await;
    let nobody = server.get("/api/list").await;
    check(&nobody, 401, "", "token");
    assert!(nobody.header("www-authenticate").is_some());
    let refused = server.send(Ask::post("/api/install", &json!({})).token(&viewer)).await;
    check(&refused, 403, "", "may not deploy");
    assert_eq!(shape(&refused.read()), "{timestamp:number status:number error:text message:text path:text}");
}

#[tokio::test]
async fn cancel_is_accepted_only_where_something_goes_on() {
    let server = stocked().await;
    for name in ["nope", "no such name"] {
        let answer = server.post("/api/release/cancel", &json!({"releaseName": name})).await;
        assert_eq!(answer.ok::<Value>(), json!({"accepted": false}));
    }
}

#[tokio::test]
async fn the_root_leads_here() {
    let server = Server::start().await;
    let root = server.send(Ask::get("/").header("accept", "*/*")).await;
    assert_eq!((root.status.as_u16(), root.header("location")), (302, Some("http://localhost:7577/api")));
    let page = server.send(Ask::get("/").header("accept", "text/html,application/xml;q=0.9,*/*;q=0.8")).await;
    assert_eq!(page.status, 200);
}
