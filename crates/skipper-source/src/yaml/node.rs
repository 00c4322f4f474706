//! A YAML document in memory, with the place of every part.

use serde_json::{Map, Value};

use crate::finding::Position;

/// Something in a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub at: Position,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Null, a truth value, a number or text; never a list or a map.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A map; keys are unique and in the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, as text.
    pub key: String,
    /// Where the key starts.
    pub at: Position,
    /// Its value.
    pub value: Node,
}

/// What a node costs beside its text. Bounds the number of nodes and their text with one number.
const NODE_WEIGHT: usize = 48;

impl Node {
    /// The node as JSON, keys in their order.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::to_value).collect(),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_value())).collect::<Map<_, _>>())
            }
        }
    }

    /// JSON as a node, all of it at one place.
    #[must_use]
    pub fn from_value(value: Value, at: Position) -> Self {
        let content = match value {
            Value::Array(items) => Content::List(items.into_iter().map(|item| Self::from_value(item, at)).collect()),
            Value::Object(map) => Content::Map(
                map.into_iter().map(|(key, value)| Entry { key, at, value: Self::from_value(value, at) }).collect(),
            ),
            scalar => Content::Scalar(scalar),
        };
        Self { at, content }
    }

    /// The value of a key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            Content::Scalar(_) | Content::List(_) => None,
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Value::Null))
    }

    /// What it is, as a word for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.content {
            Content::Scalar(value) => kind_of(value),
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    /// Roughly the bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        NODE_WEIGHT
            + match &self.content {
                Content::Scalar(Value::String(text)) => text.len(),
                Content::Scalar(_) => 0,
                Content::List(items) => items.iter().map(Self::weight).sum(),
                Content::Map(entries) => entries.iter().map(|e| e.key.len() + e.value.weight()).sum(),
            }
    }
}

/// What a value is, as a word for messages.
#[must_use]
pub(crate) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Roughly the bytes a value takes in memory, counted as [`Node::weight`] does.
pub(crate) fn weight_of(value: &Value) -> usize {
    NODE_WEIGHT
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight_of).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight_of(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// How deep lists and maps are nested: 0 for a scalar.
pub(crate) fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth_of).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
