//! Values as the Java libraries of the field have them: YAML 1.1 types, maps in the order of insertion or of a hash table.

use std::fmt::{self, Write as _};

use indexmap::IndexMap;
use serde_json::Number;

use super::{double, java};

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number of at most 64 bits.
    Int(i64),
    /// A longer one, as decimal digits with a sign where it is negative.
    Big(String),
    /// A floating-point number.
    Float(f64),
    /// A moment, in milliseconds since 1970.
    Date(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// A map.
    Map(Map),
}

/// A map; keys are unique.
pub type Map = IndexMap<Key, Value>;

/// A key: a scalar, since lists and maps are refused as keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A long one.
    Big(String),
    /// The bits of a floating-point number.
    Float(u64),
    /// A moment.
    Date(i64),
    /// Text.
    Text(String),
}

impl Key {
    /// A key of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(whole) => Value::Int(*whole),
            Self::Big(digits) => Value::Big(digits.clone()),
            Self::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Self::Date(millis) => Value::Date(*millis),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }
}

/// As `String.valueOf` has it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            other => other.to_value().fmt(f),
        }
    }
}

impl Value {
    /// As a key, where it can be one.
    #[must_use]
    pub fn into_key(self) -> Option<Key> {
        Some(match self {
            Self::Null => Key::Null,
            Self::Bool(truth) => Key::Bool(truth),
            Self::Int(whole) => Key::Int(whole),
            Self::Big(digits) => Key::Big(digits),
            Self::Float(number) => Key::Float(number.to_bits()),
            Self::Date(millis) => Key::Date(millis),
            Self::Text(text) => Key::Text(text),
            Self::Bytes(_) | Self::List(_) | Self::Map(_) => return None,
        })
    }

    /// The map, where it is one.
    #[must_use]
    pub const fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value of a key of text, where this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(&Key::text(key))
    }

    /// A text that is the same for values that Java's `equals` calls equal: maps without regard to their order, numbers by type
    /// and bits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Null => "n".to_owned(),
            Self::Bool(truth) => format!("b{truth}"),
            Self::Int(_) | Self::Big(_) => format!("i{self}"),
            Self::Float(number) => format!("f{}", number.to_bits()),
            Self::Date(millis) => format!("d{millis}"),
            Self::Text(text) => format!("t{}:{text}", text.len()),
            Self::Bytes(bytes) => format!("x{bytes:?}"),
            Self::List(items) => format!("[{}]", items.iter().map(|item| item.fingerprint() + ",").collect::<String>()),
            Self::Map(map) => {
                let entry =
                    |(key, value): (&Key, &Self)| format!("{}={},", key.to_value().fingerprint(), value.fingerprint());
                let mut entries: Vec<String> = map.iter().map(entry).collect();
                entries.sort_unstable();
                format!("{{{}}}", entries.concat())
            }
        }
    }

    /// From JSON, which is how values come that nobody wrote as YAML.
    #[must_use]
    pub fn from_json(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Bool(*truth),
            serde_json::Value::Number(number) => from_number(number),
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(map) => {
                Self::Map(map.iter().map(|(key, value)| (Key::text(key), Self::from_json(value))).collect())
            }
        }
    }

    /// To JSON, for people: dates, bytes and numbers that JSON has not become text.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(truth) => (*truth).into(),
            Self::Int(whole) => (*whole).into(),
            Self::Float(number) => {
                Number::from_f64(*number).map_or_else(|| self.to_string().into(), serde_json::Value::Number)
            }
            Self::Big(_) | Self::Date(_) | Self::Text(_) | Self::Bytes(_) => self.to_string().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(map) => {
                serde_json::Value::Object(map.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect())
            }
        }
    }
}

fn from_number(number: &Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::Int(whole);
    }
    if number.is_u64() {
        return Value::Big(number.to_string());
    }
    Value::Float(number.as_f64().unwrap_or_default())
}

/// As `String.valueOf` has it: `[a, b]`, `{a=1}`, `Mon Oct 30 00:00:00 UTC 2017`, `1000.0`. Bytes, whose text is an address
/// in Java, are shown as the text they hold.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Int(whole) => whole.fmt(f),
            Self::Big(text) | Self::Text(text) => f.write_str(text),
            Self::Float(number) => f.write_str(&double::text(*number)),
            Self::Date(millis) => f.write_str(&java::date_text(*millis)),
            Self::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::List(items) => {
                f.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_char(']')
            }
            Self::Map(map) => {
                f.write_char('{')?;
                for (index, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}={value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_char('}')
            }
        }
    }
}
