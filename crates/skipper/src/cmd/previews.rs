use std::path::PathBuf;

use clap::ValueHint;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skipper_core::port::Clock as _;

use super::{Context, deploy};
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
    render::{Table, age, tame},
    world::SystemClock,
};

/// Arguments of `previews`.
#[derive(Debug, clap::Args)]
pub(crate) struct Previews {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the previews of an app
    #[command(visible_alias = "ls")]
    List {
        /// The app
        #[arg(value_name = "APP", add = complete::configured())]
        app: String,
    },
    /// Remove a preview, or all of an app
    #[command(visible_aliases = ["rm", "close"], after_help = "\
Examples:
  skipper previews teardown web pr-7
  skipper previews teardown web --all
A preview that is gone already is no error. Without a token the request is signed with the app's key: --secret-file, --secret or
SLIP_SECRET.")]
    Teardown(Teardown),
}

/// Arguments of `previews teardown`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["id", "all"]))]
struct Teardown {
    /// The app
    #[arg(value_name = "APP", add = complete::configured())]
    app: String,
    /// The preview
    #[arg(value_name = "ID", add = complete::previews())]
    id: Option<String>,
    /// All previews of the app
    #[arg(long)]
    all: bool,
    /// Key of the app's webhooks; seen by everybody on this machine, so better --secret-file [env: SLIP_SECRET]
    #[arg(long, value_name = "KEY", conflicts_with = "secret_file")]
    secret: Option<String>,
    /// File that holds that key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    secret_file: Option<PathBuf>,
}

/// A preview. Times are RFC 3339.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Preview {
    pub(crate) preview_id: String,
    #[serde(default)]
    pub(crate) tag: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    deployed_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// The previews of an answer: a list, alone or as `previews`.
///
/// # Errors
///
/// It holds none.
pub(crate) fn previews_of(answer: &Value) -> Result<Vec<Preview>, Failure> {
    let list = answer.get("previews").unwrap_or(answer);
    Vec::<Preview>::deserialize(list)
        .map_err(|error| Failure::error(format!("the answer is no list of previews: {error}")))
}

impl Previews {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::List { app } => list(context, &app).await,
            Verb::Teardown(teardown) => teardown.run(context).await,
        }
    }
}

async fn list(context: &Context, app: &str) -> Done {
    let out = &context.out;
    let answer: Value = context.client()?.ask(&Call::get(&["v1", "previews", app])).await?;
    let previews = previews_of(&answer)?;
    if out.json {
        return out.json(&answer);
    }
    if previews.is_empty() {
        return out.line(&format!("No active previews for '{}'.", tame(app)));
    }
    let now = SystemClock.now();
    let mut table = Table::new(["PREVIEW", "TAG", "AGE", "TTL", "URL", "STATUS"]).states(5);
    for preview in previews {
        let none = || "—".to_owned();
        let url = preview.url.or(preview.domain.map(|domain| format!("https://{domain}")));
        table.row([
            preview.preview_id,
            preview.tag.unwrap_or_else(none),
            preview.deployed_at.as_deref().map_or_else(none, |then| age(now, then)),
            preview.expires_at.as_deref().map_or_else(none, left),
            url.unwrap_or_else(none),
            preview.status.unwrap_or_else(none),
        ]);
    }
    out.table(&table, "")
}

/// `2h left`, `expired`.
fn left(until: &str) -> String {
    let now = SystemClock.now();
    match until.parse::<jiff::Timestamp>() {
        Ok(until) if until.as_microsecond() <= now.as_micros() => "expired".to_owned(),
        Ok(until) => {
            let secs = (until.as_microsecond() - now.as_micros()) / 1_000_000;
            let (number, unit) = match secs {
                0..=119 => (secs, 's'),
                120..=7199 => (secs / 60, 'm'),
                7200..=172_799 => (secs / 3600, 'h'),
                _ => (secs / 86_400, 'd'),
            };
            format!("{number}{unit} left")
        }
        Err(_) => until.to_owned(),
    }
}

impl Teardown {
    async fn run(self, context: &Context) -> Done {
        let out = &context.out;
        let client = context.client()?;
        let app = self.app.as_str();
        let call = match &self.id {
            Some(id) => Call::new(Method::DELETE, &["v1", "previews", app, id]),
            None => Call::new(Method::DELETE, &["v1", "previews", app]),
        };
        let given = self.secret.is_some() || self.secret_file.is_some();
        let key = match given || !client.has_token() {
            true => deploy::key(context, self.secret.as_deref(), self.secret_file.as_ref())?,
            false => None,
        };
        let call = match key {
            Some(key) => {
                let signed = format!("{app}:{}", self.id.as_deref().unwrap_or("*"));
                call.header(deploy::HEADER, deploy::signature(&key, signed.as_bytes())).alone()
            }
            None => call,
        };
        let answer: Value = client.ask(&call).await?;
        if out.json {
            return out.json(&answer);
        }
        let app = tame(app);
        if let Some(id) = &self.id {
            return out.line(&format!("✓ Torn down preview '{}' for '{app}'", tame(id)));
        }
        let ids = Vec::<String>::deserialize(&answer["torn_down"]).unwrap_or_default();
        let ids: Vec<String> = ids.iter().map(|id| tame(id)).collect();
        match ids.len() {
            0 => out.line(&format!("No active previews for '{app}'.")),
            count => out.line(&format!("✓ Torn down {count} preview(s) for '{app}': {}", ids.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn previews_are_read_alone_and_as_a_member() {
        let one = json!({"preview_id": "pr-7", "app": "web", "tag": "v1"});
        for answer in [json!([one]), json!({"previews": [one]})] {
            let found = previews_of(&answer).expect("a list");
            assert_eq!((found.len(), found[0].preview_id.as_str()), (1, "pr-7"));
        }
        assert!(previews_of(&json!({"error": "x"})).is_err());
    }

    #[test]
    fn what_is_left_is_said_in_one_unit() {
        assert_eq!(left("2020-01-01T00:00:00Z"), "expired");
        let in_hours = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3 * 3600 + 30);
        assert_eq!(left(&in_hours.to_string()), "3h left");
        assert_eq!(left("soon"), "soon");
    }
}
