//! Which value a name has, and what to say when it has none.

use serde_json::{Map, Value, json};

use super::ast::Name;
use crate::nearest::suggestion;

/// The values a template sees: a stack of contexts, innermost first.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    value: &'a Value,
    /// Index and length, where a list is gone through.
    place: Option<(usize, usize)>,
    outer: Option<&'a Scope<'a>>,
    /// Names that are declared, also those without a value.
    declared: Option<&'a Value>,
    /// Where the values stand among those that a user sets.
    prefix: &'a str,
}

/// What a name stands for.
pub(super) enum Found<'a> {
    /// A value of the scope.
    Value(&'a Value),
    /// A value made for the purpose: `-index`, `entrySet`.
    Made(Value),
    /// The name is known and has no value.
    Nothing,
    /// Nobody knows the name; with what may help.
    Unknown(Option<String>),
}

impl<'a> Scope<'a> {
    /// A scope of the merged values. `declared` holds the names that are known although they have no value.
    #[must_use]
    pub const fn new(values: &'a Value, declared: Option<&'a Value>) -> Self {
        Self { value: values, place: None, outer: None, declared, prefix: "" }
    }

    /// The same scope, whose values a user sets below `prefix` (`db.`).
    #[must_use]
    pub const fn below(self, prefix: &'a str) -> Self {
        Self { prefix, ..self }
    }

    /// What stands before a name where a user sets it.
    pub(super) const fn prefix(&self) -> &'a str {
        self.prefix
    }

    pub(super) const fn inner<'b>(&'b self, value: &'b Value, place: Option<(usize, usize)>) -> Scope<'b> {
        Scope { value, place, outer: Some(self), declared: self.declared, prefix: self.prefix }
    }

    pub(super) const fn is_outermost(&self) -> bool {
        self.outer.is_none()
    }

    /// The value of a name.
    pub(super) fn find(&self, name: &Name) -> Found<'a> {
        if name.is_current() {
            return Found::Value(self.value);
        }
        if let Some(found) = self.place_in_list(name.as_str()) {
            return found;
        }
        let first = name.parts().next().unwrap_or_default();
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(value) = here.value.as_object().and_then(|map| map.get(first)) {
                return self.walk(name, value);
            }
            scope = here.outer;
        }
        if self.is_declared(name) { Found::Nothing } else { Found::Unknown(self.suggest_first(name)) }
    }

    /// From the value of the first part inwards.
    fn walk(&self, name: &Name, start: &'a Value) -> Found<'a> {
        let mut value = start;
        let mut path = name.parts().next().unwrap_or_default().to_owned();
        let mut parts = name.parts().skip(1).peekable();
        while let Some(part) = parts.next() {
            let next = match value {
                Value::Object(map) => map.get(part),
                Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            if let Some(next) = next {
                value = next;
                path = format!("{path}.{part}");
                continue;
            }
            return match value {
                Value::Object(map) if part == "entrySet" && parts.peek().is_none() => Found::Made(entries(map)),
                _ if self.is_declared(name) => Found::Nothing,
                Value::Object(map) => {
                    let hint = suggestion(part, map.keys().map(String::as_str));
                    Found::Unknown(hint.map(|hint| format!("in `{path}`: {hint}")))
                }
                Value::Array(items) => Found::Unknown(Some(format!("`{path}` is a list of {}", items.len()))),
                _ => Found::Unknown(Some(format!("`{path}` is neither a map nor a list"))),
            };
        }
        if value.is_null() { Found::Nothing } else { Found::Value(value) }
    }

    fn place_in_list(&self, name: &str) -> Option<Found<'a>> {
        if !matches!(name, "-index" | "-first" | "-last") {
            return None;
        }
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some((index, length)) = here.place {
                return Some(Found::Made(match name {
                    "-index" => json!(index + 1),
                    "-first" => json!(index == 0),
                    _ => json!(index + 1 == length),
                }));
            }
            scope = here.outer;
        }
        Some(Found::Unknown(Some("it has a value only inside a section over a list".to_owned())))
    }

    fn is_declared(&self, name: &Name) -> bool {
        let mut value = self.declared;
        for part in name.parts() {
            value = value.and_then(Value::as_object).and_then(|map| map.get(part));
        }
        value.is_some()
    }

    /// A hint for a name whose first part is unknown: a name like it, or one that ends like it.
    fn suggest_first(&self, name: &Name) -> Option<String> {
        let mut keys: Vec<&str> = Vec::new();
        let mut root = self.value;
        let mut scope = Some(self);
        while let Some(here) = scope {
            keys.extend(here.value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()));
            root = here.value;
            scope = here.outer;
        }
        let first = name.parts().next().unwrap_or_default();
        if let Some(near) = crate::nearest::nearest(first, keys.iter().copied()) {
            let rest = &name.as_str()[first.len()..];
            return Some(format!("did you mean `{near}{rest}`?"));
        }
        let nested = root.as_object().into_iter().flatten().find(|(_, value)| value.get(first).is_some());
        if let Some((outer, _)) = nested {
            return Some(format!("did you mean `{outer}.{}`?", name.as_str()));
        }
        suggestion(first, keys)
    }
}

/// A map as a list of `{key, value}`, in the order of its keys.
fn entries(map: &Map<String, Value>) -> Value {
    map.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}
