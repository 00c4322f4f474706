use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::ValueHint;
use serde_json::Value;
use skipper_source::{
    classic,
    values::{self, Typing},
};

use super::Context;
use crate::failure::{Doing as _, Exit, Failure};

/// Most that is read of a values file.
const MAX_BYTES: u64 = 4 << 20;

/// What the user sets over a package's own values.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ValuesArgs {
    /// Set a value, as `key=value` or `a.b[0].c=value,d=value`; typed like YAML
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Values")]
    set: Vec<String>,
    /// The same, and the value is always text
    #[arg(long = "set-string", value_name = "KEY=VALUE", help_heading = "Values")]
    set_string: Vec<String>,
    /// Read values from a YAML or JSON file, `-` for standard input; --set is stronger, and the last file than the first
    #[arg(long = "file", short = 'f', visible_alias = "values", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Values")]
    files: Vec<PathBuf>,
    /// Set values as Spring's shell does, as `spec.applicationProperties.server.port=8099,a=b`: every value is text, and
    /// what stands below `applicationProperties` and `deploymentProperties` is one key
    #[arg(
        long,
        value_name = "PROPERTIES",
        help_heading = "Values",
        conflicts_with_all = ["files", "set", "set_string"]
    )]
    properties: Vec<String>,
}

/// What was given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Given {
    /// As it is understood: an object.
    pub(crate) values: Value,
    /// As it was written, where it is one text.
    pub(crate) text: Option<String>,
}

impl Given {
    /// For the wire, which takes either: what is understood, or what was written.
    pub(crate) fn into_parts(self) -> (Option<Value>, Option<String>) {
        match self.text {
            Some(text) => (None, Some(text)),
            None => (Some(self.values), None),
        }
    }
}

impl ValuesArgs {
    /// Puts them together; `None` when nothing was given.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not understood, an assignment that is none.
    pub(crate) fn read(&self, context: &Context) -> Result<Option<Given>, Failure> {
        if !self.properties.is_empty() {
            return springs(&self.properties.join(",")).map(Some);
        }
        if self.set.is_empty() && self.set_string.is_empty() && self.files.is_empty() {
            return Ok(None);
        }
        let mut all = Value::Object(serde_json::Map::new());
        let mut written = None;
        let alone = self.files.len() == 1 && self.set.is_empty() && self.set_string.is_empty();
        for path in &self.files {
            let text = read_text(&context.surroundings.resolve(path), path)?;
            let name = path.display().to_string();
            // A single text goes to the package as it is, and is read there by the rules of the package's format.
            let layer = if alone { skipper_source::raw_values(&name, &text) } else { values::parse_file(&name, &text) }
                .map_err(|faults| Failure::error(faults.to_string()))?;
            all = values::combine(&all, &layer);
            written = Some(text);
        }
        for (texts, typing, flag) in
            [(&self.set, Typing::Typed, "--set"), (&self.set_string, Typing::Text, "--set-string")]
        {
            for text in texts {
                values::parse_set(&mut all, text, typing).map_err(|error| Failure::usage(format!("{flag} {error}")))?;
            }
        }
        Ok(Some(Given { values: all, text: written.filter(|_| alone) }))
    }
}

/// What `--properties` says.
fn springs(properties: &str) -> Result<Given, Failure> {
    let text = classic::properties_values(properties, classic::yaml::Generation::Two)
        .map_err(|faults| Failure::usage(format!("--properties {faults}")))?;
    let values = values::parse_file("--properties", &text).map_err(|faults| Failure::usage(faults.to_string()))?;
    Ok(Given { values, text: Some(text) })
}

fn read_text(path: &Path, given: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if given == Path::new("-") {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
    };
    if read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Err(Failure::new(Exit::NotFound, format!("Could not find file {}", given.display())));
    }
    let bytes = read.doing(|| format!("read {}", given.display()))?;
    if bytes as u64 > MAX_BYTES {
        return Err(Failure::error(format!("{} is larger than {} MiB", given.display(), MAX_BYTES >> 20)));
    }
    Ok(text)
}
