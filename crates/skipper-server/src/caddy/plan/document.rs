//! Lists and objects of a JSON document, changed so that what is not ours stays as it was found.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Odd;
use crate::caddy::found::id;

/// Something of ours in a list, and between which of the others it may stand.
pub(super) struct Piece {
    pub(super) value: Value,
    /// Behind that many of the others.
    pub(super) low: usize,
    /// Before the one with that index. Less than `low` where both cannot be had; then `low` counts.
    pub(super) high: usize,
    /// It comes after those of ours that are not.
    pub(super) behind: bool,
}

/// The others in their order, with our pieces among them: where they were if they may stand there, else as late as they may.
pub(super) fn weave(before: &[Value], is_gone: impl Fn(&Value) -> bool, pieces: Vec<Piece>) -> Vec<Value> {
    let (mut rest, mut stood): (Vec<&Value>, BTreeMap<&str, (usize, usize)>) = (Vec::new(), BTreeMap::new());
    for (at, value) in before.iter().enumerate() {
        if is_gone(value) {
            stood.entry(id(value)).or_insert((rest.len(), at));
        } else {
            rest.push(value);
        }
    }
    let mut slots: Vec<(usize, bool, usize, Value)> = pieces
        .into_iter()
        .map(|piece| {
            let (slot, at) = stood.get(id(&piece.value)).copied().unwrap_or((usize::MAX, usize::MAX));
            let slot = if (piece.low..=piece.high).contains(&slot) { slot } else { piece.high.max(piece.low) };
            (slot, piece.behind, at, piece.value)
        })
        .collect();
    slots.sort_by_key(|(slot, behind, at, _)| (*slot, *behind, *at));
    let mut ours = slots.into_iter().peekable();
    let mut after = Vec::with_capacity(before.len() + ours.len());
    for (slot, value) in rest.iter().map(Some).chain([None]).enumerate() {
        while let Some((_, _, _, own)) = ours.next_if(|(of, ..)| *of <= slot) {
            after.push(own);
        }
        after.extend(value.map(|value| (*value).clone()));
    }
    after
}

/// The object at the path, made where there is none, taken out of the document.
pub(super) fn take(load: &mut Value, path: &[&'static str]) -> Result<Map<String, Value>, Odd> {
    let mut at = load;
    for key in path {
        if at.is_null() {
            *at = json!({});
        }
        at = at.as_object_mut().ok_or(Odd("apps"))?.entry(*key).or_insert(Value::Null);
    }
    match at.take() {
        Value::Object(map) => {
            *at = Value::Object(map.clone());
            Ok(map)
        }
        Value::Null => {
            *at = json!({});
            Ok(Map::new())
        }
        _ => Err(Odd(path.last().copied().unwrap_or("apps"))),
    }
}

/// Puts a value at the path. Where it is empty, it goes, and with it what was not there before or is empty now.
pub(super) fn put(load: &mut Value, found: &Value, path: &[&'static str], value: Value) {
    let Some((last, above)) = path.split_last() else { return };
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let pointer = |path: &[&str]| format!("/{}", path.join("/"));
    let parent = if above.is_empty() { Some(&mut *load) } else { load.pointer_mut(&pointer(above)) };
    let Some(parent) = parent.and_then(Value::as_object_mut) else { return };
    if is_empty(&value) && found.pointer(&pointer(path)).is_none_or(|found| !is_empty(found)) {
        parent.shift_remove(*last);
        let empty = parent.is_empty();
        if empty && !above.is_empty() {
            put(load, found, above, json!({}));
        }
    } else if is_empty(&value) {
        // As it was found.
        if let Some(found) = found.pointer(&pointer(path)) {
            parent.insert((*last).to_owned(), found.clone());
        }
    } else {
        parent.insert((*last).to_owned(), value);
    }
}

/// Nothing at all and an empty object are the same to Caddy.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    a == b || (is_empty(a) && is_empty(b))
}
