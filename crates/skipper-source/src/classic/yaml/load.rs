//! From text to values, within bounds.

use std::{borrow::Cow, collections::HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{Generation, emit::is_break, resolve};
use crate::{
    classic::value::{Key, Map, Value},
    finding::{Faults, Finding, Position},
    yaml::shorten,
};

/// Longest text that is read.
const MAX_BYTES: usize = 4 << 20;
/// Most memory a text may unfold to, roughly; aliases multiply.
const MAX_WEIGHT: usize = 32 << 20;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Most documents in one text.
const MAX_DOCUMENTS: usize = 1000;
/// What `!!` stands for.
const NAMESPACE: &str = "tag:yaml.org,2002:";
/// How far the parser looks for the colon after a key.
const KEY_LOOKAHEAD: usize = 1024;

/// What scalars become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// What they are by YAML 1.1.
    Typed(Generation),
    /// The text they were written as, and nothing where nothing was written: how documents and metadata are read into
    /// fields of text.
    Text,
}

/// Reads a text of at most one document; nothing but comments gives [`Value::Null`].
///
/// # Errors
///
/// The first fault, with its place: bad syntax, a tag that names a Java class, a second document, a bound that is broken.
pub fn load(file: &str, text: &str, typing: Typing) -> Result<Value, Faults> {
    let mut documents = load_all(file, text, typing)?;
    if documents.len() > 1 {
        let message = "this holds one document, and here is more than one";
        return Err(Finding::error("yaml-documents", message).in_file(file).into());
    }
    Ok(documents.pop().unwrap_or(Value::Null))
}

/// Reads all documents of a text; an empty one is [`Value::Null`].
///
/// # Errors
///
/// As [`load`].
pub fn load_all(file: &str, text: &str, typing: Typing) -> Result<Vec<Value>, Faults> {
    Loader { file, text, typing, stack: Vec::new(), anchors: HashMap::new(), weight: 0, documents: Vec::new() }
        .run()
        .map_err(|fault| Faults::one(*fault))
}

type Fault = Box<Finding>;

enum Frame {
    List { anchor: usize, tag: Collection, items: Vec<Value> },
    Map { anchor: usize, tag: Collection, map: OpenMap },
}

/// What a list or map is to become.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Collection {
    Plain,
    /// `!!set`: a map without values.
    Set,
    /// `!!omap`: a list of maps of one entry, which is one map.
    Ordered,
    /// `!!pairs`: the same, which is a list of lists of key and value.
    Pairs,
}

#[derive(Default)]
struct OpenMap {
    /// In the order of the text; `None` as a key stands for `<<`.
    entries: Vec<(Option<Key>, Value)>,
    key: Option<Option<Key>>,
}

struct Loader<'a> {
    file: &'a str,
    text: &'a str,
    typing: Typing,
    stack: Vec<Frame>,
    /// Finished anchored values with their weight.
    anchors: HashMap<usize, (Value, usize)>,
    weight: usize,
    documents: Vec<Value>,
}

impl Loader<'_> {
    fn run(mut self) -> Result<Vec<Value>, Fault> {
        let start = Position { line: 1, column: 1 };
        let text = self.text;
        if text.len() > MAX_BYTES {
            return Err(self.fault(start, "yaml-size", format!("the text is longer than {} MiB", MAX_BYTES >> 20)));
        }
        let mut options = granit_parser::Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        options.simple_key_max_lookahead = KEY_LOOKAHEAD;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| {
                let at = position(error.marker());
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
        let at = position(&span.start);
        if let Event::Scalar(_, _, 1.., _) | Event::SequenceStart(_, 1.., _) | Event::MappingStart(_, 1.., _) = event {
            self.check_anchor(span.start.byte_offset().unwrap_or(0), at)?;
        }
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                self.spend(48 + text.len(), at)?;
                if plain && text == "<<" && tag.is_none() && self.wants_key() {
                    return self.merge_key(at);
                }
                if self.typing != Typing::Text && !text.is_empty() {
                    self.check_blank(span.start.byte_offset().unwrap_or(0), at)?;
                }
                let value = self.scalar(&text, plain, tag.as_deref(), at)?;
                self.value(value, anchor, at)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = self.collection(tag.as_deref(), "seq", at)?;
                self.open(Frame::List { anchor, tag, items: Vec::new() }, at)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                let tag = self.collection(tag.as_deref(), "map", at)?;
                self.open(Frame::Map { anchor, tag, map: OpenMap::default() }, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at)?,
            Event::Alias(id) => {
                let Some((value, weight)) = self.anchors.get(&id) else {
                    return Err(self.fault(at, "yaml-alias", "an alias refers to the node that it is in"));
                };
                let (value, weight) = (value.clone(), *weight);
                self.spend(weight, at)?;
                self.value(value, 0, at)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses a tab before a scalar, as the readers of the field do.
    fn check_blank(&self, scalar: usize, at: Position) -> Result<(), Fault> {
        let before = self.text.get(..scalar).unwrap_or_default();
        if before.chars().rev().take_while(|c| matches!(c, ' ' | '\t')).any(|c| c == '\t') {
            return Err(self.fault(at, "yaml-syntax", "a tab cannot stand before a value; use blanks"));
        }
        Ok(())
    }

    /// Checks the name of the anchor before a node by the rule of the field, which knows fewer names. It matters: a value that
    /// was escaped for HTML and not quoted begins with `&lt;` or the like, and would be lost as the name of an anchor.
    fn check_anchor(&self, node: usize, at: Position) -> Result<(), Fault> {
        let Some(text) = self.text.get(..node) else { return Ok(()) };
        let opens = |before: Option<char>| before.is_none_or(|c| c.is_whitespace() || matches!(c, '[' | '{' | ','));
        let name = text
            .rmatch_indices('&')
            .find(|(start, _)| opens(text[..*start].chars().next_back()))
            .map(|(start, _)| &self.text[start + 1..]);
        let Some(name) = name else { return Ok(()) };
        let ends = |c: char| matches!(c, '\0' | ' ' | '\t' | '\r') || is_break(c);
        let fits = |c: char| match self.typing {
            Typing::Typed(Generation::One) => c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
            _ => !ends(c) && !matches!(c, ':' | ',' | '[' | ']' | '{' | '}' | '/' | '.' | '*' | '&'),
        };
        let after = name.trim_start_matches(fits).chars().next();
        let closed = after.is_none_or(|c| ends(c) || matches!(c, '?' | ',' | ']' | '}' | '%' | '@' | '`'));
        if name.starts_with(fits) && closed {
            return Ok(());
        }
        let name = shorten(name.split(char::is_whitespace).next().unwrap_or_default());
        let hint =
            "put quotes around a value that begins with `&`; templates escape `<`, `>`, `'` and the like to that"
                .to_owned();
        let fault = self.fault(at, "yaml-syntax", format!("`&{name}` is not the name of an anchor"));
        Err(Box::new(Finding { hint: Some(hint), ..*fault }))
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Map { map: OpenMap { key: None, .. }, .. }))
    }

    fn merge_key(&mut self, at: Position) -> Result<(), Fault> {
        match self.stack.last_mut() {
            Some(Frame::Map { map, .. }) => {
                map.key = Some(None);
                Ok(())
            }
            _ => Err(self.fault(at, "yaml-merge", "`<<` is a key of a map")),
        }
    }

    fn open(&mut self, frame: Frame, at: Position) -> Result<(), Fault> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        if self.wants_key() {
            return Err(self.fault(at, "yaml-key", "a list or map cannot be a key"));
        }
        self.spend(48, at)?;
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self, at: Position) -> Result<(), Fault> {
        match self.stack.pop() {
            Some(Frame::List { anchor, tag: tag @ (Collection::Ordered | Collection::Pairs), items }) => {
                let mut entries = Vec::with_capacity(items.len());
                for item in items {
                    match item {
                        Value::Map(one) if one.len() == 1 => entries.extend(one),
                        _ => {
                            let message = "!!omap and !!pairs are lists of maps of one entry each";
                            return Err(self.fault(at, "yaml-tag", message));
                        }
                    }
                }
                let value = if tag == Collection::Ordered {
                    Value::Map(entries.into_iter().collect())
                } else {
                    Value::List(
                        entries.into_iter().map(|(key, value)| Value::List(vec![key.to_value(), value])).collect(),
                    )
                };
                self.value(value, anchor, at)
            }
            Some(Frame::List { anchor, items, .. }) => self.value(Value::List(items), anchor, at),
            Some(Frame::Map { anchor, tag, map }) => {
                let map = self.finished(map, at)?;
                let value = match tag {
                    Collection::Set => Value::List(map.into_keys().map(|key| key.to_value()).collect()),
                    _ => Value::Map(map),
                };
                self.value(value, anchor, at)
            }
            None => Ok(()),
        }
    }

    /// Of equal keys the last one stays, at its own place. What `<<` brings stands where `<<` stands, and yields to the map's
    /// own keys.
    fn finished(&self, map: OpenMap, at: Position) -> Result<Map, Fault> {
        let mut last: HashMap<&Key, usize> = HashMap::new();
        for (index, (key, _)) in map.entries.iter().enumerate() {
            if let Some(key) = key {
                last.insert(key, index);
            }
        }
        let stays: Vec<bool> = map
            .entries
            .iter()
            .enumerate()
            .map(|(index, (key, _))| key.as_ref().is_none_or(|key| last.get(key) == Some(&index)))
            .collect();
        let mut whole = Map::new();
        for ((key, value), _) in map.entries.into_iter().zip(stays).filter(|(_, stays)| *stays) {
            if let Some(key) = key {
                whole.insert(key, value);
                continue;
            }
            let sources = match value {
                Value::List(items) => items,
                one => vec![one],
            };
            for source in sources {
                let Value::Map(more) = source else {
                    return Err(self.fault(at, "yaml-merge", "`<<` takes a map or a list of maps"));
                };
                for (key, value) in more {
                    whole.entry(key).or_insert(value);
                }
            }
        }
        Ok(whole)
    }

    /// A finished value finds its place.
    fn value(&mut self, value: Value, anchor: usize, at: Position) -> Result<(), Fault> {
        if anchor != 0 {
            let weight = weight(&value);
            self.anchors.insert(anchor, (value.clone(), weight));
            self.spend(weight, at)?;
        }
        match self.stack.last_mut() {
            None => {
                if self.documents.len() == MAX_DOCUMENTS {
                    return Err(self.fault(at, "yaml-documents", format!("more than {MAX_DOCUMENTS} documents")));
                }
                self.documents.push(value);
            }
            Some(Frame::List { items, .. }) => items.push(value),
            Some(Frame::Map { map, .. }) => match map.key.take() {
                Some(key) => map.entries.push((key, value)),
                None => match value.into_key() {
                    Some(key) => map.key = Some(Some(key)),
                    None => return Err(self.fault(at, "yaml-key", "a list, a map or bytes cannot be a key")),
                },
            },
        }
        Ok(())
    }

    fn scalar(&self, text: &str, plain: bool, tag: Option<&Tag>, at: Position) -> Result<Value, Fault> {
        let own = || Value::Text(text.to_owned());
        let Typing::Typed(generation) = self.typing else {
            return Ok(match self.core(tag, at)?.as_deref() {
                // Only the library of the second generation writes bytes, for text that it takes for unprintable.
                Some("binary") => {
                    self.bytes(text, at).map(|bytes| Value::Text(String::from_utf8_lossy(&bytes).into_owned()))?
                }
                Some("null") => Value::Null,
                Some(_) => own(),
                None if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
                None => own(),
            });
        };
        let wrong =
            |tag: &str| self.fault(at, "yaml-tag", format!("`{}` is not a value of type !!{tag}", shorten(text)));
        match self.core(tag, at)?.as_deref() {
            None if plain || tag.is_some() => Ok(resolve::plain(text, generation)),
            None | Some("str") => Ok(own()),
            Some("null") => Ok(Value::Null),
            Some("bool") => Ok(resolve::tagged_truth(text)),
            Some(tag @ "int") => resolve::tagged_whole(text).ok_or_else(|| wrong(tag)),
            Some(tag @ "float") => resolve::tagged_fraction(text).ok_or_else(|| wrong(tag)),
            Some(tag @ "timestamp") => resolve::moment(text).map(Value::Date).ok_or_else(|| wrong(tag)),
            Some("binary") => self.bytes(text, at).map(Value::Bytes),
            Some(other) => Err(self.unknown_tag(other, at)),
        }
    }

    fn bytes(&self, text: &str, at: Position) -> Result<Vec<u8>, Fault> {
        let digits: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        STANDARD.decode(digits).map_err(|_| self.fault(at, "yaml-tag", format!("`{}` is not base64", shorten(text))))
    }

    /// The part of a core tag behind `!!`; `None` for no tag and for a lone `!`.
    fn core<'t>(&self, tag: Option<&'t Tag>, at: Position) -> Result<Option<Cow<'t, str>>, Fault> {
        let Some(tag) = tag else { return Ok(None) };
        if tag.handle().is_empty() && tag.suffix() == "!" {
            return Ok(None);
        }
        tag.suffix_in_namespace(NAMESPACE).map(Some).ok_or_else(|| self.unknown_tag(&tag.original(), at))
    }

    fn collection(&self, tag: Option<&Tag>, expected: &str, at: Position) -> Result<Collection, Fault> {
        match self.core(tag, at)?.as_deref() {
            None => Ok(Collection::Plain),
            Some(core) if core == expected => Ok(Collection::Plain),
            Some("set") if expected == "map" => Ok(Collection::Set),
            Some("omap") if expected == "seq" => Ok(Collection::Ordered),
            Some("pairs") if expected == "seq" => Ok(Collection::Pairs),
            // The metadata that Java's own writer wrote; it stands at the top and says nothing more.
            Some(METADATA_TAG) if self.stack.is_empty() && self.typing == Typing::Text => Ok(Collection::Plain),
            Some(other) => Err(self.unknown_tag(other, at)),
        }
    }

    fn unknown_tag(&self, tag: &str, at: Position) -> Fault {
        let tag = shorten(tag);
        if tag.contains('.') {
            let message = format!("the tag `{tag}` names a Java class; Skipper makes no objects of what a file names");
            return Box::new(Finding {
                hint: Some("remove the tag".to_owned()),
                ..*self.fault(at, "yaml-tag", message)
            });
        }
        self.fault(at, "yaml-tag", format!("the tag `{tag}` is not supported"))
    }

    fn too_deep(&self, at: Position) -> Fault {
        self.fault(at, "yaml-depth", format!("nested deeper than {MAX_DEPTH} levels"))
    }

    fn spend(&mut self, weight: usize, at: Position) -> Result<(), Fault> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > MAX_WEIGHT {
            let message = format!("the document unfolds to more than {} MiB; aliases multiply", MAX_WEIGHT >> 20);
            return Err(self.fault(at, "yaml-size", message));
        }
        Ok(())
    }

    fn fault(&self, at: Position, code: &'static str, message: impl Into<String>) -> Fault {
        Box::new(Finding::error(code, message).in_file(self.file).at(at))
    }
}

/// What the tag of metadata says behind its `!!`.
pub(in crate::classic) const METADATA_TAG: &str = "org.springframework.cloud.skipper.domain.PackageMetadata";

fn position(marker: &Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(marker.line()), column: number(marker.col().saturating_add(1)) }
}

/// Roughly the bytes a value takes in memory.
fn weight(value: &Value) -> usize {
    48 + match value {
        Value::Text(text) | Value::Big(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| weight(&key.to_value()) + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Date(_) => 0,
    }
}
