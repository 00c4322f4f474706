//! `[callbacks]`: who is told what became of deploys.

use skipper_core::secret::SecretValue;

use super::{
    expand::{self, Environment},
    file, value,
};
use crate::{
    fields::{Field, Fields},
    yaml::shorten,
};

/// Where GitHub's API is.
const GITHUB: &str = "https://api.github.com";
const MAX_HOOKS: usize = 8;
const MAX_URL: usize = 2048;

/// What a server or an app says of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callbacks {
    /// Deployments of GitHub's API, or of one with the same shape.
    pub github: GithubKeys,
    /// Webhooks in the form of Standard Webhooks. An app's take the place of the server's.
    pub webhooks: Vec<Hook>,
}

/// `callbacks.github`; an app's keys win, one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GithubKeys {
    /// Where the API is.
    pub url: Option<String>,
    /// A token that may write deployments.
    pub token: Option<SecretValue>,
    /// `OWNER/NAME`.
    pub repository: Option<String>,
    /// The environment that is deployed to.
    pub environment: Option<String>,
}

/// GitHub's deployments of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Github {
    /// Where the API is, without a slash at its end.
    pub url: String,
    /// A token that may write deployments.
    pub token: SecretValue,
    /// `OWNER/NAME`.
    pub repository: String,
    /// The environment that is deployed to.
    pub environment: String,
}

/// One of `callbacks.webhook`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its address, which may well hold a secret.
    pub url: SecretValue,
    /// It is signed with each of them.
    pub keys: Vec<SecretValue>,
}

impl Callbacks {
    /// Where GitHub is told of an app, where both a token and a repository are known.
    #[must_use]
    pub fn github(server: &Self, app: &Self) -> Option<Github> {
        let (own, all) = (&app.github, &server.github);
        let text = |own: &Option<String>, all: &Option<String>| own.clone().or_else(|| all.clone());
        Some(Github {
            url: text(&own.url, &all.url).unwrap_or_else(|| GITHUB.to_owned()),
            token: own.token.clone().or_else(|| all.token.clone())?,
            repository: text(&own.repository, &all.repository)?,
            environment: text(&own.environment, &all.environment).unwrap_or_else(|| "production".to_owned()),
        })
    }

    /// The webhooks that are told of an app.
    #[must_use]
    pub fn webhooks<'a>(server: &'a Self, app: &'a Self) -> &'a [Hook] {
        if app.webhooks.is_empty() { &server.webhooks } else { &app.webhooks }
    }
}

/// `[callbacks]`, on either side.
pub(super) fn read(mut fields: Fields<'_>, env: Environment<'_>) -> Callbacks {
    let github = value::table(&mut fields, "github").map(|table| github(table, env)).unwrap_or_default();
    let webhooks = fields.get("webhook").map(|field| {
        let items = if value::is_list(&field) { field.items(MAX_HOOKS) } else { vec![field] };
        items.iter().filter_map(|item| hook(item.fields()?, env)).collect()
    });
    fields.finish();
    Callbacks { github, webhooks: webhooks.unwrap_or_default() }
}

fn github(mut fields: Fields<'_>, env: Environment<'_>) -> GithubKeys {
    let url = fields.get("url").and_then(|field| value::guarded_url(&field));
    let token = fields.get("token").and_then(|field| expand::secret(&field, env));
    let repository = fields.get("repository").and_then(|field| repository(&field));
    let environment = fields.get("environment").and_then(|field| value::plain(&field, 255));
    fields.finish();
    GithubKeys { url, token, repository, environment }
}

fn repository(field: &Field<'_>) -> Option<String> {
    let text = value::plain(field, 255)?;
    let part = |part: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        !part.is_empty() && part.bytes().all(good) && !part.starts_with('.')
    };
    if text.split_once('/').is_none_or(|(owner, name)| !part(owner) || !part(name)) {
        let message = format!("`{}` is not the name of a repository", shorten(&text));
        field.error_hint("value-invalid", message, "write OWNER/NAME, as in acme/shop");
        return None;
    }
    Some(text)
}

fn hook(mut fields: Fields<'_>, env: Environment<'_>) -> Option<Hook> {
    let url = fields.require("url").and_then(|field| {
        let url = expand::secret(&field, env)?;
        // What it is must not be told: it may be a secret.
        let rest = url.expose().strip_prefix("https://").or_else(|| url.expose().strip_prefix("http://"));
        let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic()) && text.len() <= MAX_URL;
        // A variable that is not set, where one only checks.
        let unset = url.expose().is_empty();
        let good = authority.is_some_and(value::is_authority) && is_plain(url.expose());
        if !good && !unset {
            field.error_hint("value-invalid", "is not an address of HTTP", "write https://HOST/PATH");
            return None;
        }
        Some(url)
    });
    let keys = fields.require("secret").map(|field| file::keys(&field, env)).unwrap_or_default();
    fields.finish();
    Some(Hook { url: url?, keys })
}
