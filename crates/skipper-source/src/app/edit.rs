//! An app's file as the API changes it: what was not changed stays to the letter, with its comments and its `${NAME}`.

use serde_json::{Map, Value, json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

use super::{
    expand::Environment,
    file::{App, file},
    text::MAX_BYTES,
    value::is_label,
};
use crate::{
    finding::{Faults, Finding},
    nearest::suggestion,
    yaml::{depth_of, shorten},
};

/// The port of an app that is made through the API and names none.
const DEFAULT_PORT: u16 = 8080;
/// Tables that a body replaces as a whole.
const TABLES: [&str; 6] = ["env", "resources", "network", "health", "deploy", "preview"];
/// Everything a body may hold.
const KEYS: [&str; 14] = [
    "name",
    "image",
    "domain",
    "port",
    "secret",
    "kind",
    "env",
    "resources",
    "network",
    "health",
    "deploy",
    "preview",
    "routes",
    "volumes",
];
/// Most unknown fields that are named.
const MAX_UNKNOWN: usize = 20;
/// Deepest value of a body; a file has four levels.
const MAX_DEPTH: usize = 8;

/// A file that was written, and what it says.
#[derive(Debug, Clone)]
pub struct Edited {
    /// The text. It may hold keys of webhooks: whoever writes it lets nobody else read it.
    pub text: String,
    /// The app.
    pub app: App,
    /// What is odd about it.
    pub warnings: Vec<Finding>,
}

impl Edited {
    fn warned(mut self, more: Vec<Finding>) -> Self {
        self.warnings.splice(0..0, more);
        self
    }
}

/// The file of a new app, from the body of `POST /v1/apps`.
///
/// # Errors
///
/// A name that is no DNS label; everything that [`file`] refuses.
pub fn new_file(body: &Value, env: Environment<'_>) -> Result<Edited, Faults> {
    let (fields, unknown) = body_fields(body)?;
    let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
    if !is_label(name) {
        let message = format!("invalid app name `{}`", shorten(name));
        let hint = "use 1 to 63 of a-z, 0-9 and hyphens, none at an end".to_owned();
        return Err(Finding::error("name-invalid", message).path("name").hint(hint).into());
    }
    let mut document = DocumentMut::new();
    for table in ["app", "health", "deploy"] {
        document.insert(table, Item::Table(Table::new()));
    }
    let mut fields = fields.clone();
    let has_domain = fields.get("domain").and_then(Value::as_str).is_some_and(|domain| !domain.is_empty());
    if has_domain && !fields.contains_key("port") {
        fields.insert("port".to_owned(), DEFAULT_PORT.into());
    }
    finish(document, name, &fields, env).map(|edited| edited.warned(unknown))
}

/// The file of an app after the body of `PATCH /v1/apps/{name}`: what the body names is replaced, a table as a whole; `null`
/// takes it away.
///
/// # Errors
///
/// A text that is no TOML, another name than the app's, and everything that [`file`] refuses of the outcome.
pub fn edit(text: &str, name: &str, body: &Value, env: Environment<'_>) -> Result<Edited, Faults> {
    let (fields, unknown) = body_fields(body)?;
    if text.len() > MAX_BYTES {
        return Err(Finding::error("file-too-large", format!("the file has more than {MAX_BYTES} bytes")).into());
    }
    if let Some(other) = fields.get("name").filter(|other| other.as_str() != Some(name)) {
        let message = format!("an app keeps its name: this one is `{name}`, not {}", shorten(&other.to_string()));
        return Err(Finding::error("name-mismatch", message).path("name").into());
    }
    let document = text.parse::<DocumentMut>().map_err(|error| {
        Finding::error("toml-syntax", error.message().to_owned()).in_file(format!("apps/{name}.toml"))
    })?;
    finish(document, name, fields, env).map(|edited| edited.warned(unknown))
}

/// The body of a `PATCH` that comes to the same as a merge patch (RFC 7396) on the file: tables with what is in them already.
///
/// # Errors
///
/// A text that is no TOML.
pub fn merged(text: &str, name: &str, patch: &Value) -> Result<Value, Faults> {
    let mut body = patch.clone();
    let Value::Object(fields) = &mut body else { return Ok(body) };
    if depth_of(patch) > MAX_DEPTH {
        // Refused by whoever reads the body.
        return Ok(body);
    }
    let present = show(name, text)?;
    for key in TABLES {
        if let Some(wanted @ Value::Object(_)) = fields.get_mut(key) {
            let patch = std::mem::replace(wanted, present[key].clone());
            merge(wanted, patch);
        }
    }
    Ok(body)
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// What `GET /v1/apps/{name}` answers: the file's own words, `${NAME}` as it is written, without keys of webhooks.
///
/// # Errors
///
/// A text that is no TOML.
pub fn show(name: &str, text: &str) -> Result<Value, Faults> {
    let node = super::text::parse(&format!("apps/{name}.toml"), text)?;
    let whole = node.to_value();
    let part =
        |table: &str, key: &str| whole.get(table).and_then(|table| table.get(key)).cloned().unwrap_or(Value::Null);
    let listed = part("routing", "routes");
    let domain = match part("routing", "domain") {
        Value::Null => listed.pointer("/0/hostname").cloned().unwrap_or(Value::Null),
        domain => domain,
    };
    let port = match part("routing", "port") {
        Value::Null => listed.pointer("/0/port").cloned().unwrap_or(Value::Null),
        port => port,
    };
    let table = |key: &str| whole.get(key).cloned().unwrap_or_else(|| json!({}));
    let mut shown = json!({"name": part("app", "name"), "image": part("app", "image"), "domain": domain, "port": port});
    for key in TABLES {
        shown[key] = table(key);
    }
    for (key, value) in [("kind", part("app", "kind")), ("routes", listed), ("volumes", whole["volumes"].clone())] {
        if !value.is_null() {
            shown[key] = value;
        }
    }
    Ok(shown)
}

/// The fields of a body. Those that are not known are passed over, as slip does, and warned of.
fn body_fields(body: &Value) -> Result<(&Map<String, Value>, Vec<Finding>), Faults> {
    let Value::Object(fields) = body else {
        return Err(Finding::error("value-kind", "the body must be an object").into());
    };
    if depth_of(body) > MAX_DEPTH {
        return Err(Finding::error("value-invalid", "the body is nested too deeply").into());
    }
    let unknown = fields.keys().filter(|key| !KEYS.contains(&key.as_str())).take(MAX_UNKNOWN).map(|key| {
        let finding = Finding::warning("key-unknown", format!("unknown field `{}`", shorten(key)));
        finding.hint(suggestion(key, KEYS))
    });
    Ok((fields, unknown.collect()))
}

fn finish(
    mut document: DocumentMut,
    name: &str,
    fields: &Map<String, Value>,
    env: Environment<'_>,
) -> Result<Edited, Faults> {
    let path = format!("apps/{name}.toml");
    for key in ["name", "image", "secret", "kind"] {
        if let Some(value) = fields.get(key) {
            set(table(&mut document, "app")?, key, value);
        }
    }
    if let Some(routes) = fields.get("routes") {
        set_list(table(&mut document, "routing")?, "routes", routes);
    }
    let listed = document.get("routing").and_then(|routing| routing.get("routes")).is_some();
    for key in ["domain", "port"] {
        let Some(value) = fields.get(key) else { continue };
        if listed {
            let message = format!("`{key}` is that of one route, and the app has a list of them");
            return Err(Finding::error("route-ignored", message).path(key).hint("change `routes`".to_owned()).into());
        }
        // An empty one is none: what slip's clients send for an app without ways in.
        let value = if value.as_str() == Some("") { &Value::Null } else { value };
        if !value.is_null() || document.contains_key("routing") {
            set(table(&mut document, "routing")?, key, value);
        }
    }
    for key in TABLES {
        match fields.get(key) {
            None => {}
            Some(Value::Object(wanted)) => replace(table(&mut document, key)?, wanted),
            Some(Value::Null) if matches!(key, "health" | "deploy") => replace(table(&mut document, key)?, &Map::new()),
            Some(Value::Null) => {
                document.remove(key);
            }
            Some(_) => return Err(Finding::error("value-kind", "must be an object").path(key).into()),
        }
    }
    if let Some(volumes) = fields.get("volumes") {
        set_list(document.as_table_mut(), "volumes", volumes);
    }
    let text = document.to_string();
    let (app, warnings) = file(&path, name, &text, env)?;
    Ok(Edited { text, app, warnings })
}

/// The table of that name, made when it is missing.
fn table<'a>(document: &'a mut DocumentMut, key: &str) -> Result<&'a mut dyn TableLike, Faults> {
    let item = document.entry(key).or_insert_with(|| Item::Table(Table::new()));
    item.as_table_like_mut().ok_or_else(|| Finding::error("value-kind", "is no table in the file").path(key).into())
}

/// Makes a table hold these keys and no others. Those that have the value already are not touched.
fn replace(table: &mut dyn TableLike, wanted: &Map<String, Value>) {
    let gone: Vec<String> =
        table.iter().map(|(key, _)| key.to_owned()).filter(|key| wanted.get(key).is_none_or(Value::is_null)).collect();
    for key in gone {
        table.remove(&key);
    }
    for (key, value) in wanted {
        set(table, key, value);
    }
}

/// Sets a key, keeping the comment beside it; `null` takes it away.
fn set(table: &mut dyn TableLike, key: &str, value: &Value) {
    let Some(wanted) = written(value) else {
        table.remove(key);
        return;
    };
    if let (Some(nested), Value::Object(fields)) = (table.get_mut(key).and_then(Item::as_table_like_mut), value) {
        replace(nested, fields);
        return;
    }
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(present) if plain(present) == plain(&wanted) => {}
        Some(present) => {
            let decor = present.decor().clone();
            *present = wanted;
            *present.decor_mut() = decor;
        }
        None => {
            table.insert(key, Item::Value(wanted));
        }
    }
}

/// A list of tables, written as one.
fn set_list(table: &mut dyn TableLike, key: &str, value: &Value) {
    table.remove(key);
    if let Some(list) = written(value) {
        let mut item = Item::Value(list);
        if let Ok(tables) = std::mem::take(&mut item).into_array_of_tables() {
            item = Item::ArrayOfTables(tables);
        } else if let Some(list) = written(value) {
            item = Item::Value(list);
        }
        table.insert(key, item);
    }
}

/// As TOML without layout, to compare.
fn plain(value: &toml_edit::Value) -> (&'static str, String) {
    let mut value = value.clone();
    value.decor_mut().clear();
    let text = match &value {
        toml_edit::Value::String(text) => text.value().clone(),
        other => other.to_string(),
    };
    (value.type_name(), text)
}

/// JSON as TOML; nothing for `null`, which TOML does not have.
fn written(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().filter_map(written).collect::<Array>().into(),
        Value::Object(fields) => {
            let entries = fields.iter().filter_map(|(key, value)| Some((key.as_str(), written(value)?)));
            entries.collect::<InlineTable>().into()
        }
    })
}
