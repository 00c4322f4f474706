//! How one revision follows another: `strategy` and `bake`.

use serde_json::Value;
use skipper_core::{
    spec::{CanaryStep, Strategy},
    time::Millis,
};

use super::read::{duration, span};
use crate::fields::{Field, Fields};

const KINDS: &str = "`blue-green`, `recreate`, `rolling` or `canary`";

/// Reads `strategy` and `bake`.
pub(super) fn read(spec: &mut Fields<'_>) -> Option<Strategy> {
    let field = spec.get("strategy");
    let bake = match spec.get("bake") {
        Some(field) => duration(&field)?,
        None => Millis(0),
    };
    let Some(field) = field else { return Some(Strategy::BlueGreen { bake }) };
    if let Some(word) = field.scalar() {
        return match word.as_str() {
            Some("blue-green") => Some(Strategy::BlueGreen { bake }),
            Some("recreate") => Some(Strategy::Recreate { bake }),
            Some("rolling") => Some(Strategy::Rolling { batch: 1, bake }),
            Some("canary") => {
                let hint = "write `canary: { steps: [{ weight: 10, bake: 30s }] }`";
                field.error_hint("value-invalid", "a canary needs its steps", hint);
                None
            }
            _ => field.expected(KINDS),
        };
    }
    let mut fields = field.fields()?;
    let found: Vec<(&str, Field<'_>)> = ["blue-green", "recreate", "rolling", "canary"]
        .into_iter()
        .filter_map(|kind| fields.get(kind).map(|field| (kind, field)))
        .collect();
    fields.finish();
    let [(kind, settings)] = found.as_slice() else {
        field.error("value-invalid", format!("must name one strategy: {KINDS}"));
        return None;
    };
    match *kind {
        "rolling" => Some(Strategy::Rolling { batch: batch(settings)?, bake }),
        "canary" => Some(Strategy::Canary { steps: steps(settings)?, bake }),
        other => {
            // `blue-green: {}` is the same as the word; there is nothing to set.
            settings.fields()?.finish();
            Some(if other == "recreate" { Strategy::Recreate { bake } } else { Strategy::BlueGreen { bake } })
        }
    }
}

fn batch(settings: &Field<'_>) -> Option<u32> {
    let mut fields = settings.fields()?;
    let batch = fields.get("batch").map_or(Some(1), |field| field.whole32(1, 1000));
    fields.finish();
    batch
}

fn steps(settings: &Field<'_>) -> Option<Vec<CanaryStep>> {
    let mut fields = settings.fields()?;
    let list = fields.require("steps");
    fields.finish();
    let list = list?;
    let mut steps: Vec<CanaryStep> = Vec::new();
    for item in list.items(20) {
        let mut fields = item.fields()?;
        let weight = fields.require("weight").and_then(|field| field.whole(1, 99));
        let bake = span(&mut fields, "bake");
        fields.finish();
        let weight = u8::try_from(weight?).ok()?;
        if steps.last().is_some_and(|last| last.weight >= weight) {
            item.error("value-invalid", "weights must grow from step to step");
            return None;
        }
        steps.push(CanaryStep { weight, bake: bake.unwrap_or(Millis(0)) });
    }
    if steps.is_empty() {
        list.error("value-invalid", "must hold at least one step");
        return None;
    }
    Some(steps)
}

/// How a strategy is written, without its bake.
pub(super) fn write(strategy: &Strategy) -> Value {
    match strategy {
        Strategy::BlueGreen { .. } | Strategy::Recreate { .. } => strategy.name().into(),
        Strategy::Rolling { batch, .. } => serde_json::json!({"rolling": {"batch": batch}}),
        Strategy::Canary { steps, .. } => {
            let steps: Vec<Value> = steps
                .iter()
                .map(|step| serde_json::json!({"weight": step.weight, "bake": super::duration_text(step.bake)}))
                .collect();
            serde_json::json!({"canary": {"steps": steps}})
        }
    }
}
