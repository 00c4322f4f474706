//! TOML into the nodes that YAML is read into as well, so that one reader of keys serves both.

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::{
    finding::{Faults, Finding, Findings, Position},
    yaml::{Content, Entry, Node},
};

/// Longest text that is read; the longest real one has a few KiB.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Faults of syntax that are told; after a broken line the reader often stumbles over the next ones too.
const MAX_SYNTAX: usize = 10;

/// Reads a text.
///
/// # Errors
///
/// What is no TOML about it, all of it; a text that is too long. The depth is bounded by the parser (80).
pub(super) fn parse(file: &str, text: &str) -> Result<Node, Faults> {
    if text.len() > MAX_BYTES {
        let message = format!("has {} bytes, and at most {MAX_BYTES} are read", text.len());
        return Err(Finding::error("file-too-large", message).in_file(file).into());
    }
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut findings = Findings::new();
        for error in errors.into_iter().take(MAX_SYNTAX) {
            let at = lines.position(error.span().map_or(0, |span| span.start));
            findings.push(Finding::error("toml-syntax", error.message()).in_file(file).at(at));
        }
        findings.into_result()?;
    }
    Ok(Node { at: Position { line: 1, column: 1 }, content: map(table.get_ref(), &lines) })
}

fn map(table: &DeTable<'_>, lines: &Lines<'_>) -> Content {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            at: lines.position(key.span().start),
            value: node(value.get_ref(), lines.position(value.span().start), lines),
        })
        .collect();
    // The table sorts its keys; messages and variables are better in the order of the file.
    entries.sort_by_key(|entry| entry.at);
    Content::Map(entries)
}

fn node(value: &DeValue<'_>, at: Position, lines: &Lines<'_>) -> Node {
    let content = match value {
        DeValue::Table(table) => map(table, lines),
        DeValue::Array(items) => Content::List(
            items.iter().map(|item| node(item.get_ref(), lines.position(item.span().start), lines)).collect(),
        ),
        DeValue::String(text) => Content::Scalar(Value::String(text.to_string())),
        DeValue::Boolean(truth) => Content::Scalar(Value::Bool(*truth)),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix()).ok();
            Content::Scalar(read.map_or_else(|| Value::String(number.to_string()), Value::from))
        }
        DeValue::Float(number) => {
            let read = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            Content::Scalar(read.map_or_else(|| Value::String(number.to_string()), Value::Number))
        }
        DeValue::Datetime(time) => Content::Scalar(Value::String(time.to_string())),
    };
    Node { at, content }
}

/// Where lines begin, to tell a place without reading the text again for each.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let column = self.text[self.starts[line - 1]..offset].chars().count() + 1;
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Position { line: short(line), column: short(column) }
    }
}
