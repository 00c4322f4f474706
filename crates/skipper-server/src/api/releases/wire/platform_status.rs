//! `platformStatus`: a JSON document in a string, as Spring's deployers write it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    api::releases::negotiate::Generation,
    verb::versions::{AppState, InstanceState, Running},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct App<'a> {
    deployment_id: &'a str,
    instances: Instances<'a>,
    state: &'static str,
}

/// By id; `Vec` and not a map, so that the tenth does not come after the first.
struct Instances<'a>(Generation, &'a [InstanceState]);

impl Serialize for Instances<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.1.len()))?;
        for instance in self.1 {
            match self.0 {
                Generation::M1 => map.serialize_entry(&instance.id, &First::of(instance))?,
                Generation::V2 => map.serialize_entry(&instance.id, &Second::of(instance))?,
            }
        }
        map.end()
    }
}

/// As 1.0 writes an instance: with what its language happens to tell of a process.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct First<'a> {
    instance_number: u32,
    base_url: &'a str,
    process: Process,
    attributes: BTreeMap<&'a str, &'a str>,
    id: &'a str,
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    error_stream: Nothing,
    output_stream: Nothing,
    alive: bool,
    input_stream: Nothing,
}

#[derive(Serialize)]
struct Nothing {}

impl<'a> First<'a> {
    fn of(instance: &'a InstanceState) -> Self {
        let own = instance.attributes.iter().filter(|(name, _)| !name.starts_with("skipper."));
        Self {
            instance_number: instance.index,
            base_url: instance.url().unwrap_or_default(),
            process: Process {
                error_stream: Nothing {},
                output_stream: Nothing {},
                alive: matches!(instance.state, Running::Deployed | Running::Deploying),
                input_stream: Nothing {},
            },
            attributes: own.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            id: &instance.id,
            state: instance.state.as_str(),
        }
    }
}

/// As 2.x writes an instance.
#[derive(Serialize)]
struct Second<'a> {
    id: &'a str,
    state: &'static str,
    attributes: BTreeMap<&'a str, &'a str>,
}

impl<'a> Second<'a> {
    fn of(instance: &'a InstanceState) -> Self {
        // Only 1.0 tells the process.
        let told = instance.attributes.iter().filter(|(name, _)| *name != "pid");
        let attributes = told.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self { id: &instance.id, state: instance.state.as_str(), attributes }
    }
}

/// The document.
pub(super) fn text(generation: Generation, apps: &[AppState]) -> String {
    let apps: Vec<App<'_>> = apps
        .iter()
        .map(|app| App {
            deployment_id: &app.id,
            instances: Instances(generation, &app.instances),
            state: app.state.as_str(),
        })
        .collect();
    serde_json::to_string(&apps).expect("text and numbers are always representable as JSON")
}
