//! The check of values against the package's JSON Schema.

use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use super::schema_cost;
use crate::{
    finding::{Faults, Finding, Findings},
    nearest::suggestion,
};

/// Memory a compiled pattern may take; the schema comes with the package, from outside.
const PATTERN_BYTES: usize = 1 << 20;
/// Most faults that are named; a list of ten thousand items can have as many.
const MAX_ERRORS: usize = 100;

/// Compiles a schema. References to other documents are refused: nothing is fetched.
///
/// # Errors
///
/// What is wrong with the schema.
pub(crate) fn compile(file: &str, schema: &Value) -> Result<Validator, Faults> {
    let unusable = |why: String| Faults::one(Finding::error("schema-invalid", why).in_file(file));
    schema_cost::check_references(schema).map_err(|why| unusable(format!("not a usable JSON Schema: {why}")))?;
    // The plain engine matches in linear time; the default one can be made to run for minutes by a pattern.
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    jsonschema::options().with_pattern_options(patterns).offline().build(schema).map_err(|error| {
        let path = dotted(error.instance_path().as_str());
        let message = format!("not a usable JSON Schema: {}", shown(&error));
        Finding::error("schema-invalid", message).in_file(file).path(path).into()
    })
}

/// The message of an error; it quotes the value, which may be long.
fn shown(error: &ValidationError<'_>) -> String {
    error.to_string().chars().take(300).collect()
}

/// Checks values; every fault is named with its path.
///
/// # Errors
///
/// Everything the schema objects to, or what is wrong with the schema.
pub fn check(file: &str, schema: &Value, values: &Value) -> Result<(), Faults> {
    let validator = compile(file, schema)?;
    schema_cost::check_work(schema, values).map_err(|why| Finding::error("schema-work", why).in_file(file))?;
    let mut findings = Findings::new();
    for error in validator.iter_errors(values).take(MAX_ERRORS) {
        let path = dotted(error.instance_path().as_str());
        let hint = hint(&error, schema);
        let path = if path.is_empty() { "values".to_owned() } else { path };
        findings.push(Finding::error("values-schema", shown(&error)).in_file(file).path(path).hint(hint));
    }
    findings.into_result().map(drop)
}

/// What to do about a fault, where something is known.
fn hint(error: &ValidationError<'_>, schema: &Value) -> Option<String> {
    match (error.kind(), error.instance().as_ref()) {
        (ValidationErrorKind::AdditionalProperties { unexpected }, _) => {
            let around = error.schema_path().as_str().strip_suffix("/additionalProperties")?;
            let known = schema.pointer(&format!("{around}/properties"))?.as_object()?;
            suggestion(unexpected.first()?, known.keys().map(String::as_str))
        }
        // A text like 1.10 or 0x1F is one that a reader of the schema might take for a number.
        (ValidationErrorKind::Type { .. }, Value::String(text)) if text.parse::<f64>().is_ok() => Some(
            "a number that YAML would write differently is text; write it in its shortest form, without quotes"
                .to_owned(),
        ),
        _ => None,
    }
}

/// `/a/b/0` as `a.b[0]`.
fn dotted(pointer: &str) -> String {
    let mut out = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty() {
            out.push_str(&format!("[{part}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&part);
        }
    }
    out
}
