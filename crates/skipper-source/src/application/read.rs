//! From a document to an application.

use std::collections::BTreeMap;

use skipper_core::{
    name::{AppName, PlatformName},
    spec::{Application, Bounds, Limits, Resource, Target},
    time::Millis,
};

use super::{KIND, health, ports, process, strategy, units};
use crate::{
    fields::{Document, Field, Fields},
    finding::{Faults, Finding},
    package::API_VERSION,
    yaml::Node,
};

/// Most instances of an application.
const MAX_REPLICAS: u32 = 1000;
const MAX_IMAGES: usize = 64;

/// Reads a document. `platform` is the account of an application that names none.
///
/// Returns the application and what is odd about it.
///
/// # Errors
///
/// Every fault of the document at once.
pub fn read(file: &str, node: &Node, platform: Option<&PlatformName>) -> Result<(Application, Vec<Finding>), Faults> {
    let document = Document::new(file);
    let application = Field::root(&document, node).fields().and_then(|fields| top(fields, platform));
    let findings = document.into_findings();
    let warnings = findings.into_result()?;
    match application {
        Some(application) => Ok((application, warnings)),
        // Every way to nothing has noted an error; should one not have, it is better said here than taken for success.
        None => Err(Finding::error("document-invalid", "not an application").in_file(file).at(node.at).into()),
    }
}

fn top(mut fields: Fields<'_>, platform: Option<&PlatformName>) -> Option<Application> {
    if !is_ours(&mut fields) {
        return None;
    }
    let name = fields.require("metadata").and_then(|metadata| {
        let mut metadata = metadata.fields()?;
        let name = metadata.require("name").and_then(|name| name.parsed(AppName::new));
        metadata.finish();
        name
    });
    let application = fields.require("spec").and_then(|spec| spec_of(spec.fields()?, name, platform));
    fields.finish();
    application
}

/// Whether the document is of our version and kind; what else it is, is said once and not looked at further.
fn is_ours(fields: &mut Fields<'_>) -> bool {
    let mut ours = true;
    for (key, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        match fields.require(key) {
            None => ours = false,
            Some(field) if field.scalar().and_then(serde_json::Value::as_str) == Some(expected) => {}
            Some(field) => {
                let message = format!("must be `{expected}`");
                field.error_hint(
                    "document-kind",
                    message,
                    format!("templates of a package with `apiVersion: {API_VERSION}` hold documents of kind `{KIND}`"),
                );
                ours = false;
            }
        }
    }
    ours
}

fn spec_of(mut spec: Fields<'_>, name: Option<AppName>, platform: Option<&PlatformName>) -> Option<Application> {
    let target = match spec.get("platform") {
        Some(field) => field.parsed(PlatformName::new),
        None if platform.is_some() => platform.cloned(),
        None => {
            spec.field.error("key-missing", "`platform` is missing");
            None
        }
    };
    let resource = resource(&mut spec);
    let command = process::command(spec.get("command"));
    let args = process::arguments(spec.get("args"));
    let env = spec.get("env").map(|field| process::environment(&field)).unwrap_or_default();
    let secrets = spec.get("secrets").map(|field| process::secrets(&field)).unwrap_or_default();
    let volumes = spec.get("volumes").map(|field| process::volumes(&field)).unwrap_or_default();
    let (ports, routes) = ports::read(&mut spec);
    let health = health::read(spec.get("health"), &ports);
    let strategy = strategy::read(&mut spec);
    let replicas = spec.get("replicas").map_or(Some(1), |field| field.whole32(0, MAX_REPLICAS));
    let limits = spec.get("resources").map(|field| limits(&field)).unwrap_or_default();
    let hooks = spec.get("hooks").map(|field| process::hooks(&field)).unwrap_or_default();
    let depends_on = spec.get("dependsOn").map(|field| depends_on(&field, name.as_ref())).unwrap_or_default();
    let stop = spec.get("stop").map(|field| process::stop(&field)).unwrap_or_default();
    let bounds = bounds(&mut spec);
    let working_dir = spec.get("workingDir").and_then(|field| process::absolute_path(&field));
    let platform_options = spec.get("platformOptions").map(|field| {
        field.entries(100).into_iter().map(|(key, value)| (key.to_owned(), value.node.to_value())).collect()
    });
    let images = spec.get("images").map(|field| images(&field)).unwrap_or_default();
    let field = spec.field.clone();
    spec.finish();
    let application = Application {
        name: name?,
        target: Target(target?),
        resource: resource?,
        command,
        args,
        env,
        secrets,
        ports,
        health: health?,
        routes,
        strategy: strategy?,
        replicas: replicas?,
        limits,
        volumes,
        hooks,
        depends_on,
        stop,
        bounds,
        working_dir,
        platform_options: platform_options.unwrap_or_default(),
        images,
        deployer: None,
        relaunched: None,
    };
    process::check_variables(&field, &application);
    process::check_placeholders(&field, &application);
    Some(application)
}

fn resource(spec: &mut Fields<'_>) -> Option<Resource> {
    let field = spec.require("resource");
    let uri = field.as_ref().and_then(resource_uri);
    let checksum = spec.get("checksum");
    let sha256 = match &checksum {
        Some(field) => Some(field.parsed(|text| match text.split_once(':') {
            Some(("sha256", _)) => text.parse().map_err(|e: skipper_core::Sha256ParseError| e.to_string()),
            _ => Err("a checksum is written `sha256:` and 64 hexadecimal digits".to_owned()),
        })?),
        None => None,
    };
    let uri = uri?;
    if sha256.is_none()
        && ["http://", "https://"].iter().any(|scheme| uri.starts_with(scheme))
        && let Some(field) = field
    {
        field.warning(
            "resource-unpinned",
            "what stands at this address may change without notice",
            "add `checksum: sha256:…`; without it the first download of each revision decides",
        );
    }
    Some(Resource { uri, sha256 })
}

/// What the containers of a pod are pinned to.
fn images(field: &Field<'_>) -> BTreeMap<String, Resource> {
    let image = |(name, field): (&str, Field<'_>)| {
        let mut fields = field.fields()?;
        let resource = resource(&mut fields);
        fields.finish();
        Some((name.to_owned(), resource?))
    };
    field.entries(MAX_IMAGES).into_iter().filter_map(image).collect()
}

fn resource_uri(field: &Field<'_>) -> Option<String> {
    const SCHEMES: [&str; 7] = ["file", "http", "https", "builtin", "docker", "maven", "oci"];
    let text = field.short_text(2048)?;
    if text.starts_with('/') || text.starts_with('.') {
        field.error_hint(
            "value-invalid",
            format!("`{text}` is not an address"),
            format!("write `file:{}` with the whole path", text.trim_start_matches('.')),
        );
        return None;
    }
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| SCHEMES.contains(scheme)) else {
        let hint = crate::nearest::suggestion(text.split(':').next().unwrap_or_default(), SCHEMES);
        field.error_hint(
            "value-invalid",
            format!("`{text}` is not an address of a known kind"),
            hint.unwrap_or_default(),
        );
        return None;
    };
    let problem = match scheme {
        "file" if !rest.starts_with('/') => Some("a path after `file:` is absolute: file:/opt/app/server"),
        "file" if rest.split('/').any(|part| part == "..") => Some("a path after `file:` has no `..`"),
        "http" | "https" if !rest.starts_with("//") || rest.len() < 3 => {
            Some("an address has a host: https://example.org/app")
        }
        _ if rest.is_empty() => Some("something must follow the colon"),
        _ if text.chars().any(|c| c.is_control() || (c == ' ' && scheme != "file")) => {
            Some("an address has no white space")
        }
        _ => None,
    };
    if let Some(problem) = problem {
        field.error("value-invalid", format!("`{text}`: {problem}"));
        return None;
    }
    Some(text)
}

fn limits(field: &Field<'_>) -> Limits {
    let Some(mut fields) = field.fields() else { return Limits::default() };
    let memory_bytes = fields.get("memory").and_then(|field| {
        let bytes = field.parsed(|text| units::parse_bytes(&text))?;
        // Less than that, no program starts; most often a unit was forgotten.
        if bytes < 1 << 20 {
            field.error("value-invalid", format!("{bytes} bytes are less than 1Mi; is the unit missing?"));
            return None;
        }
        Some(bytes)
    });
    let cpu_millis = fields.get("cpu").and_then(|field| field.parsed(|text| units::parse_cpu(&text)));
    fields.finish();
    Limits { memory_bytes, cpu_millis }
}

fn depends_on(field: &Field<'_>, own: Option<&AppName>) -> Vec<AppName> {
    let mut names: Vec<AppName> = Vec::new();
    for item in field.items(100) {
        let Some(name) = item.parsed(AppName::new) else { continue };
        if Some(&name) == own {
            item.error("value-invalid", "an application cannot depend on itself");
        } else if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A span as it is written, or nothing when it is not there or wrong.
pub(super) fn span(fields: &mut Fields<'_>, key: &'static str) -> Option<Millis> {
    fields.get(key).and_then(|field| duration(&field))
}

pub(super) fn duration(field: &Field<'_>) -> Option<Millis> {
    field.parsed(|text| units::parse_duration(&text))
}

fn bounds(spec: &mut Fields<'_>) -> Bounds {
    let mut bounds = Bounds::default();
    let drain = spec.get("drain");
    if let Some(field) = spec.get("bounds")
        && let Some(mut fields) = field.fields()
    {
        let places: [(&'static str, &mut Millis); 5] = [
            ("fetch", &mut bounds.fetch),
            ("start", &mut bounds.start),
            ("health", &mut bounds.health),
            ("hold", &mut bounds.hold),
            ("drain", &mut bounds.drain),
        ];
        for (key, place) in places {
            let Some(field) = fields.get(key) else { continue };
            if key == "drain" && drain.is_some() {
                field.error("value-invalid", "`drain` is set twice; keep `spec.drain`");
            }
            if let Some(span) = duration(&field) {
                if span == Millis(0) && key != "drain" && key != "hold" {
                    field.error("value-invalid", "a bound of nothing always fails");
                }
                *place = span;
            }
        }
        fields.finish();
    }
    if let Some(span) = drain.and_then(|field| duration(&field)) {
        bounds.drain = span;
    }
    bounds
}
