//! The resources under `/api`: what they are made of, where they lead, and how they are asked for.

mod conditions;
mod lists;
mod profiles;
mod repositories;
mod shapes;
mod vectors;
mod versions;

use serde_json::Value;
use skipper_source::{Archive, archive::File};

use crate::fixture::{Answer, Ask, Server};

/// What the Java client of 2.x accepts.
const JAVA: &str = "application/json, application/*+json";

impl Server {
    /// As a client of 2.x.
    async fn java(&self, uri: &str) -> Answer {
        self.send(Ask::get(uri).header("accept", JAVA)).await
    }

    /// Publishes a zip.
    async fn publish(&self, zip: Vec<u8>) {
        let mut ask = Ask::new(http::Method::POST, "/v1/packages").header("content-type", "application/zip");
        ask.body = zip;
        self.send(ask).await.ok::<Value>();
    }

    /// Packages `hello` of these versions, in this order.
    async fn with_hello(versions: &[&str]) -> Self {
        let server = Self::start().await;
        for version in versions {
            server.upload(version, "").await.ok::<Value>();
        }
        server
    }
}

/// The zip of a package as Spring's tools write them, with a template of their kind.
fn classic(name: &str, version: &str) -> Vec<u8> {
    classic_with(name, version, "")
}

/// The same with more in its spec.
pub(crate) fn classic_with(name: &str, version: &str, extra: &str) -> Vec<u8> {
    classic_of(name, version, &format!("file:///srv/example/{name}.jar"), extra)
}

/// The same with another resource and more in its spec.
pub(crate) fn classic_of(name: &str, version: &str, resource: &str, extra: &str) -> Vec<u8> {
    let file = |path: &str, text: String| File { path: path.to_owned(), bytes: text.into_bytes() };
    let metadata = format!(
        "apiVersion: skipper.spring.io/v1\nkind: SkipperPackageMetadata\nname: {name}\nversion: {version}\n\
         packageSourceUrl: https://example.org/{name}/source\npackageHomeUrl: https://example.org/{name}\n\
         tags: {name}, http\nmaintainer: https://example.org/me\ndescription: The {name} app.\n"
    );
    let template = format!(
        "apiVersion: skipper.spring.io/v1\nkind: SpringCloudDeployerApplication\nmetadata:\n  name: {name}\nspec:\n  \
         resource: {resource}\n  version: {{{{version}}}}\n{extra}"
    );
    let files = vec![
        file("package.yml", metadata),
        file("values.yml", format!("version: {version}\n")),
        file(&format!("templates/{name}.yml"), template),
    ];
    Archive::from_files(files).expect("a package").to_zip(&format!("{name}-{version}"))
}

/// The keys of an object, in order.
#[track_caller]
fn keys(value: &Value) -> String {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().cloned().collect::<Vec<_>>().join(" ")
}

/// Where a relation leads.
#[track_caller]
fn href(value: &Value, rel: &str) -> String {
    value["_links"][rel]["href"].as_str().unwrap_or_else(|| panic!("no link {rel}: {value}")).to_owned()
}

/// A link as a path of this server.
#[track_caller]
fn path(href: &str) -> &str {
    href.strip_prefix("http://localhost:7577").unwrap_or_else(|| panic!("another host: {href}"))
}
