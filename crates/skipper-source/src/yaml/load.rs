//! From text to nodes, within bounds.

use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span, Tag};
use serde_json::Value;

use super::{
    Slots,
    node::{Content, Entry, Node},
    scalar::{resolve_plain, resolve_tagged, shorten},
};
use crate::finding::{Faults, Finding, Position};

/// Longest text that is read.
const MAX_BYTES: usize = 4 << 20;
/// Most memory a text may unfold to, roughly; aliases multiply.
const MAX_WEIGHT: usize = 32 << 20;
/// Deepest nesting. Real documents have ten levels.
const MAX_DEPTH: usize = 64;
/// Most documents in one text.
const MAX_DOCUMENTS: usize = 1000;
/// Longest key, in characters.
const MAX_KEY: usize = 512;
/// How far the parser looks for the colon after a key: a key of [`MAX_KEY`] characters, each escaped with ten.
const KEY_LOOKAHEAD: usize = 10 * MAX_KEY + 16;

/// A text that is to be read.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Its name in messages.
    pub file: &'a str,
    /// The text.
    pub text: &'a str,
    /// The values behind its tokens.
    pub slots: Option<&'a Slots>,
    /// Where a place in the text was written, when the text was made from another one.
    pub origin: Option<&'a dyn Fn(Position) -> Position>,
}

impl<'a> Input<'a> {
    /// A text as it was written.
    #[must_use]
    pub fn plain(file: &'a str, text: &'a str) -> Self {
        Self { file, text, slots: None, origin: None }
    }
}

/// Reads all documents of a text; empty ones are left out.
///
/// # Errors
///
/// The first fault, with its place: bad syntax, a duplicate key, an unknown tag, a bound that is broken.
pub fn read(input: Input<'_>) -> Result<Vec<Node>, Faults> {
    Loader::new(input).run().map_err(|fault| Faults::one(*fault))
}

/// Reads a text of at most one document; nothing but comments gives `None`.
///
/// # Errors
///
/// As [`read`], and for a second document.
pub fn read_one(input: Input<'_>) -> Result<Option<Node>, Faults> {
    let mut documents = read(input)?;
    match documents.get(1) {
        Some(second) => {
            Err(Finding::error("yaml-documents", "this file holds one document, and here a second one begins")
                .in_file(input.file)
                .at(second.at)
                .into())
        }
        None => Ok(documents.pop()),
    }
}

/// Boxed because it is larger than what it accompanies and rare.
type Fault = Box<Finding>;

enum Frame {
    List { at: Position, anchor: usize, items: Vec<Node> },
    Map { at: Position, anchor: usize, map: OpenMap },
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    seen: HashSet<String>,
    key: Option<Key>,
    /// Values of `<<`.
    merges: Vec<Node>,
}

struct Key {
    text: String,
    at: Position,
    /// An unquoted `<<`.
    merge: bool,
}

struct Loader<'a> {
    input: Input<'a>,
    stack: Vec<Frame>,
    /// Finished anchored nodes with their weight.
    anchors: HashMap<usize, (Node, usize)>,
    weight: usize,
    documents: Vec<Node>,
}

impl<'a> Loader<'a> {
    fn new(input: Input<'a>) -> Self {
        Self { input, stack: Vec::new(), anchors: HashMap::new(), weight: 0, documents: Vec::new() }
    }

    fn run(mut self) -> Result<Vec<Node>, Fault> {
        if self.input.text.len() > MAX_BYTES {
            return Err(self.fault(START, "yaml-size", format!("the text is longer than {} MiB", MAX_BYTES >> 20)));
        }
        let mut options = granit_parser::Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        options.simple_key_max_lookahead = KEY_LOOKAHEAD;
        for event in Parser::new_from_str_with_options(self.input.text, options) {
            let (event, span) = event.map_err(|error| {
                let at = self.origin(error.marker());
                if *error.kind() == ErrorKind::RecursionLimitExceeded {
                    return self.too_deep(at);
                }
                self.fault(at, "yaml-syntax", format!("not valid YAML: {}", error.info()))
            })?;
            self.event(event, span)?;
        }
        Ok(self.documents)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = self.origin(&span.start);
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let merge = style == ScalarStyle::Plain && text == MERGE;
                let node = self.scalar(&text, style, tag.as_deref(), at)?;
                self.value(node, anchor, merge)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", at)?;
                self.open(Frame::List { at, anchor, items: Vec::new() })?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", at)?;
                self.open(Frame::Map { at, anchor, map: OpenMap::default() })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(id) => {
                let Some((node, weight)) = self.anchors.get(&id) else {
                    return Err(self.fault(at, "yaml-alias", "an alias refers to the node that it is in"));
                };
                let (mut node, weight) = (node.clone(), *weight);
                node.at = at;
                self.spend(weight, at)?;
                self.value(node, 0, false)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame) -> Result<(), Fault> {
        let (Frame::List { at, .. } | Frame::Map { at, .. }) = &frame;
        let at = *at;
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        if let Some(Frame::Map { map: OpenMap { key: None, .. }, .. }) = self.stack.last() {
            return Err(self.fault(at, "yaml-key", "a list or map cannot be a key"));
        }
        self.spend(48, at)?;
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        match self.stack.pop() {
            Some(Frame::List { at, anchor, items }) => {
                self.value(Node { at, content: Content::List(items) }, anchor, false)
            }
            Some(Frame::Map { at, anchor, map }) => {
                let entries = self.merged(map)?;
                self.value(Node { at, content: Content::Map(entries) }, anchor, false)
            }
            None => Ok(()),
        }
    }

    /// The entries of a map with what its `<<` bring; its own keys come first and win.
    fn merged(&self, map: OpenMap) -> Result<Vec<Entry>, Fault> {
        let OpenMap { mut entries, mut seen, merges, .. } = map;
        for merge in merges {
            let sources = match merge.content {
                Content::List(items) => items,
                other => vec![Node { at: merge.at, content: other }],
            };
            for source in sources {
                let Content::Map(more) = source.content else {
                    return Err(self.fault(merge.at, "yaml-merge", "`<<` takes a map or a list of maps"));
                };
                entries.extend(more.into_iter().filter(|entry| seen.insert(entry.key.clone())));
            }
        }
        Ok(entries)
    }

    /// A finished node finds its place.
    fn value(&mut self, node: Node, anchor: usize, merge: bool) -> Result<(), Fault> {
        let at = node.at;
        if anchor != 0 {
            let weight = node.weight();
            self.anchors.insert(anchor, (node.clone(), weight));
            self.spend(weight, at)?;
        }
        match self.stack.last_mut() {
            None => {
                if self.documents.len() == MAX_DOCUMENTS {
                    return Err(self.fault(at, "yaml-documents", format!("more than {MAX_DOCUMENTS} documents")));
                }
                if !node.is_null() {
                    self.documents.push(node);
                }
            }
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { map, .. }) => match map.key.take() {
                Some(key) if key.merge => map.merges.push(node),
                Some(key) => map.entries.push(Entry { key: key.text, at: key.at, value: node }),
                None => {
                    let Content::Scalar(Value::String(text)) = node.content else {
                        return Err(self.fault(at, "yaml-key", "a list or map cannot be a key"));
                    };
                    if text.chars().count() > MAX_KEY {
                        return Err(self.fault(at, "yaml-key", format!("a key is longer than {MAX_KEY} characters")));
                    }
                    if !merge && !map.seen.insert(text.clone()) {
                        let first = map.entries.iter().find(|e| e.key == text).map(|e| e.at.line);
                        let first = first.map(|line| format!("; it is first set in line {line}")).unwrap_or_default();
                        let message = format!("the key `{}` is set twice{first}", shorten(&text));
                        return Err(self.fault(at, "yaml-duplicate-key", message));
                    }
                    map.key = Some(Key { text, at, merge });
                }
            },
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<Node, Fault> {
        let plain = style == ScalarStyle::Plain;
        let is_key = matches!(self.stack.last(), Some(Frame::Map { map: OpenMap { key: None, .. }, .. }));
        self.spend(48 + text.len(), at)?;
        let filled = match self.input.slots {
            Some(slots) if Slots::is_reserved(text) => {
                let typed = plain && tag.is_none() && !is_key;
                slots.fill(text, typed).map_err(|e| self.fault(at, "template-value", e.to_string()))?
            }
            _ => None,
        };
        if let Some(value) = filled {
            let node = Node::from_value(value, at);
            self.spend(node.weight(), at)?;
            let value = match (tag, &node.content) {
                (Some(tag), Content::Scalar(Value::String(text))) => self.tagged(tag, text, at)?,
                _ => return Ok(node),
            };
            return Ok(Node { at, content: Content::Scalar(value) });
        }
        let value = match tag {
            _ if is_key => Value::String(text.to_owned()),
            Some(tag) => self.tagged(tag, text, at)?,
            None if plain => resolve_plain(text),
            None => Value::String(text.to_owned()),
        };
        Ok(Node { at, content: Content::Scalar(value) })
    }

    fn tagged(&self, tag: &Tag, text: &str, at: Position) -> Result<Value, Fault> {
        match tag.core_suffix() {
            Some(core) => resolve_tagged(core, text).map_err(|message| self.fault(at, "yaml-tag", message)),
            // A lone `!` says: not to be interpreted.
            None if tag.handle().is_empty() && tag.suffix() == "!" => Ok(Value::String(text.to_owned())),
            None => Err(self.unknown_tag(tag, at)),
        }
    }

    fn collection_tag(&self, tag: Option<&Tag>, expected: &str, at: Position) -> Result<(), Fault> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(expected) => Err(self.unknown_tag(tag, at)),
            _ => Ok(()),
        }
    }

    fn too_deep(&self, at: Position) -> Fault {
        self.fault(at, "yaml-depth", format!("nested deeper than {MAX_DEPTH} levels"))
    }

    fn unknown_tag(&self, tag: &Tag, at: Position) -> Fault {
        self.fault(at, "yaml-tag", format!("the tag {} is not supported", shorten(&tag.original())))
    }

    fn spend(&mut self, weight: usize, at: Position) -> Result<(), Fault> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > MAX_WEIGHT {
            let message = format!("the document unfolds to more than {} MiB; aliases multiply", MAX_WEIGHT >> 20);
            return Err(self.fault(at, "yaml-size", message));
        }
        Ok(())
    }

    /// Where the author wrote what the parser met at `marker`.
    fn origin(&self, marker: &Marker) -> Position {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let at = Position { line: number(marker.line()), column: number(marker.col().saturating_add(1)) };
        self.input.origin.map_or(at, |origin| origin(at))
    }

    fn fault(&self, at: Position, code: &'static str, message: impl Into<String>) -> Fault {
        Box::new(Finding::error(code, message).in_file(self.input.file).at(at))
    }
}

/// The key that brings in another map's entries.
const MERGE: &str = "<<";
const START: Position = Position { line: 1, column: 1 };
