//! Tenants of the fleet: a document each, of services and where they run.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::ValueHint;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use skipper_source::{
    Severity,
    tenant::{self, Surroundings},
};

use super::{Context, check, confirm, fleet_arg::TenantArg, orders::read};
use crate::{
    client::Call,
    failure::{Doing as _, Done, Exit, Failure},
    render::{Table, tame, to_stderr},
};

/// Longest document that is sent.
const FILE_MAX: u64 = 4 << 20;

/// Arguments of `tenant`.
#[derive(Debug, clap::Args)]
pub(crate) struct Tenant {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the tenants
    #[command(visible_alias = "ls")]
    List,
    /// Show a tenant: its services, and how far it is
    #[command(visible_alias = "get")]
    Show(TenantArg),
    /// Store a tenant from its document; `skipper deploy apply` rolls it out
    Put {
        /// The document, as resources/tenants/TENANT.json; `-` reads standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Look at documents of tenants and services, without a server
    Validate {
        /// A tenant's document, and those of its services that are files of their own; `-` reads standard input
        #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Forget a tenant's document; what was applied of it goes on running
    #[command(visible_aliases = ["rm", "remove"])]
    Delete {
        #[command(flatten)]
        tenant: TenantArg,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Deserialize)]
struct Page {
    resources: Vec<Value>,
}

impl Tenant {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::List => list(context).await,
            Verb::Show(tenant) => {
                let answer: Value =
                    context.client()?.ask(&Call::get(&["v1", "resources", "tenant", tenant.name()])).await?;
                if context.out.json {
                    return context.out.json(&answer);
                }
                show(context, &answer)
            }
            Verb::Put { file } => put(context, &file).await,
            Verb::Validate { files } => validate(context, &files),
            Verb::Delete { tenant: of, yes } => {
                let name = of.name();
                confirm::ask(context, &format!("Forget the document of tenant {name}?"), yes)?;
                let answer = told(context, &Call::delete(&["v1", "resources", "tenant", name])).await?;
                if context.out.json {
                    return context.out.json(&if answer.is_null() { json!({"id": name}) } else { answer });
                }
                context.out.line(&tame(&format!("{name} is forgotten")))
            }
        }
    }
}

async fn list(context: &Context) -> Done {
    let answer: Value = context.client()?.ask(&Call::get(&["v1", "resources", "tenant"])).await?;
    if context.out.json {
        return context.out.json(&answer);
    }
    let page: Page = read(answer)?;
    let mut table = Table::new(["TENANT", "NODE", "SERVICES", "REV", "STATE", "LAST ORDER"]).states(4).right([3]);
    for tenant in page.resources {
        let services = tenant["spec"]["services"].as_object();
        let names: Vec<&str> = services.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        table.row([
            word(&tenant["id"]),
            word(&tenant["spec"]["node"]),
            names.join(" "),
            word(&tenant["status"]["revision"]),
            word(&tenant["status"]["state"]),
            word(&tenant["status"]["last_order"]),
        ]);
    }
    context.out.table(&table, "no tenant; `skipper tenant put FILE` stores one")
}

/// A JSON value as a cell.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn show(context: &Context, tenant: &Value) -> Done {
    let mut text = String::new();
    let mut line = |name: &str, value: &Value| {
        if !value.is_null() {
            text.push_str(&format!("{name:<10} {}\n", tame(&word(value))));
        }
    };
    line("tenant", &tenant["id"]);
    line("node", &tenant["spec"]["node"]);
    line("revision", &tenant["status"]["revision"]);
    line("state", &tenant["status"]["state"]);
    line("order", &tenant["status"]["last_order"]);
    context.out.text(&text)?;
    let mut table = Table::new(["SERVICE", "IMAGE", "PORTS", "NODE"]);
    for (name, service) in tenant["spec"]["services"].as_object().into_iter().flatten() {
        let ports: Vec<String> = service["ports"].as_array().into_iter().flatten().map(word).collect();
        table.row([name.clone(), word(&service["image"]), ports.join(" "), word(&service["node"])]);
    }
    context.out.table(&table, "no service")
}

/// Asks, where the answer may be empty.
async fn told(context: &Context, call: &Call) -> Result<Value, Failure> {
    let bytes = context.client()?.ask_raw(call).await?;
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn put(context: &Context, file: &Path) -> Done {
    let (document, name) = document(context, file)?;
    let call = Call::new(Method::PUT, &["v1", "resources", "tenant", &name]).json(&document);
    let answer = told(context, &call).await?;
    if context.out.json {
        return context.out.json(&answer);
    }
    context.out.line(&tame(&format!("{name} is stored")))?;
    context.out.next(&tame(&format!("`skipper deploy apply --tenant-id {name}` rolls it out")));
    Ok(())
}

/// The document of a file, and whose it is.
fn document(context: &Context, file: &Path) -> Result<(Value, String), Failure> {
    let shown = file.display();
    let document: Value = serde_json::from_str(&text_of(context, file)?)
        .map_err(|error| Failure::error(format!("{shown} is no JSON: {error}")))?;
    match document["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned) {
        Some(name) => Ok((document, name)),
        None => Err(Failure::error(format!("{shown} does not say whose it is"))
            .hint("a tenant's document begins as {\"kind\":\"tenant\",\"id\":\"NAME\",\"spec\":{…}}")),
    }
}

fn text_of(context: &Context, file: &Path) -> Result<String, Failure> {
    let shown = file.display().to_string();
    let mut text = String::new();
    if shown == "-" {
        std::io::stdin()
            .lock()
            .take(FILE_MAX + 1)
            .read_to_string(&mut text)
            .doing(|| "read standard input".to_owned())?;
    } else {
        let opened = std::fs::File::open(context.surroundings.resolve(file)).doing(|| format!("read {shown}"))?;
        opened.take(FILE_MAX + 1).read_to_string(&mut text).doing(|| format!("read {shown}"))?;
    }
    if text.len() as u64 > FILE_MAX {
        return Err(Failure::error(format!("{shown} is longer than 4 MiB, and so is no document of a tenant")));
    }
    Ok(text)
}

/// Reads documents as the server does, and says everything that is wrong with them, alone and together.
fn validate(context: &Context, files: &[PathBuf]) -> Done {
    let (mut findings, mut tenants, mut services) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        let text = text_of(context, file)?;
        let name = file.display().to_string();
        let kind = serde_json::from_str::<Value>(&text).ok().map(|document| document["kind"].clone());
        // What is neither is told so by the one that most are.
        if kind.is_some_and(|kind| kind == "service") {
            match tenant::service(&name, text.as_bytes()) {
                Ok(read) => {
                    services.push(read.resource);
                    findings.extend(read.warnings);
                }
                Err(faults) => findings.extend(faults.into_findings()),
            }
        } else {
            match tenant::tenant(&name, text.as_bytes()) {
                Ok(read) => {
                    tenants.push(read.resource);
                    findings.extend(read.warnings);
                }
                Err(faults) => findings.extend(faults.into_findings()),
            }
        }
    }
    for one in &tenants {
        if let Err(faults) = tenant::projects(one, &services, &Surroundings::usual()) {
            findings.extend(faults.into_findings());
        }
    }
    let is_valid = findings.iter().all(|finding| finding.severity == Severity::Warning);
    let out = &context.out;
    if out.json {
        let items: Vec<Value> = findings.iter().map(check::finding_json).collect();
        out.json(&json!({"valid": is_valid, "items": items}))?;
        return if is_valid { Ok(()) } else { Err(Failure::quiet(Exit::Error)) };
    }
    for finding in &findings {
        let line = tame(&finding.to_string());
        match finding.severity {
            Severity::Warning => out.line(&format!("⚠ {line}"))?,
            Severity::Error => to_stderr(&format!("✗ {line}\n")),
        }
    }
    if !is_valid {
        return Err(Failure::quiet(Exit::Error));
    }
    for one in &tenants {
        out.line(&tame(&format!("✓ {}: {} services", one.id, one.spec.services.len())))?;
    }
    for one in &services {
        out.line(&tame(&format!("✓ {}: a service of {}", one.id, one.spec.tenant)))?;
    }
    Ok(())
}
