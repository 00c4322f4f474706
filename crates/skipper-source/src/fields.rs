//! Reading a document key by key, with every fault gathered.
//!
//! A [`Fields`] remembers which keys were asked for; what is left over at the end is unknown, and named with the nearest
//! key that is not.

use std::cell::RefCell;

use serde_json::Value;

use crate::{
    finding::{Finding, Findings, Position, Severity},
    nearest::suggestion,
    yaml::{Content, Entry, Node, shorten},
};

/// The file that is read and what was found in it.
pub(crate) struct Document<'a> {
    file: &'a str,
    unknown: Severity,
    findings: RefCell<Findings>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self { file, unknown: Severity::Error, findings: RefCell::new(Findings::new()) }
    }

    /// A document whose author had another program in mind: keys that are not known are only warned of.
    pub(crate) fn lenient(file: &'a str) -> Self {
        Self { unknown: Severity::Warning, ..Self::new(file) }
    }

    pub(crate) fn into_findings(self) -> Findings {
        self.findings.into_inner()
    }

    pub(crate) fn push(&self, finding: Finding, at: Position, path: &str) {
        self.findings.borrow_mut().push(finding.in_file(self.file).at(at).path(path));
    }
}

/// A value in a document, and the path to it.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    pub(crate) doc: &'a Document<'a>,
    pub(crate) path: String,
    pub(crate) node: &'a Node,
}

impl<'a> Field<'a> {
    pub(crate) const fn root(doc: &'a Document<'a>, node: &'a Node) -> Self {
        Self { doc, path: String::new(), node }
    }

    /// Notes an error at this place.
    pub(crate) fn error(&self, code: &'static str, message: impl Into<String>) {
        self.doc.push(Finding::error(code, message), self.node.at, &self.path);
    }

    /// Notes an error with what to do about it.
    pub(crate) fn error_hint(&self, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.doc.push(Finding::error(code, message).hint(hint.into()), self.node.at, &self.path);
    }

    pub(crate) fn warning(&self, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.doc.push(Finding::warning(code, message).hint(hint.into()), self.node.at, &self.path);
    }

    /// The error of a value of the wrong kind.
    pub(crate) fn expected<T>(&self, what: &str) -> Option<T> {
        self.error("value-kind", format!("must be {what}, and is {}", self.shown()));
        None
    }

    fn shown(&self) -> String {
        match &self.node.content {
            Content::Scalar(Value::String(text)) => format!("the text `{}`", shorten(text)),
            Content::Scalar(Value::Null) => "empty".to_owned(),
            Content::Scalar(value) => format!("`{value}`"),
            Content::List(_) | Content::Map(_) => self.node.kind().to_owned(),
        }
    }

    pub(crate) const fn scalar(&self) -> Option<&'a Value> {
        match &self.node.content {
            Content::Scalar(value) => Some(value),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// Text; a number or truth value is taken as the text it was written as.
    pub(crate) fn text(&self) -> Option<String> {
        match self.scalar().and_then(crate::yaml::display) {
            Some(text) if text.contains('\0') => {
                self.error("value-invalid", "holds a NUL character");
                None
            }
            Some(text) => Some(text),
            None => self.expected("text"),
        }
    }

    /// Text of at most `max` bytes that is not empty.
    pub(crate) fn short_text(&self, max: usize) -> Option<String> {
        let text = self.text()?;
        if text.is_empty() || text.len() > max {
            self.error("value-invalid", format!("must have 1 to {max} bytes, and has {}", text.len()));
            return None;
        }
        Some(text)
    }

    /// Text of a type that checks itself.
    pub(crate) fn parsed<T, E: std::fmt::Display>(&self, parse: impl FnOnce(String) -> Result<T, E>) -> Option<T> {
        parse(self.text()?).map_err(|error| self.error("value-invalid", error.to_string())).ok()
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.scalar() {
            Some(Value::Bool(truth)) => Some(*truth),
            _ => self.expected("true or false"),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&self, min: u64, max: u64) -> Option<u64> {
        match self.scalar().and_then(Value::as_u64).filter(|n| (min..=max).contains(n)) {
            Some(number) => Some(number),
            None => self.expected(&format!("a whole number from {min} to {max}")),
        }
    }

    /// A whole number that fits 32 bits.
    pub(crate) fn whole32(&self, min: u32, max: u32) -> Option<u32> {
        self.whole(min.into(), max.into()).and_then(|n| u32::try_from(n).ok())
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.whole(1, 65535).and_then(|n| u16::try_from(n).ok())
    }

    /// The items of a list of at most `max`.
    pub(crate) fn items(&self, max: usize) -> Vec<Field<'a>> {
        let Content::List(items) = &self.node.content else {
            self.expected::<()>("a list");
            return Vec::new();
        };
        if items.len() > max {
            self.error("value-invalid", format!("holds {} items, and at most {max} are allowed", items.len()));
            return Vec::new();
        }
        let item = |(index, node)| Field { doc: self.doc, path: format!("{}[{index}]", self.path), node };
        items.iter().enumerate().map(item).collect()
    }

    /// A list of texts.
    pub(crate) fn texts(&self, max: usize, max_bytes: usize) -> Vec<String> {
        let text = |item: &Field<'_>| {
            let text = item.text()?;
            if text.len() > max_bytes {
                item.error("value-invalid", format!("longer than {max_bytes} bytes"));
                return None;
            }
            Some(text)
        };
        self.items(max).iter().filter_map(text).collect()
    }

    /// The entries of a map, in order, whatever their keys.
    pub(crate) fn entries(&self, max: usize) -> Vec<(&'a str, Field<'a>)> {
        let Content::Map(entries) = &self.node.content else {
            self.expected::<()>("a map");
            return Vec::new();
        };
        if entries.len() > max {
            self.error("value-invalid", format!("holds {} entries, and at most {max} are allowed", entries.len()));
            return Vec::new();
        }
        entries.iter().map(|e| (e.key.as_str(), self.child(&e.key, &e.value))).collect()
    }

    fn child(&self, key: &str, node: &'a Node) -> Field<'a> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Field { doc: self.doc, path, node }
    }

    /// A map whose keys are known.
    pub(crate) fn fields(&self) -> Option<Fields<'a>> {
        match &self.node.content {
            Content::Map(entries) => Some(Fields { field: self.clone(), entries, known: Vec::new() }),
            Content::Scalar(_) | Content::List(_) => self.expected("a map"),
        }
    }
}

/// Most unknown keys of one map that are named.
const MAX_UNKNOWN: usize = 20;

/// A map whose keys are known.
pub(crate) struct Fields<'a> {
    pub(crate) field: Field<'a>,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The value of a key; nothing when it is not there or empty.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|e| e.key == key && !e.value.is_null())?;
        Some(self.field.child(key, &entry.value))
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&mut self, key: &'static str) -> Option<Field<'a>> {
        let found = self.get(key);
        if found.is_none() {
            self.field.error("key-missing", format!("`{key}` is missing"));
        }
        found
    }

    /// Names every key that was not asked for.
    pub(crate) fn finish(self) {
        for entry in self.entries.iter().filter(|e| !self.known.contains(&e.key.as_str())).take(MAX_UNKNOWN) {
            let hint = suggestion(&entry.key, self.known.iter().copied());
            let mut finding =
                Finding::error("key-unknown", format!("unknown key `{}`", shorten(&entry.key))).hint(hint);
            finding.severity = self.field.doc.unknown;
            self.field.doc.push(finding, entry.at, &self.field.path);
        }
    }
}
