//! The resources under `/api`: what they are made of, where they lead, and how they are asked for.

mod conditions;
mod lists;
mod profiles;
mod shapes;

use serde_json::Value;

use crate::fixture::{Answer, Ask, Server};

/// What the Java client of 2.x accepts.
const JAVA: &str = "application/json, application/*+json";

impl Server {
    /// As a client of 2.x.
    async fn java(&self, uri: &str) -> Answer {
        self.send(Ask::get(uri).header("accept", JAVA)).await
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
