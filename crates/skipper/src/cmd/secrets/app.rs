//! Secrets of an app: the secret `APP.KEY` of tenant `default` is its variable `KEY`.

use std::path::Path;

use rand::Rng as _;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use skipper_source::app::is_reserved;

use super::{
    super::{Context, offline, server::Settings},
    value::read_value,
};
use crate::{
    client::Call,
    failure::{Done, Exit, Failure},
    render::tame,
};

/// Longest key.
const MAX_KEY: usize = 128;

/// Keys of an app's secrets.
#[derive(Debug, Deserialize)]
pub(crate) struct AppSecrets {
    /// In order.
    pub(crate) secrets: Vec<String>,
}

/// What is to be set: `KEY=VALUE` words, or one key whose value is read.
///
/// # Errors
///
/// A key that is no variable; values that cannot be read.
pub(super) fn pairs(
    context: &Context,
    words: Vec<String>,
    from_file: Option<&Path>,
    exact: bool,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    let alone = words.len() == 1;
    for word in words {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) if from_file.is_none() => (key.to_owned(), Some(value.as_bytes().to_vec())),
            Some((key, _)) => {
                return Err(Failure::usage(format!("`{key}` has a value already, and --from-file another")));
            }
            None if alone => (word, None),
            None => {
                return Err(Failure::usage(format!("`{word}` has no value"))
                    .hint("several are set as KEY=VALUE; the value of one alone is read from standard input"));
            }
        };
        is_new_key(&key)?;
        let value = match value {
            Some(value) if value.is_empty() => return Err(Failure::usage(format!("the value of `{key}` is empty"))),
            Some(value) => value,
            None => read_value(context, &key, from_file, exact)?,
        };
        pairs.retain(|(other, _)| *other != key);
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// One that a secret may be given.
fn is_new_key(key: &str) -> Result<(), Failure> {
    if is_reserved(key) {
        return Err(Failure::usage(format!("`{}` cannot be the key of a secret", tame(key)))
            .hint("variables that begin with SKIPPER_ are Skipper's own: call it otherwise"));
    }
    is_key(key)
}

fn is_key(key: &str) -> Result<(), Failure> {
    let mut letters = key.bytes();
    let first = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && key.len() <= MAX_KEY && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err(Failure::usage(format!("`{}` cannot be the key of a secret", tame(key)))
        .hint("a key is the name of a variable: letters, digits and _, no digit first"))
}

/// Sets them.
pub(super) async fn set(
    context: &Context,
    app: &str,
    pairs: Vec<(String, Vec<u8>)>,
    preview: bool,
    at_rest: Option<Settings>,
) -> Done {
    let count = pairs.len();
    let answer = store(context, app, pairs, preview, at_rest).await?;
    if context.out.json {
        return context.out.json(&answer);
    }
    context.out.line(&format!("✓ Set {count} secret(s) for '{}'", tame(app)))?;
    context.out.next("what runs gets them with the next deploy");
    Ok(())
}

async fn store(
    context: &Context,
    app: &str,
    pairs: Vec<(String, Vec<u8>)>,
    preview: bool,
    at_rest: Option<Settings>,
) -> Result<Value, Failure> {
    if let Some(settings) = at_rest {
        let keys: Vec<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
        let named = pairs.into_iter().map(|(key, value)| (format!("{app}.{key}"), value)).collect();
        offline::set_secrets(context, &settings, named).await?;
        return Ok(json!({"set": keys}));
    }
    let mut secrets = Map::new();
    for (key, value) in pairs {
        let value = String::from_utf8(value).map_err(|_| {
            Failure::error(format!("the value of `{key}` is no text")).hint("encode it, as with base64")
        })?;
        secrets.insert(key, value.into());
    }
    let keys: Vec<String> = secrets.keys().cloned().collect();
    let client = context.client()?;
    let call = Call::new(Method::PUT, &["v1", "apps", app, "secrets"]).json(&json!({"secrets": secrets}));
    let answer = match client.ask_once(&call).await {
        Ok(answer) => answer?,
        Err(lost) => {
            return Err(client.lost(&lost).hint(
                "start the server, or name another with --url; before it ever ran, --data-dir DIR writes to its store",
            ));
        }
    };
    if preview {
        mark(context, app, keys).await?;
    }
    Ok(answer)
}

/// Adds keys to `preview.secrets` of the app: what previews get.
async fn mark(context: &Context, app: &str, keys: Vec<String>) -> Done {
    let client = context.client()?;
    let shown: Value = client.ask(&Call::get(&["v1", "apps", app])).await?;
    let mut preview = shown["preview"].as_object().cloned().unwrap_or_default();
    let mut marked = Vec::<String>::deserialize(preview.get("secrets").unwrap_or(&Value::Null)).unwrap_or_default();
    let new: Vec<String> = keys.into_iter().filter(|key| !marked.contains(key)).collect();
    if new.is_empty() {
        return Ok(());
    }
    marked.extend(new);
    preview.insert("secrets".to_owned(), marked.into());
    client.tell(&Call::new(Method::PATCH, &["v1", "apps", app]).json(&json!({"preview": preview}))).await
}

/// Gives one a new value. A random one is printed: nobody could say it otherwise.
pub(super) async fn rotate(
    context: &Context,
    app: &str,
    key: String,
    from_file: Option<&Path>,
    preview: bool,
    at_rest: Option<Settings>,
) -> Done {
    is_new_key(&key)?;
    let given = from_file.map(|from| read_value(context, &key, Some(from), false)).transpose()?;
    let random = given.is_none().then(generated);
    let value = given.or_else(|| random.clone().map(String::into_bytes)).unwrap_or_default();
    let mut answer = store(context, app, vec![(key.clone(), value)], preview, at_rest).await?;
    let out = &context.out;
    if out.json {
        if let Some(value) = random {
            answer["value"] = value.into();
        }
        return out.json(&answer);
    }
    match random {
        Some(value) => {
            out.line(&value)?;
            out.note(&tame(&format!("secret '{key}' of '{app}' has this value now; it is not shown again")));
        }
        None => out.line(&tame(&format!("✓ Rotated secret '{key}' of '{app}'")))?,
    }
    out.next("what runs gets it with the next deploy");
    Ok(())
}

/// 256 random bits, as hexadecimal digits.
pub(in super::super) fn generated() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lists the keys, one in a line.
pub(super) async fn list(context: &Context, app: &str, at_rest: Option<Settings>) -> Done {
    let out = &context.out;
    let answer: Value = match at_rest {
        Some(settings) => {
            let all = offline::list_secrets(context, &settings).await?;
            let prefix = format!("{app}.");
            let keys = all.items.iter().filter_map(|secret| secret.name.strip_prefix(&prefix));
            json!({"secrets": keys.filter(|key| is_key(key).is_ok()).collect::<Vec<_>>()})
        }
        None => context.client()?.ask(&Call::get(&["v1", "apps", app, "secrets"])).await?,
    };
    if out.json {
        return out.json(&answer);
    }
    let list = AppSecrets::deserialize(&answer)
        .map_err(|error| Failure::error(format!("the answer is no list of secrets: {error}")))?;
    if list.secrets.is_empty() {
        return out.line(&format!("No secrets set for '{}'.", tame(app)));
    }
    list.secrets.iter().try_for_each(|key| out.line(&tame(key)))
}

/// Removes one.
pub(super) async fn remove(context: &Context, app: &str, key: &str, at_rest: Option<Settings>) -> Done {
    let (shown_app, shown_key) = (tame(app), tame(key));
    match at_rest {
        Some(settings) => offline::remove_secret(context, &settings, &format!("{app}.{key}"), false).await,
        None => context.client()?.tell(&Call::delete(&["v1", "apps", app, "secrets", key])).await,
    }
    .map_err(|failure| match failure.exit {
        Exit::NotFound if failure.message.is_empty() => {
            Failure::new(Exit::NotFound, format!("'{shown_app}' has no secret '{shown_key}'"))
        }
        _ => failure,
    })?;
    if context.out.json {
        return context.out.json(&json!({"status": "ok"}));
    }
    context.out.line(&format!("✓ Removed secret '{shown_key}' from '{shown_app}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_name_of_a_variable() {
        for good in ["A", "_a1", "DATABASE_URL", &"x".repeat(128)] {
            assert!(is_key(good).is_ok(), "{good}");
        }
        for bad in ["", "1A", "A-B", "../x", "A.B", "ä", &"x".repeat(129)] {
            assert!(is_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_generated_is_long_and_never_the_same() {
        assert_eq!(generated().len(), 64);
        assert_ne!(generated(), generated());
    }
}
