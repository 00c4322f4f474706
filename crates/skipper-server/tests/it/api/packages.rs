//! Publishing and removing packages.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use skipper_source::{Archive, archive::File};

use super::{errors::check, install, json_of, shape, stocked, upgrade};
use crate::fixture::{Ask, Server, package};

const SKIPPER: &str = "org.springframework.cloud.skipper.SkipperException";
const ARGUMENT: &str = "java.lang.IllegalArgumentException";

fn upload(name: &str, version: &str, inside: &str) -> Value {
    json!({
        "name": name, "repoName": "local", "version": version, "extension": "zip",
        "packageFileAsBytes": STANDARD.encode(package(name, inside, "")),
    })
}

#[tokio::test]
async fn a_package_is_published_once_and_told_in_both_shapes() {
    let server = Server::start().await;
    let first = server.post("/api/upload", &upload("hello", "1.0.0", "1.0.0")).await;
    let body = json_of(&first, 201, "application/json;charset=UTF-8");
    let m1 = "{apiVersion:text origin:null repositoryId:number kind:text name:text version:text packageSourceUrl:null \
        packageHomeUrl:null tags:null maintainer:null description:text sha256:null iconUrl:null}";
    assert_eq!(shape(&body), m1);
    let location = first.header("location").expect("a Location").to_owned();
    assert!(location.starts_with("http://localhost:7577/api/packageMetadata/"), "{location}");
    server.get(location.trim_start_matches("http://localhost:7577")).await.ok::<Value>();
    let second = server.spring(Ask::post("/api/package/upload", &upload("hello", "2.0.0", "2.0.0"))).await;
    let body = json_of(&second, 201, "application/json");
    let links = &body["_links"]["install"];
    assert_eq!(shape(links), "[{href:text}]");
    assert_eq!(links[0]["href"], "http://localhost:7577/api/package/install");
    let path = links[1]["href"].as_str().expect("a link").trim_start_matches("http://localhost:7577").to_owned();
    let installed = server.post(&path, &json!({"releaseName": "web", "platformName": "default"})).await;
    assert_eq!(installed.status, 201, "{}", installed.text());
    let again = server.post("/api/package/upload", &upload("hello", "2.0.0", "2.0.0")).await;
    let text = "Failed to upload the package. Package [hello:2.0.0] in Repository [local] already exists.";
    check(&again, 409, SKIPPER, text);
}

#[tokio::test]
async fn a_bad_upload_is_refused_with_the_sentence_of_the_original() {
    let server = Server::start().await;
    let with = |key: &str, value: Value| {
        let mut body = upload("hello", "1.0.0", "1.0.0");
        body[key] = value;
        body
    };
    for (body, first, second, exception, message) in [
        (with("repoName", Value::Null), 400, 500, ARGUMENT, "Repo name can not be null"),
        (with("name", Value::Null), 400, 500, ARGUMENT, "Name of package can not be null"),
        (with("extension", "jar".into()), 400, 500, ARGUMENT, "Extension must be 'zip', not jar"),
        (with("packageFileAsBytes", Value::Null), 400, 500, ARGUMENT, "Package file as bytes must not be null"),
        (with("packageFileAsBytes", "".into()), 400, 500, ARGUMENT, "Package file as bytes must not be empty"),
        (with("repoName", "nope".into()), 404, 409, SKIPPER, "Could not find local repository to upload to named nope"),
        (
            with("repoName", "experimental".into()),
            409,
            409,
            SKIPPER,
            "Repository to upload to is not a local database hosted repository.",
        ),
        (
            upload("hello", "6.6.6", "9.9.9"),
            409,
            409,
            SKIPPER,
            "Package definition in the request [hello:6.6.6] differs from one inside the package.yml [hello:9.9.9]",
        ),
    ] {
        check(&server.post("/api/upload", &body).await, first, exception, message);
        check(&server.post("/api/package/upload", &body).await, second, exception, message);
    }
    for version in ["abc", "1abc", "1.abc.2", "a.b.c.2"] {
        let text = format!("UploadRequest doesn't have a valid semantic version.  Version = {version}");
        check(&server.post("/api/package/upload", &upload("hello", version, "1.0.0")).await, 409, SKIPPER, &text);
    }
    let text = "Entry is outside of the target dir: ../../hello-1.0.0.zip";
    let named = with("name", "../../hello".into());
    check(&server.post("/api/package/upload", &named).await, 409, SKIPPER, text);
    // A name of the same length, in the entry itself and in the directory of the zip.
    let mut zip = package("hello", "1.0.0", "");
    let (name, evil) = (b"templates/web.yml", b"../../../evil.yml");
    let places: Vec<usize> = (0..zip.len() - name.len()).filter(|at| zip[*at..].starts_with(name)).collect();
    assert_eq!(places.len(), 2);
    places.iter().for_each(|at| zip[*at..*at + name.len()].copy_from_slice(evil));
    let slip = with("packageFileAsBytes", STANDARD.encode(zip).into());
    let text = "Entry is outside of the target dir: hello-1.0.0/../../../evil.yml";
    check(&server.post("/api/package/upload", &slip).await, 409, SKIPPER, text);
}

#[tokio::test]
async fn a_package_goes_with_all_its_versions_once_no_release_is_made_of_one() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    server.told("web", "DEPLOYED", "Install").await;
    let delete = |path: &str| Ask::new(Method::DELETE, path);
    let class = "org.springframework.cloud.skipper.PackageDeleteException";
    let text = "Can not delete Package Metadata [hello:1.0.0] in Repository [local]. Not all releases of this package have \
        the status DELETED. Active Releases [web]";
    check(&server.send(delete("/api/package/hello")).await, 409, class, text);
    check(&server.send(delete("/api/package/nope")).await, 409, SKIPPER, "Can not find a package named 'nope'");
    let remote = server.send(delete("/api/package/helloworld")).await;
    check(&remote, 409, class, "Can not delete package [helloworld], associated repository [experimental] is remote.");
    server.send(delete("/api/release/web")).await.ok::<Value>();
    let gone = server.send(delete("/api/package/hello")).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (200, 0));
    let search = server.get("/api/packageMetadata/search/findByName?name=hello").await;
    assert_eq!(search.ok::<Value>()["_embedded"]["packageMetadata"], json!([]));
    // The history still knows what it was made of.
    let history: Vec<Value> = server.get("/api/history/web/1").await.ok();
    assert_eq!(history[0]["pkg"]["templates"][0]["name"], "web.yml");
}

#[tokio::test]
async fn a_release_can_take_its_package_along_unless_another_one_needs_it() {
    let server = stocked().await;
    for name in ["web", "two"] {
        server.post("/api/package/install", &install("1.0.0", name)).await.ok::<Value>();
        server.told(name, "DEPLOYED", "Install").await;
    }
    let path = "/api/release/web/package";
    let refused = server.send(Ask::new(Method::DELETE, path)).await;
    check(&refused, 409, "org.springframework.cloud.skipper.PackageDeleteException", "Active Releases [two]");
    // Nothing was taken away.
    server.told("web", "DEPLOYED", "Install").await;
    server.send(Ask::new(Method::DELETE, "/api/release/two")).await.ok::<Value>();
    let gone = json_of(&server.spring(Ask::new(Method::DELETE, path)).await, 200, "application/json");
    assert_eq!(gone["info"]["status"]["statusCode"], "DELETED");
    let none = server.post("/api/release/upgrade", &upgrade("2.0.0", "web")).await;
    check(&none, 409, SKIPPER, "Can not find package 'hello', version '2.0.0'");
}

#[tokio::test]
async fn a_manifest_that_is_no_yaml_is_told_as_the_original_tells_it_with_the_line() {
    let server = Server::start().await;
    for (version, api) in [("1.0.0", "v1"), ("2.0.0", "skipper.spring.io/v1")] {
        let file = |path: &str, text: String| File { path: path.to_owned(), bytes: text.into_bytes() };
        let files = vec![
            file("package.yml", format!("apiVersion: {api}\nkind: skipper\nname: hello\nversion: {version}\n")),
            file("values.yml", "text: 'a: b'\n".to_owned()),
            file("templates/a.yml", "metadata:\n  name: {{text}}\nspec: {resource: file:/a.jar}\n".to_owned()),
        ];
        let mut ask = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
        ask.body = Archive::from_files(files).expect("files of a package").to_zip(&format!("hello-{version}"));
        server.send(ask).await.ok::<Value>();
        let sentence = "JsonMappingException - Can't parse Package's manifest YAML = ";
        let first = server.post("/api/install", &install(version, "web")).await;
        check(&first, 400, SKIPPER, sentence);
        assert!(first.text().contains("manifest:5:"), "the line in what the template gave: {}", first.text());
        check(&server.post("/api/package/install", &install(version, "web")).await, 409, SKIPPER, sentence);
    }
}
