//! `deploy APP TAG`: a webhook of slip's form, sent by hand or from CI. `deploy apply`: a tenant of the fleet.

mod apply;
mod sign;
pub(super) mod watch;

pub(super) use apply::Pursuit;
pub(super) use sign::{HEADER, signature};
pub(super) use watch::{Waiting, settle};

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::ValueHint;
use serde_json::{Value, json};
use skipper_core::port::Ids as _;

use super::Context;
use crate::{
    client::Call,
    complete,
    failure::{Done, Exit, Failure},
    render::{parse_span, tame},
    targets,
    world::RandomIds,
};

/// Arguments of `deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper deploy web sha-abc123f --wait                 signed with the key in SLIP_SECRET
  skipper deploy web sha-abc123f --secret-file ~/key --server https://deploy.example.com
  skipper deploy web sha-abc123f --preview pr-7 --sha abc123f
  skipper deploy apply --tenant-id example-tenant --wait
The key is that of the app's webhooks: --secret-file or --secret, else SLIP_SECRET, else `secret_file` of the target. Without
one the token is sent. Each call is a deploy of its own, also of a tag that serves already; a tag that was deployed before
another one needs --force.")]
pub(crate) struct Deploy {
    #[command(flatten)]
    app: Option<App>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Apply a tenant of the fleet: order its nodes to be as its document says
    Apply(apply::Apply),
}

/// What to deploy of slip's apps.
#[derive(Debug, clap::Args)]
struct App {
    /// The app
    #[arg(value_name = "APP", add = complete::configured())]
    app: String,
    /// Tag of its image, or `sha256:…`
    #[arg(value_name = "TAG")]
    tag: String,
    /// In a pod: the whole reference for one container; may be given several times
    #[arg(long = "image", value_name = "CONTAINER=REFERENCE", value_parser = image)]
    images: Vec<(String, String)>,
    /// Key of the app's webhooks; seen by everybody on this machine, so better --secret-file [env: SLIP_SECRET]
    #[arg(long, value_name = "KEY", conflicts_with = "secret_file")]
    secret: Option<String>,
    /// File that holds that key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    secret_file: Option<PathBuf>,
    /// Deploy a preview of this name beside what serves, as `pr-7`
    #[arg(long, value_name = "ID", add = complete::previews())]
    preview: Option<String>,
    /// The commit that the preview shows
    #[arg(long, value_name = "COMMIT", requires = "preview")]
    sha: Option<String>,
    /// Also a tag that was deployed before what was deployed last
    #[arg(long)]
    force: bool,
    /// Wait until the deploy has ended, and fail if it failed
    #[arg(long, short, help_heading = "Waiting")]
    wait: bool,
    /// Wait at most this long, as 90s or 5m; the deploy goes on
    #[arg(long, value_name = "DURATION", value_parser = parse_span, help_heading = "Waiting")]
    wait_timeout: Option<Duration>,
}

fn image(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((container, reference)) if !container.is_empty() && !reference.is_empty() => {
            Ok((container.to_owned(), reference.to_owned()))
        }
        _ => Err(format!("`{text}` is not CONTAINER=REFERENCE, as `api=ghcr.io/you/api:v2`")),
    }
}

impl Deploy {
    pub(super) async fn run(self, context: &Context) -> Done {
        match (self.verb, self.app) {
            (Some(Verb::Apply(apply)), _) => apply.run(context).await,
            (None, Some(app)) => app.run(context).await,
            (None, None) => Err(Failure::usage("name an app and a tag, or `apply` and a tenant")),
        }
    }
}

impl App {
    async fn run(self, context: &Context) -> Done {
        let client = context.client()?;
        let key = key(context, self.secret.as_deref(), self.secret_file.as_ref())?;
        let body = self.body().to_string();
        let call = Call::post(&["v1", "deploy"]).bytes("application/json", body.clone());
        let call = match &key {
            // Who signs needs nothing else, and a token that is not sent cannot be read on the way.
            Some(key) => call.header(HEADER, signature(key, body.as_bytes())).alone(),
            None => call,
        };
        let accepted: Value = client.ask(&call).await.map_err(|failure| explained(failure, key.is_some()))?;
        let waiting = (self.wait || self.wait_timeout.is_some()).then_some(Waiting { at_most: self.wait_timeout });
        settle(context, "Deploy", accepted, waiting).await
    }

    /// slip's body. The delivery makes it this one's own: the same bytes within minutes count as sent again, and what
    /// somebody types twice is meant twice.
    fn body(&self) -> Value {
        let mut body = json!({"app": self.app, "tag": self.tag, "delivery": RandomIds.next().to_string()});
        if !self.images.is_empty() {
            body["images"] = json!(self.images.iter().cloned().collect::<BTreeMap<_, _>>());
        }
        if let Some(id) = &self.preview {
            body["preview"] = json!({"id": id, "sha": self.sha.as_deref().unwrap_or(&self.tag)});
        }
        if self.force {
            body["force"] = true.into();
        }
        body
    }
}

/// The key to sign with, wherever it comes from.
///
/// # Errors
///
/// A file that cannot be read; an empty key.
pub(super) fn key(
    context: &Context,
    secret: Option<&str>,
    secret_file: Option<&PathBuf>,
) -> Result<Option<String>, Failure> {
    let found = match (secret, secret_file) {
        (Some(""), _) => return Err(Failure::usage("the key of --secret is empty: anybody could sign with it")),
        (Some(key), _) => Some(key.to_owned()),
        (None, Some(path)) => {
            Some(targets::key_from(&context.surroundings.resolve(path), "--secret-file").map(|found| found.value)?)
        }
        (None, None) => targets::signing_key(&context.connection, &context.surroundings)?.map(|found| found.value),
    };
    Ok(found)
}

fn explained(mut failure: Failure, signed: bool) -> Failure {
    failure.message = tame(&failure.message);
    if failure.exit == Exit::Auth {
        failure.hint = Some(if signed {
            "the key is not that of this app; `skipper secrets set APP SLIP_SECRET` sets it, else it is [app].secret or \
             [auth].secret on the server"
                .to_owned()
        } else {
            "deploys are signed: give the app's key with --secret-file, SLIP_SECRET or `skipper config`".to_owned()
        });
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_by_their_containers() {
        assert_eq!(image("api=h:5000/x:1"), Ok(("api".to_owned(), "h:5000/x:1".to_owned())));
        for wrong in ["api", "=x", "api="] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
    }
}
