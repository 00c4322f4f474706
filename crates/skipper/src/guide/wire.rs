use serde::Deserialize;
use serde_json::{Map, Value};

/// A version of a release.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Release {
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) info: Info,
    pub(super) pkg: Package,
    #[serde(default)]
    pub(super) platform_name: Option<String>,
}

/// What has become of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    pub(super) status: Status,
    #[serde(default)]
    first_deployed: Value,
    #[serde(default)]
    last_deployed: Value,
    #[serde(default)]
    pub(super) description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) status_code: String,
    /// A JSON document in a string.
    #[serde(default)]
    platform_status: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) metadata: Metadata,
}

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) version: Option<String>,
}

/// What a platform says about an application.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppStatus {
    pub(super) deployment_id: String,
    #[serde(default)]
    instances: Map<String, Value>,
    pub(super) state: String,
}

/// A page of resources.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(rename = "_embedded", default)]
    embedded: Map<String, Value>,
    #[serde(default)]
    page: Option<PageInfo>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    total_pages: u64,
}

impl Page {
    /// Its resources.
    pub(super) fn items(self) -> Vec<Map<String, Value>> {
        let lists = self.embedded.into_iter().filter_map(|(_, list)| match list {
            Value::Array(items) => Some(items),
            _ => None,
        });
        lists.flatten().filter_map(|item| if let Value::Object(item) = item { Some(item) } else { None }).collect()
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> u64 {
        self.page.as_ref().map_or(1, |page| page.total_pages)
    }
}

impl Info {
    /// When this version was made, as Java writes it: `Fri Oct 27 16:39:03 IST 2017`.
    pub(super) fn first_deployed(&self) -> String {
        date(&self.first_deployed)
    }

    /// The same of its last change.
    pub(super) fn last_deployed(&self) -> String {
        date(&self.last_deployed)
    }
}

fn date(value: &Value) -> String {
    let at = match value {
        Value::Number(millis) => millis.as_i64().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let zone = jiff::tz::TimeZone::system();
    at.map_or_else(String::new, |at| at.to_zoned(zone).strftime("%a %b %d %H:%M:%S %Z %Y").to_string())
}

impl Status {
    /// What the platform says; nothing where it was not asked.
    pub(super) fn apps(&self) -> Vec<AppStatus> {
        self.platform_status.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

impl AppStatus {
    /// `[web.web-v1], State = [web.web-v1-0=deployed]`, instances on lines of their own.
    pub(super) fn line(&self) -> String {
        let state = |instance: &Value| instance["state"].as_str().unwrap_or("unknown").to_owned();
        let instances: Vec<_> = self
            .instances
            .iter()
            .map(|(id, instance)| format!("{}={}", instance["id"].as_str().unwrap_or(id), state(instance)))
            .collect();
        let states = if instances.is_empty() { self.state.clone() } else { instances.join("\n") };
        format!("[{}], State = [{states}]", self.deployment_id)
    }
}

/// A field as the tables show it; nothing where it is null.
pub(super) fn text(item: &Map<String, Value>, key: &str) -> String {
    match item.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
