//! Values that are put into a document after it was parsed.
//!
//! A template's values are never pasted into YAML text, where a colon, a quote, a `#` or a line break would change the
//! document. The template engine writes a *token* instead, two private-use characters around a number, and the reader
//! puts the value in its place when it meets the token inside a scalar:
//!
//! * a plain (unquoted) scalar that is one token and nothing else becomes the value itself, with its type; also a list or
//!   a map;
//! * anywhere else (beside other text, in quotes, in a block scalar, in a key) the value becomes text.

use serde_json::Value;

use super::node::{kind_of, weight_of};

/// Opens a token. From the last private-use plane, whose characters no font, icon set or text uses.
const OPEN: char = '\u{10FFF0}';
/// Closes a token.
const CLOSE: char = '\u{10FFF1}';
/// Most memory that the values of one document may take; the same map inserted in a long loop adds up.
const MAX_WEIGHT: usize = 16 << 20;

/// Values in the order of their tokens.
#[derive(Debug, Default)]
pub struct Slots {
    values: Vec<Value>,
    weight: usize,
}

/// Why a value cannot be inserted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// All values together are too large.
    #[error("the inserted values take more than {} MiB", MAX_WEIGHT >> 20)]
    TooLarge,
    /// A list or map beside text.
    #[error("{kind} cannot be part of a text; let the tag stand alone, without quotes, to insert it whole")]
    NotText {
        /// What it is.
        kind: &'static str,
    },
    /// A token that nobody made.
    #[error("the characters U+10FFF0 and U+10FFF1 are reserved and cannot be used here")]
    Reserved,
}

impl Slots {
    /// Without values.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: Vec::new(), weight: 0 }
    }

    /// Keeps a value and returns the token that stands for it.
    ///
    /// # Errors
    ///
    /// [`SlotError::TooLarge`] when all of them get too large.
    pub fn add(&mut self, value: Value) -> Result<String, SlotError> {
        self.weight = self.weight.saturating_add(weight_of(&value));
        if self.weight > MAX_WEIGHT {
            return Err(SlotError::TooLarge);
        }
        self.values.push(value);
        Ok(format!("{OPEN}{}{CLOSE}", self.values.len() - 1))
    }

    /// Whether a text holds a token or a part of one.
    #[must_use]
    pub fn is_reserved(text: &str) -> bool {
        // Both characters share their first three bytes in UTF-8; nearly every text lacks even the first of them.
        text.contains([OPEN, CLOSE])
    }

    /// The value of a scalar: `None` when it holds no token.
    pub(super) fn fill(&self, text: &str, plain: bool) -> Result<Option<Value>, SlotError> {
        if !Self::is_reserved(text) {
            return Ok(None);
        }
        if plain && let Some((value, "")) = self.token(text) {
            return Ok(Some(value.clone()));
        }
        self.fill_text(text).map(|text| Some(Value::String(text)))
    }

    /// The text with the text of every value in the place of its token.
    pub(super) fn fill_text(&self, text: &str) -> Result<String, SlotError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find([OPEN, CLOSE]) {
            out.push_str(&rest[..start]);
            let (value, after) = self.token(&rest[start..]).ok_or(SlotError::Reserved)?;
            out.push_str(&display(value).ok_or(SlotError::NotText { kind: kind_of(value) })?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The value of the token that `text` starts with, and what follows it.
    fn token<'t>(&self, text: &'t str) -> Option<(&Value, &'t str)> {
        let (digits, after) = text.strip_prefix(OPEN)?.split_once(CLOSE)?;
        Some((self.values.get(digits.parse::<usize>().ok()?)?, after))
    }
}

/// A scalar as text; nothing for null, lists and maps.
pub(crate) fn display(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
