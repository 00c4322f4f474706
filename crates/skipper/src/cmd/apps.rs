//! The apps of slip's configuration: a file each on the server, made, shown and changed through it.

use std::{io::BufRead as _, path::PathBuf};

use clap::ValueHint;
use reqwest::Method;
use serde_json::{Map, Value, json};
use skipper_server::api::deploys::wire::AppList;

use super::{Context, deploy};
use crate::{
    client::Call,
    complete,
    failure::{Doing as _, Done, Failure},
    render::{Table, tame, to_stderr},
};

/// Arguments of `apps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Apps {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the apps
    #[command(visible_alias = "ls")]
    List,
    /// Show an app in the words of its file, without keys
    Show {
        /// The app
        #[arg(value_name = "NAME", add = complete::configured())]
        name: String,
    },
    /// Add an app
    #[command(after_help = "\
Examples:
  skipper apps add web ghcr.io/you/web web.example.com --port 8080
  skipper apps add jobs ghcr.io/you/jobs                 one that nobody sends requests to
The image has no tag: each deploy brings its own.")]
    Add {
        /// What to call it: a-z, 0-9 and hyphens
        #[arg(value_name = "NAME")]
        name: String,
        /// Its image, without a tag
        #[arg(value_name = "IMAGE", value_parser = untagged)]
        image: String,
        /// Host name under which it is reached
        #[arg(value_name = "DOMAIN")]
        domain: Option<String>,
        #[command(flatten)]
        keys: Keys,
    },
    /// Change an app; takes effect with its next deploy
    #[command(after_help = "\
Examples:
  skipper apps edit web --domain www.example.com
  skipper apps edit web --env LOG=debug --env GREETING=hi    these variables and no others")]
    Edit {
        /// The app
        #[arg(value_name = "NAME", add = complete::configured())]
        name: String,
        /// Its image, without a tag
        #[arg(long, value_name = "IMAGE", value_parser = untagged)]
        image: Option<String>,
        /// Host name under which it is reached
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<String>,
        #[command(flatten)]
        keys: Keys,
    },
    /// Stop an app and forget it: what runs of it, its previews and its secrets
    #[command(visible_aliases = ["remove", "delete"])]
    Rm {
        /// The app
        #[arg(value_name = "NAME", add = complete::configured())]
        name: String,
        /// Do not ask
        #[arg(long, short, visible_alias = "yes")]
        force: bool,
    },
}

/// What can be said of an app.
#[derive(Debug, clap::Args)]
struct Keys {
    /// Port that it listens on in its container [default of a new one: 8080]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Key of its webhooks; seen by everybody on this machine, so better --secret-file
    #[arg(long, value_name = "KEY", conflicts_with = "secret_file")]
    secret: Option<String>,
    /// File that holds that key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    secret_file: Option<PathBuf>,
    /// A variable of its environment; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Path that answers with success when it is healthy
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
    /// Most memory, as 512m or 1g
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Most CPUs, as 0.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
}

fn untagged(text: &str) -> Result<String, String> {
    let last = text.rsplit('/').next().unwrap_or(text);
    match last.split_once([':', '@']) {
        Some((_, tag)) => Err(format!("`{text}` has a tag, `{tag}`: each deploy brings its own, so leave it out")),
        None if text.is_empty() => Err("name an image, as ghcr.io/you/web".to_owned()),
        None => Ok(text.to_owned()),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

impl Apps {
    pub(super) async fn run(self, context: &Context) -> Done {
        let out = &context.out;
        match self.verb {
            Verb::List => list(context).await,
            Verb::Show { name } => {
                let app: Value = context.client()?.ask(&Call::get(&["v1", "apps", &name])).await?;
                if out.json { out.json(&app) } else { out.text(&shown(app)?) }
            }
            Verb::Add { name, image, domain, keys } => {
                let mut body = Map::new();
                body.insert("name".into(), name.clone().into());
                body.insert("image".into(), image.into());
                keys.add_to(context, &mut body)?;
                if let Some(domain) = domain {
                    body.entry("port").or_insert_with(|| 8080.into());
                    body.insert("domain".into(), domain.into());
                }
                let answer: Value = context.client()?.ask(&Call::post(&["v1", "apps"]).json(&body)).await?;
                changed(context, &answer, &name, "created")?;
                out.next(&format!("`skipper deploy {} TAG --wait` deploys it", tame(&name)));
                Ok(())
            }
            Verb::Edit { name, image, domain, keys } => {
                let mut body = Map::new();
                keys.add_to(context, &mut body)?;
                for (key, value) in [("image", image), ("domain", domain)] {
                    if let Some(value) = value {
                        body.insert(key.into(), value.into());
                    }
                }
                if body.is_empty() {
                    return Err(Failure::usage("nothing to change: name at least one option, as --domain or --env"));
                }
                let call = Call::new(Method::PATCH, &["v1", "apps", &name]).json(&body);
                let answer: Value = context.client()?.ask(&call).await?;
                changed(context, &answer, &name, "updated")
            }
            Verb::Rm { name, force } => {
                if !force && !confirmed(&name)? {
                    return out.line("Aborted.");
                }
                let answer: Value = context.client()?.ask(&Call::delete(&["v1", "apps", &name])).await?;
                changed(context, &answer, &name, "removed")
            }
        }
    }
}

impl Keys {
    fn add_to(self, context: &Context, body: &mut Map<String, Value>) -> Done {
        if let Some(port) = self.port {
            body.insert("port".into(), port.into());
        }
        // Never that of the surroundings: a key of another app is no key for this one.
        if self.secret.is_some() || self.secret_file.is_some() {
            let key = deploy::key(context, self.secret.as_deref(), self.secret_file.as_ref())?;
            body.insert("secret".into(), key.into());
        }
        if !self.env.is_empty() {
            let env: Map<String, Value> = self.env.into_iter().map(|(name, value)| (name, value.into())).collect();
            body.insert("env".into(), env.into());
        }
        if let Some(path) = self.health_path {
            body.insert("health".into(), json!({"path": path}));
        }
        let resources: Map<String, Value> = [("memory", self.memory), ("cpus", self.cpus)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.into())))
            .collect();
        if !resources.is_empty() {
            body.insert("resources".into(), resources.into());
        }
        Ok(())
    }
}

async fn list(context: &Context) -> Done {
    let out = &context.out;
    let list: AppList = context.client()?.ask(&Call::get(&["v1", "apps"])).await?;
    if out.json {
        return out.json(&list);
    }
    if list.apps.is_empty() {
        return out.line("No apps registered.");
    }
    let mut table = Table::new(["NAME", "IMAGE", "DOMAIN", "PORT"]).right([3]);
    for app in &list.apps {
        let text = |key: &str| match &app[key] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        table.row(["name", "image", "domain", "port"].map(text));
        for fault in app["faults"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.warn(&tame(fault));
        }
    }
    out.table(&table, "")
}

/// The answer as its file would have it: without what is not set.
fn shown(app: Value) -> Result<String, Failure> {
    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
                Value::Object(fields.map(|(key, value)| (key, without_nulls(value))).collect())
            }
            Value::Array(items) => items.into_iter().filter(|item| !item.is_null()).map(without_nulls).collect(),
            other => other,
        }
    }
    let text = toml::to_string(&without_nulls(app)).doing(|| "write the app as TOML".to_owned())?;
    Ok(text.lines().map(|line| tame(line) + "\n").collect())
}

fn changed(context: &Context, answer: &Value, name: &str, what: &str) -> Done {
    let out = &context.out;
    if out.json {
        return out.json(answer);
    }
    for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.warn(&tame(warning));
    }
    out.line(&format!("✓ App '{}' {what}", tame(name)))
}

/// As slip asks: the whole word, from whoever writes to standard input.
fn confirmed(name: &str) -> Result<bool, Failure> {
    to_stderr(&format!("Stop app '{}' and forget it, with its previews and secrets? Type 'yes': ", tame(name)));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).doing(|| "read the answer".to_owned())?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_taken_without_its_tag_and_a_port_of_a_registry_is_none() {
        assert!(untagged("localhost:5000/you/web").is_ok());
        for tagged in ["you/web:v1", "you/web@sha256:ab", "web:latest", ""] {
            assert!(untagged(tagged).is_err(), "{tagged}");
        }
    }

    #[test]
    fn an_app_is_shown_without_what_is_not_set() {
        let app = json!({"name": "web", "domain": null, "env": {"A": "1"}, "health": {}});
        let text = shown(app).expect("TOML");
        assert!(text.contains("name = \"web\"") && text.contains("A = \"1\"") && !text.contains("domain"), "{text}");
    }
}
