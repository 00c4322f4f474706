//! The options `--properties` and `--file`: from what people type to the text of values that a server gets.
//!
//! The two generations agree on nothing but the comma. Skipper's own commands follow the second one.

use std::collections::BTreeMap;

use super::{
    value::{Key, Map, Value},
    yaml::{self, Generation, Layout, Typing},
};
use crate::finding::{Faults, Finding};

/// Longest text of `--properties`, in bytes.
const MAX_BYTES: usize = 256 << 10;
/// Most parts of a key.
const MAX_PARTS: usize = 48;
/// Highest index of a list.
const MAX_INDEX: usize = 1000;

/// The values behind `--file`: one document, written anew. Comments are lost, the order of keys is kept.
///
/// # Errors
///
/// What is wrong with the text.
pub fn file_values(name: &str, text: &str, generation: Generation) -> Result<String, Faults> {
    Ok(yaml::dump(&yaml::load(name, text, Typing::Typed(generation))?, Layout::Auto, generation))
}

/// The values behind `--properties`, as YAML.
///
/// By the rules of the second generation, `a.b=1,c=x,y` is split at commas, a part without `=` belongs to the one before,
/// dots nest except below `spec.applicationProperties` and `spec.deploymentProperties` (of the package or of one within it),
/// and every value is text.
///
/// # Errors
///
/// A bound that is broken; by the rules of the first generation also a malformed `\u` escape.
pub fn properties_values(text: &str, generation: Generation) -> Result<String, Faults> {
    if text.len() > MAX_BYTES {
        return Err(faulty(format!("more than {} KiB of properties", MAX_BYTES >> 10)));
    }
    match generation {
        Generation::One => first::values(text),
        Generation::Two => second(text),
    }
}

fn faulty(message: impl Into<String>) -> Faults {
    Finding::error("properties-invalid", message).into()
}

fn second(text: &str) -> Result<String, Faults> {
    let mut pairs: Vec<String> = Vec::new();
    for part in text.split(',') {
        match pairs.last_mut() {
            Some(last) if !part.contains('=') => {
                last.push(',');
                last.push_str(part);
            }
            _ => pairs.push(part.to_owned()),
        }
    }
    let trim = |text: &str| text.trim_matches(|c: char| c <= ' ').to_owned();
    let properties: BTreeMap<String, String> =
        pairs.iter().filter_map(|pair| pair.split_once('=')).map(|(key, value)| (trim(key), trim(value))).collect();
    let mut root = Node::default();
    for (key, value) in properties {
        let path = path(&key);
        if path.len() > MAX_PARTS {
            return Err(faulty(format!("a key has more than {MAX_PARTS} parts")));
        }
        root.add(&path, value);
    }
    let value = match root.build("") {
        Built::Value(value) => value,
        Built::Flat { map, .. } => Value::Map(map),
    };
    Ok(yaml::dump(&value, Layout::Block, Generation::Two))
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Name(String),
    Index(u32),
}

/// The parts of a key: names between dots, and what stands in brackets. Dots and brackets that lead nowhere are passed over.
fn path(key: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = key;
    while let Some(c) = rest.chars().next() {
        match c {
            '.' | ']' => rest = &rest[1..],
            '[' => {
                let inner = &rest[1..];
                let end = inner.find(']').unwrap_or(inner.len());
                let bracketed = &inner[..end];
                if !bracketed.is_empty() {
                    let index = bracketed.parse::<i32>().ok().and_then(|index| u32::try_from(index).ok());
                    parts.push(index.map_or_else(|| Part::Name(bracketed.to_owned()), Part::Index));
                }
                rest = &inner[end..];
            }
            _ => {
                let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
                parts.push(Part::Name(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
    }
    parts
}

/// A tree of properties; maps are sorted.
#[derive(Default)]
struct Node {
    scalars: Vec<String>,
    items: BTreeMap<u32, Node>,
    entries: BTreeMap<String, Node>,
}

/// What comes of a part of the tree.
enum Built {
    Value(Value),
    /// A map whose keys go up into the map around it, each behind the key of this one; with what is assigned to that key itself.
    Flat {
        own: Vec<String>,
        map: Map,
    },
}

impl Node {
    fn add(&mut self, path: &[Part], value: String) {
        match path.split_first() {
            None => self.scalars.push(value),
            Some((Part::Name(name), rest)) => self.entries.entry(name.clone()).or_default().add(rest, value),
            Some((Part::Index(index), rest)) => self.items.entry(*index).or_default().add(rest, value),
        }
    }

    /// `path` is the key so far, as people write it.
    fn build(mut self, path: &str) -> Built {
        if self.items.is_empty() && self.entries.is_empty() && !self.scalars.is_empty() {
            let mut texts: Vec<Value> = self.scalars.into_iter().map(Value::Text).collect();
            let one = if texts.len() == 1 { texts.pop() } else { None };
            return Built::Value(one.unwrap_or(Value::List(texts)));
        }
        if !self.entries.is_empty() {
            let items = std::mem::take(&mut self.items);
            self.entries.extend(items.into_iter().map(|(index, node)| (index.to_string(), node)));
        }
        if !self.items.is_empty() {
            let items = self.items.into_iter().map(|(index, node)| match node.build(&format!("{path}[{index}]")) {
                Built::Value(value) => value,
                Built::Flat { map, .. } => Value::Map(map),
            });
            return Built::Value(Value::List(items.collect()));
        }
        let mut map: BTreeMap<String, Value> = BTreeMap::new();
        for (name, node) in self.entries {
            let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match node.build(&inner) {
                Built::Value(value) => {
                    map.insert(name, value);
                }
                Built::Flat { own, map: inner } => {
                    let mut own: Vec<Value> = own.into_iter().map(Value::Text).collect();
                    if own.len() == 1 {
                        map.extend(own.pop().map(|value| (name.clone(), value)));
                    } else if !own.is_empty() {
                        map.insert(name.clone(), Value::List(own));
                    }
                    map.extend(inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
                }
            }
        }
        let map: Map = map.into_iter().map(|(key, value)| (Key::Text(key), value)).collect();
        if !self.scalars.is_empty() || is_flat(path) {
            return Built::Flat { own: self.scalars, map };
        }
        Built::Value(Value::Map(map))
    }
}

/// Whether a path is below one whose keys are not nested.
fn is_flat(path: &str) -> bool {
    const FLAT: [&str; 2] = ["spec.applicationProperties", "spec.deploymentProperties"];
    let below = |path: &str| FLAT.iter().any(|flat| path.strip_prefix(flat).is_some_and(|rest| !rest.is_empty()));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    below(path) || path.split_once('.').is_some_and(|(word, rest)| is_word(word) && below(rest))
}

/// The rules of the first generation.
mod first {
    use super::{Faults, Generation, Key, Layout, MAX_INDEX, MAX_PARTS, Map, Value, faulty, yaml};
    use crate::classic::yaml::resolve_plain;

    /// Stands for a dot that does not nest. Where it stands first in a text, that text is quoted, which is why it is this and no
    /// rarer one.
    const DOT: &str = "------";

    pub(super) fn values(text: &str) -> Result<String, Faults> {
        let lines: String = text.split(',').map(|segment| protected(segment) + "\n").collect();
        let mut root = Map::new();
        for (key, value) in properties(&lines)? {
            let parts = parts(&key);
            if parts.len() > MAX_PARTS {
                return Err(faulty(format!("a key has more than {MAX_PARTS} parts")));
            }
            insert(&mut root, &parts, typed(&value));
        }
        let root = sorted(root)?;
        Ok(yaml::dump(&Value::Map(root), Layout::Auto, Generation::One))
    }

    /// Protects the dots of a segment but those before `.spec.`, and those of the two prefixes.
    fn protected(segment: &str) -> String {
        const PREFIXES: [&str; 2] = ["spec.applicationProperties.", "spec.deploymentProperties."];
        let (mut out, mut rest) = match segment.find(".spec.") {
            Some(end) => (segment[..=end].to_owned(), &segment[end + 1..]),
            None => (String::new(), segment),
        };
        while let Some((start, prefix)) = PREFIXES.iter().filter_map(|p| Some((rest.find(p)?, *p))).min() {
            out.push_str(&rest[..start].replace('.', DOT));
            out.push_str(prefix);
            rest = &rest[start + prefix.len()..];
        }
        out + &rest.replace('.', DOT)
    }

    fn opened(text: &str) -> String {
        text.replace(DOT, ".")
    }

    /// Reads lines as `java.util.Properties` does. Of equal keys the last one stays.
    fn properties(text: &str) -> Result<Vec<(String, String)>, Faults> {
        let mut all: indexmap::IndexMap<String, String> = indexmap::IndexMap::new();
        let blank = |c: char| matches!(c, ' ' | '\t' | '\u{c}');
        let mut lines = text.split(['\n', '\r']).map(|line| line.trim_start_matches(blank));
        while let Some(line) = lines.next() {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let mut whole = line.to_owned();
            while whole.len() % 2 != whole.trim_end_matches('\\').len() % 2 {
                whole.pop();
                match lines.next() {
                    Some(next) => whole.push_str(next),
                    None => break,
                }
            }
            let (key, value) = cut(&whole);
            all.insert(unescaped(key)?, unescaped(value)?);
        }
        Ok(all.into_iter().collect())
    }

    /// Cuts a line at the first `=`, `:` or blank without a backslash before it.
    fn cut(line: &str) -> (&str, &str) {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\u{c}');
        let mut escaped = false;
        let end = line.find(|c: char| {
            let ends = !escaped && (matches!(c, '=' | ':') || blank(c));
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { return (line, "") };
        let value = line[end..].trim_start_matches(blank);
        let value = value.strip_prefix(['=', ':']).unwrap_or(value);
        (&line[..end], value.trim_start_matches(blank))
    }

    fn unescaped(text: &str) -> Result<String, Faults> {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('f') => out.push('\u{c}'),
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                    let code = code.ok_or_else(|| faulty("Malformed \\uxxxx encoding."))?;
                    out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                other => out.extend(other),
            }
        }
        Ok(out)
    }

    /// The parts of a key; a part of nothing but digits is an index of the one before.
    fn parts(key: &str) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        for part in key.split('.') {
            match parts.last_mut() {
                Some(last) if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => {
                    last.push_str(&format!("[{part}]"));
                }
                _ => parts.push(part.to_owned()),
            }
        }
        while parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
        parts
    }

    /// Where a value and a map claim one key, the map's entries are moved beside the value, under longer keys.
    fn insert(map: &mut Map, parts: &[String], value: Value) {
        let Some((first, rest)) = parts.split_first() else { return };
        let key = Key::text(first);
        if rest.is_empty() {
            if let Some(Value::Map(inner)) = map.insert(key, value) {
                for (inner_key, inner_value) in inner {
                    map.insert(Key::text(format!("{first}.{inner_key}")), inner_value);
                }
            }
            return;
        }
        match map.entry(key).or_insert_with(|| Value::Map(Map::new())) {
            Value::Map(inner) => insert(inner, rest, value),
            _ => {
                let joined = format!("{first}.{}", rest[0]);
                insert(map, &[std::slice::from_ref(&joined), &rest[1..]].concat(), value);
            }
        }
    }

    /// What a text looks like to Java's parsers of numbers. Dots are protected, so a fraction is text here, and is looked at again
    /// when it is written.
    fn typed(text: &str) -> Value {
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Value::Bool(text.eq_ignore_ascii_case("true"));
        }
        if let Ok(whole) = text.parse::<i64>() {
            return Value::Int(whole);
        }
        let trimmed = text.trim_matches(|c: char| c <= ' ');
        let special = match trimmed.trim_start_matches(['+', '-']) {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(if trimmed.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
            _ => None,
        };
        let digits = trimmed.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(trimmed);
        let numeric = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'e' | b'E' | b'+' | b'-'));
        let number = special.or_else(|| digits.parse::<f64>().ok().filter(|_| numeric && !digits.is_empty()));
        number.map_or_else(|| Value::Text(text.to_owned()), Value::Float)
    }

    /// Keys in their order, `[n]` as lists, and dots as they were.
    fn sorted(map: Map) -> Result<Map, Faults> {
        let mut entries: Vec<(String, Value)> = map.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        let order = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        entries.sort_by_key(|(key, _)| order(key));
        let mut plain: Vec<(String, Value)> = Vec::new();
        let mut lists: indexmap::IndexMap<String, Vec<Value>> = indexmap::IndexMap::new();
        for (key, value) in entries {
            let value = match value {
                Value::Map(inner) => Value::Map(sorted(inner)?),
                Value::Text(text) => reread(&text).to_value(),
                other => other,
            };
            let Some((label, index)) = indexed(&key) else {
                plain.push((key, value));
                continue;
            };
            let index = index.parse::<usize>().ok().filter(|index| *index <= MAX_INDEX);
            let index =
                index.ok_or_else(|| faulty(format!("the index in `{}` is beyond {MAX_INDEX}", opened(&key))))?;
            let items = lists.entry(label.to_owned()).or_default();
            while items.len() < index {
                items.push(Value::Null);
            }
            items.insert(index, value);
        }
        for (label, items) in lists {
            plain.retain(|(key, _)| *key != label);
            plain.push((label, Value::List(items)));
        }
        plain.sort_by_key(|(key, _)| order(key));
        Ok(plain.into_iter().map(|(key, value)| (reread(&key), value)).collect())
    }

    /// The last `NAME[n]` in a key; what follows it is lost.
    fn indexed(key: &str) -> Option<(&str, &str)> {
        key.rmatch_indices('[').find_map(|(start, _)| {
            let rest = &key[start + 1..];
            let digits = &rest[..rest.find(']')?];
            (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((&key[..start], digits))
        })
    }

    /// A text that is written plain while its dots are protected is read again with them, and may then be a number.
    fn reread(text: &str) -> Key {
        let own = Key::Text(opened(text));
        if !text.contains(DOT) && !text.contains('.') {
            return own;
        }
        let document = Value::Map([(Key::text("k"), Value::Text(text.to_owned()))].into_iter().collect());
        let written = yaml::dump(&document, Layout::Block, Generation::One);
        if written != format!("k: {text}\n") {
            return own;
        }
        resolve_plain(&opened(text), Generation::One).into_key().unwrap_or(own)
    }
}
