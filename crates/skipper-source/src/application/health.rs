//! When an instance counts as healthy: `health`.

use serde_json::Value;
use skipper_core::{
    name::PortName,
    spec::{Check, Health, Port},
    time::Millis,
};

use super::{process, read::span};
use crate::fields::{Field, Fields};

/// Statuses that count as healthy where none are named: everything that is no error.
pub(super) const DEFAULT_STATUS: (u16, u16) = (200, 399);

/// Reads `health`. Without it, an application with ports is healthy when the first one accepts connections, and one
/// without when its process is there.
pub(super) fn read(field: Option<Field<'_>>, ports: &[Port]) -> Option<Health> {
    let Some(field) = field else { return Some(Health::with_defaults(default_check(ports))) };
    if field.scalar().and_then(Value::as_str) == Some("running") {
        return Some(Health::with_defaults(Check::Running));
    }
    let mut fields = field.fields()?;
    let check = check(&mut fields, ports);
    let mut health = Health::with_defaults(Check::Running);
    for (key, place) in [("interval", &mut health.interval), ("timeout", &mut health.timeout)] {
        if let Some(field) = fields.get(key)
            && let Some(span) = super::read::duration(&field)
        {
            if span < Millis(10) {
                field.error("value-invalid", "must be at least 10ms");
            }
            *place = span;
        }
    }
    for (key, place) in [("retries", &mut health.retries), ("successes", &mut health.successes)] {
        if let Some(number) = fields.get(key).and_then(|field| field.whole32(1, 1000)) {
            *place = number;
        }
    }
    if let Some(start) = span(&mut fields, "startPeriod") {
        health.start_period = start;
    }
    health.container = fields.get("container").and_then(|field| field.short_text(255));
    fields.finish();
    health.check = check?;
    Some(health)
}

fn default_check(ports: &[Port]) -> Check {
    ports.first().map_or(Check::Running, |port| Check::Tcp { port: port.name.clone() })
}

fn check(fields: &mut Fields<'_>, ports: &[Port]) -> Option<Check> {
    let found: Vec<(&str, Field<'_>)> = ["http", "tcp", "boot", "command", "running"]
        .into_iter()
        .filter_map(|key| fields.get(key).map(|field| (key, field)))
        .filter(|(key, field)| !(*key == "running" && field.scalar() == Some(&Value::Bool(false))))
        .collect();
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|(key, _)| *key).collect();
        fields.field.error("value-invalid", format!("one question at a time; these are several: {}", names.join(", ")));
        return None;
    }
    match found.into_iter().next() {
        None => Some(default_check(ports)),
        Some(("http", field)) => http(&field, ports),
        Some(("tcp", field)) => Some(Check::Tcp { port: open_port(&field, ports)? }),
        Some(("boot", field)) => Some(Check::Boot { port: open_port(&field, ports)? }),
        Some(("command", field)) => {
            let command = process::command(Some(field.clone()));
            if command.is_empty() {
                field.error("value-invalid", "must name a program");
                return None;
            }
            Some(Check::Command { command })
        }
        Some((_, field)) => (field.boolean()?).then_some(Check::Running),
    }
}

/// `http: /health` or `http: {path, port, status}`.
fn http(field: &Field<'_>, ports: &[Port]) -> Option<Check> {
    if field.scalar().is_some() {
        let path = path(field)?;
        return Some(Check::Http { port: port(None, field, ports)?, path, status: vec![DEFAULT_STATUS] });
    }
    let mut fields = field.fields()?;
    let path = match fields.get("path") {
        Some(field) => path(&field),
        None => Some("/".to_owned()),
    };
    let port = port(fields.get("port"), field, ports);
    let status = match fields.get("status") {
        Some(field) => statuses(&field),
        None => Some(vec![DEFAULT_STATUS]),
    };
    fields.finish();
    Some(Check::Http { port: port?, path: path?, status: status? })
}

/// `tcp: http` or `tcp: {port: http}` or `tcp: {}`; `boot` alike.
fn open_port(field: &Field<'_>, ports: &[Port]) -> Option<PortName> {
    if field.scalar().is_some() {
        return port(Some(field.clone()), field, ports);
    }
    let mut fields = field.fields()?;
    let port = port(fields.get("port"), field, ports);
    fields.finish();
    port
}

fn port(named: Option<Field<'_>>, around: &Field<'_>, ports: &[Port]) -> Option<PortName> {
    let Some(field) = named else {
        let http = ports.iter().find(|port| port.name.as_str() == "http").or(ports.first());
        if http.is_none() {
            around.error("port-unknown", "asks a port, and this application declares none");
        }
        return http.map(|port| port.name.clone());
    };
    let name = field.parsed(PortName::new)?;
    if !ports.iter().any(|port| port.name == name) {
        let hint = crate::nearest::suggestion(name.as_str(), ports.iter().map(|port| port.name.as_str()));
        let hint = hint.unwrap_or_else(|| "declare it in `ports`".to_owned());
        field.error_hint("port-unknown", format!("there is no port `{name}`"), hint);
        return None;
    }
    Some(name)
}

fn path(field: &Field<'_>) -> Option<String> {
    let path = field.short_text(2048)?;
    if !path.starts_with('/') || path.chars().any(|c| c.is_control() || c == ' ' || c == '#') {
        field.error("value-invalid", "must be a path that starts with `/`, without white space and `#`");
        return None;
    }
    Some(path)
}

/// `200`, `"2xx"`, `"200-399"`, or a list of these.
fn statuses(field: &Field<'_>) -> Option<Vec<(u16, u16)>> {
    let items = if field.scalar().is_some() { vec![field.clone()] } else { field.items(50) };
    let ranges: Option<Vec<_>> = items.iter().map(status).collect();
    if ranges.as_ref().is_some_and(Vec::is_empty) && field.scalar().is_none() {
        field.error("value-invalid", "must name a status");
        return None;
    }
    ranges
}

fn status(field: &Field<'_>) -> Option<(u16, u16)> {
    let text = field.text()?;
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|n| (100..=599).contains(n));
    let range = match (text.strip_suffix("xx"), text.split_once('-')) {
        (Some(class), _) => class.parse::<u16>().ok().filter(|n| (1..=5).contains(n)).map(|n| (n * 100, n * 100 + 99)),
        (None, Some((from, to))) => number(from).zip(number(to)).filter(|(from, to)| from <= to),
        (None, None) => number(&text).map(|n| (n, n)),
    };
    match range {
        Some(range) => Some(range),
        None => field.expected("a status such as 200, \"2xx\" or \"200-399\""),
    }
}
