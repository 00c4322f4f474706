//! The server of Caddy's that our routes go into.

use serde_json::{Map, Value, json};

use super::{Entry, SERVER, SLIP_SERVER, ways::Ways};
use crate::caddy::{
    found::{id, ports},
    settings::{Settings, Tls},
};

pub(super) fn routes(server: &Value) -> &[Value] {
    server.get("routes").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The server that our routes go into: one that we made, slip's, the one that has the port, or a new one. `None`: there is
/// nothing to put into any.
pub(super) fn choose(
    servers: &Map<String, Value>,
    ways: &Ways<'_>,
    settings: &Settings,
    found: &Value,
) -> Option<String> {
    if ways.routes.is_empty() {
        return None;
    }
    let with = |test: &dyn Fn(&str, &Value) -> bool| {
        servers.iter().find(|(name, server)| test(name, server)).map(|(name, _)| name.clone())
    };
    let listen = listen(settings, found);
    let port = ports(&listen).map(|(ports, _)| *ports.start());
    let listens = |server: &Value, everywhere: bool| {
        let own = server.get("listen").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        own.filter_map(ports).any(|(range, all)| port.is_some_and(|port| range.contains(&port)) && (all || !everywhere))
    };
    let exactly = |server: &Value| {
        let own = server.get("listen").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        own.map(|address| address.trim_start_matches("tcp/")).any(|address| address == listen)
    };
    with(&|_, server| id(server) == SERVER)
        .or_else(|| with(&|name, server| name == SLIP_SERVER && server.is_object()))
        .or_else(|| with(&|_, server| exactly(server)))
        .or_else(|| with(&|_, server| listens(server, true)))
        .or_else(|| with(&|_, server| listens(server, false)))
        .or_else(|| {
            let names = std::iter::once("skipper".to_owned()).chain((2..).map(|n| format!("skipper-{n}")));
            names.into_iter().find(|name| !servers.contains_key(name))
        })
}

/// Where our own server listens.
fn listen(settings: &Settings, found: &Value) -> String {
    let port = |key: &str, usual: u64| {
        found
            .pointer("/apps/http")
            .and_then(|http| http.get(key))
            .and_then(Value::as_u64)
            .filter(|p| *p > 0)
            .unwrap_or(usual)
    };
    settings.listen.clone().unwrap_or_else(|| match settings.tls {
        Tls::Off => format!(":{}", port("http_port", 80)),
        Tls::Auto | Tls::Internal => format!(":{}", port("https_port", 443)),
    })
}

pub(super) fn entry(server: &Value, found: &Value) -> Option<Entry> {
    let addresses = server.get("listen")?.as_array()?.iter().filter_map(Value::as_str);
    let port = *ports(addresses.into_iter().next()?)?.0.start();
    let plain = found.pointer("/apps/http/http_port").and_then(Value::as_u64).unwrap_or(80);
    let off = server.pointer("/automatic_https/disable") == Some(&Value::Bool(true));
    // Without automatic HTTPS there still is TLS where it is said how.
    let said = server.get("tls_connection_policies").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    Some(Entry { tls: said || (!off && u64::from(port) != plain), port })
}

/// Gives a server of ours its address and its way with TLS; whatever else somebody set there stays.
pub(super) fn shape(server: &mut Value, settings: &Settings, found: &Value) {
    server["listen"] = json!([listen(settings, found)]);
    match (settings.tls, server.get_mut("automatic_https")) {
        (Tls::Off, _) => server["automatic_https"] = json!({"disable": true}),
        (_, Some(Value::Object(https))) => {
            https.remove("disable");
            if https.is_empty()
                && let Some(server) = server.as_object_mut()
            {
                server.remove("automatic_https");
            }
        }
        _ => {}
    }
}
