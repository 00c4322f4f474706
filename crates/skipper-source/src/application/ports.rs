//! Ports and the ways in: `ports`, `routes`, `expose`.

use serde_json::Value;
use skipper_core::{
    name::PortName,
    route::{Host, Listener, PathPrefix},
    spec::{Port, Route},
};

use super::process;
use crate::fields::{Field, Fields};

const MAX_PORTS: usize = 64;
const MAX_ROUTES: usize = 200;

/// A port with what the document says of its way in.
struct Written {
    port: Port,
    listen: Option<Listener>,
    exposed: bool,
}

/// Reads ports and routes.
///
/// `listen` on a port makes a route on that port of the edge. A route with a host listens on the shared listener (and on
/// the shared TLS listener with `tls: true`). An application with ports and no way in gets a port that Skipper picks,
/// unless `expose: false` says otherwise.
pub(super) fn read(spec: &mut Fields<'_>) -> (Vec<Port>, Vec<Route>) {
    let written = spec.get("ports").map(|field| ports(&field)).unwrap_or_default();
    let expose = spec.get("expose");
    let exposed = expose.as_ref().and_then(Field::boolean).unwrap_or(true);
    let mut routes = Vec::new();
    for port in &written {
        if let Some(listener) = port.listen {
            routes.push(Route { listener, host: None, path: PathPrefix::default(), port: port.port.name.clone() });
        }
    }
    if let Some(field) = spec.get("routes") {
        for item in field.items(MAX_ROUTES) {
            routes.extend(route(&item, &written));
        }
    }
    if let (false, Some(field)) = (exposed, &expose)
        && !routes.is_empty()
    {
        field.error("value-invalid", "`expose: false` contradicts the routes and `listen` of this application");
    }
    let open = written.iter().find(|w| w.exposed && !w.port.direct);
    if let (true, true, Some(open)) = (exposed, routes.is_empty(), open) {
        let port = open.port.name.clone();
        routes.push(Route { listener: Listener::Auto, host: None, path: PathPrefix::default(), port });
    }
    let mut unique: Vec<Route> = Vec::new();
    for route in routes {
        if !unique.contains(&route) {
            unique.push(route);
        }
    }
    (written.into_iter().map(|w| w.port).collect(), unique)
}

fn ports(field: &Field<'_>) -> Vec<Written> {
    let mut ports: Vec<Written> = Vec::new();
    for item in field.items(MAX_PORTS) {
        let Some(written) = port(&item) else { continue };
        if ports.iter().any(|p| p.port.name == written.port.name) {
            item.error("value-invalid", format!("a second port called `{}`; names are unique", written.port.name));
        } else if written.port.fixed.is_some() && ports.iter().any(|p| p.port.fixed == written.port.fixed) {
            item.error("value-invalid", "two ports insist on the same number");
        } else {
            ports.push(written);
        }
    }
    ports
}

fn port(item: &Field<'_>) -> Option<Written> {
    let mut fields = item.fields()?;
    let name = fields.require("name").and_then(|field| field.parsed(PortName::new));
    let env = fields.get("env").and_then(|field| process::variable_name(&field));
    let fixed = fields.get("fixed").and_then(|field| field.port());
    let direct_field = fields.get("direct");
    let direct = direct_field.as_ref().and_then(Field::boolean).unwrap_or(false);
    let listen_field = fields.get("listen");
    let listen = listen_field.as_ref().and_then(listener);
    let exposed_field = fields.get("expose");
    let exposed = exposed_field.as_ref().and_then(Field::boolean).unwrap_or(true);
    let container = fields.get("container").and_then(|field| field.short_text(255));
    fields.finish();
    if let (true, None, Some(field)) = (direct, fixed, &direct_field) {
        field.error("value-invalid", "a direct port needs `fixed`: the number that the process listens on");
    }
    if let Some(field) = &listen_field {
        if direct {
            field.error("value-invalid", "a direct port is reached without the edge, so the edge cannot listen for it");
        }
        if !exposed {
            field.error("value-invalid", "`expose: false` contradicts `listen`");
        }
    }
    let port = Port { name: name?, env, fixed, direct, container };
    Some(Written { port, listen, exposed })
}

/// A number, `http`, `https` or `auto`.
fn listener(field: &Field<'_>) -> Option<Listener> {
    match field.scalar() {
        Some(Value::String(word)) => match word.as_str() {
            "http" => Some(Listener::Http),
            "https" => Some(Listener::Https),
            "auto" => Some(Listener::Auto),
            _ => field.expected("a port number, `http`, `https` or `auto`"),
        },
        _ => field.port().map(Listener::Port),
    }
}

/// One entry of `routes`; with `tls: true` it makes two.
fn route(item: &Field<'_>, ports: &[Written]) -> Vec<Route> {
    let Some(mut fields) = item.fields() else { return Vec::new() };
    let host_field = fields.get("host");
    let host = host_field.as_ref().and_then(|field| field.parsed(|text| Host::new(&text)));
    let path = match fields.get("path") {
        Some(field) => field.parsed(|text| PathPrefix::new(&text)),
        None => Some(PathPrefix::default()),
    };
    let port_field = fields.get("port");
    let port = match &port_field {
        Some(field) => field.parsed(PortName::new),
        None => only_port(item, ports),
    };
    let listen_field = fields.get("listen");
    let listen = listen_field.as_ref().and_then(listener);
    let tls_field = fields.get("tls");
    let tls = tls_field.as_ref().and_then(Field::boolean).unwrap_or(false);
    fields.finish();
    let (Some(path), Some(port)) = (path, port) else { return Vec::new() };
    let declared = ports.iter().find(|w| w.port.name == port);
    match declared {
        None => {
            let names: Vec<&str> = ports.iter().map(|w| w.port.name.as_str()).collect();
            let hint = crate::nearest::suggestion(port.as_str(), names.iter().copied());
            let at = port_field.as_ref().unwrap_or(item);
            at.error_hint(
                "port-unknown",
                format!("there is no port `{port}`"),
                hint.unwrap_or_else(|| "declare it in `ports`".to_owned()),
            );
        }
        Some(written) if written.port.direct => {
            item.error("value-invalid", format!("port `{port}` is direct: the edge is not in front of it"));
        }
        Some(_) => {}
    }
    if let (true, Some(field)) = (tls, &tls_field)
        && (listen.is_some() || host_field.is_none())
    {
        field.error(
            "value-invalid",
            "`tls: true` adds the shared TLS listener to a route with a host; with `listen`, write `listen: https`",
        );
    }
    let default =
        if host_field.is_some() { Listener::Http } else { declared.and_then(|w| w.listen).unwrap_or(Listener::Auto) };
    let route = |listener| Route { listener, host: host.clone(), path: path.clone(), port: port.clone() };
    let mut routes = vec![route(listen.unwrap_or(default))];
    if tls {
        routes.push(route(Listener::Https));
    }
    routes
}

/// The port of a route that names none.
fn only_port(item: &Field<'_>, ports: &[Written]) -> Option<PortName> {
    match ports {
        [only] => Some(only.port.name.clone()),
        [] => {
            item.error("port-unknown", "a route leads to a port, and this application declares none");
            None
        }
        several => {
            if let Some(http) = several.iter().find(|w| w.port.name.as_str() == "http") {
                return Some(http.port.name.clone());
            }
            item.error("key-missing", "`port` is missing: this application has several");
            None
        }
    }
}
