//! What a name stands for in one context.

use std::{borrow::Cow, fmt};

use crate::classic::{
    java::Moment,
    value::{Key, Map, Value},
};

/// Something that a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Item<'a> {
    /// A value.
    Value(Cow<'a, Value>),
    /// `map.entrySet`.
    Entries(&'a Map),
    /// One of them.
    Entry(&'a Key, &'a Value),
}

/// As `String.valueOf` has it.
impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Entry(key, value) => write!(f, "{key}={value}"),
            Self::Entries(map) => {
                f.write_str("[")?;
                for (index, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}={value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl<'a> Item<'a> {
    pub(super) const fn of(value: &'a Value) -> Self {
        Self::Value(Cow::Borrowed(value))
    }

    pub(super) fn made(value: impl Into<Value>) -> Self {
        Self::Value(Cow::Owned(value.into()))
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Value(value) if matches!(**value, Value::Null))
    }

    /// What a name stands for in this context; `None` when it means nothing here.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        match self {
            Self::Entry(key, value) => match name {
                "key" | "getKey" => Some(Self::made(key.to_value())),
                "value" | "getValue" => Some(Self::of(value)),
                _ => None,
            },
            Self::Entries(map) => match name {
                "size" => Some(Self::made(map.len())),
                "empty" | "isEmpty" => Some(Self::made(map.is_empty())),
                _ => None,
            },
            Self::Value(Cow::Borrowed(Value::Map(map))) => match map.get(&Key::text(name)) {
                Some(value) => Some(Self::of(value)),
                None => (name == "entrySet").then_some(Self::Entries(map)),
            },
            Self::Value(Cow::Borrowed(Value::List(items))) => match name {
                "size" => Some(Self::made(items.len())),
                "empty" | "isEmpty" => Some(Self::made(items.is_empty())),
                "toString" => Some(Self::made(self.to_string())),
                _ if name.starts_with(|c: char| c.is_ascii_digit()) => {
                    items.get(name.parse::<usize>().ok()?).map(Self::of)
                }
                _ => None,
            },
            Self::Value(value) => of_scalar(value, name).map(Self::made),
        }
    }
}

/// Longest text that has methods: they go through all of it, at each turn of a section.
const MAX_TEXT: usize = 4096;

/// The methods of a value without parts that take nothing and give something a text can show.
fn of_scalar(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Text(text) if text.len() <= MAX_TEXT => Some(match name {
            "length" => text.encode_utf16().count().into(),
            "empty" | "isEmpty" => text.is_empty().into(),
            "blank" | "isBlank" => text.trim().is_empty().into(),
            "trim" => text.trim_matches(|c: char| c <= ' ').to_owned().into(),
            "strip" => text.trim().to_owned().into(),
            "toUpperCase" => text.to_uppercase().into(),
            "toLowerCase" => text.to_lowercase().into(),
            "toString" | "intern" => value.clone(),
            _ => return None,
        }),
        Value::Date(millis) => {
            let moment = Moment::of(*millis);
            Some(Value::Int(match name {
                "time" | "getTime" => *millis,
                "year" | "getYear" => moment.year - 1900,
                "month" | "getMonth" => moment.month - 1,
                "date" | "getDate" => moment.day,
                "hours" | "getHours" => moment.hour,
                "minutes" | "getMinutes" => moment.minute,
                "seconds" | "getSeconds" => moment.second,
                "toString" => return Some(value.to_string().into()),
                _ => return None,
            }))
        }
        Value::Bool(_) if name == "booleanValue" => Some(value.clone()),
        Value::Bool(_) | Value::Int(_) | Value::Big(_) | Value::Float(_) if name == "toString" => {
            Some(value.to_string().into())
        }
        Value::Int(_) if matches!(name, "intValue" | "longValue") => Some(value.clone()),
        Value::Float(_) if name == "doubleValue" => Some(value.clone()),
        _ => None,
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
