//! Values: what a package leaves open, and what people put there.
//!
//! A package's own values come first, those of the package around it win over them, and what the user set wins over all.
//! Maps are merged; lists and scalars replace what was there; null takes a key away. A package within a package gets what
//! stands under its name, and everybody gets `global`.

mod merge;
mod schema;
mod schema_cost;
mod set;
mod unknown;

pub use merge::{combine, merge, without_nulls};
pub use schema::check as check_schema;
pub use set::{SetError, Typing, parse_set};

pub(crate) use merge::for_sub_package;
pub(crate) use schema::compile as compile_schema;
pub(crate) use unknown::unknown_values;

use serde_json::{Map, Value};

use crate::{
    finding::{Faults, Finding},
    yaml::{self, Input},
};

/// Deepest nesting of values.
const MAX_DEPTH: usize = 48;
/// Most memory values may take, roughly.
const MAX_WEIGHT: usize = 8 << 20;

/// Reads a values file (YAML, or JSON, which is YAML). A file without a document is `{}`.
///
/// # Errors
///
/// The fault in the file, with its place.
pub fn parse_file(name: &str, text: &str) -> Result<Value, Faults> {
    let Some(node) = yaml::read_one(Input::plain(name, text))? else {
        return Ok(Value::Object(Map::new()));
    };
    let value = node.to_value();
    if !value.is_object() {
        let message = format!("values are a map of names to values, and this is {}", node.kind());
        return Err(Finding::error("values-kind", message).in_file(name).at(node.at).into());
    }
    Ok(value)
}

/// Checks that what a user sent is a map, and neither too deep nor too large. Null counts as an empty map.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_user(values: &Value) -> Result<(), Faults> {
    let problem = match values {
        Value::Object(_) | Value::Null => {
            if yaml::depth_of(values) > MAX_DEPTH {
                format!("values are nested deeper than {MAX_DEPTH} levels")
            } else if yaml::weight_of(values) > MAX_WEIGHT {
                format!("values take more than {} MiB", MAX_WEIGHT >> 20)
            } else {
                return Ok(());
            }
        }
        other => format!("values are a map of names to values, and this is {}", yaml::kind_of(other)),
    };
    Err(Finding::error("values-kind", problem).into())
}
