//! `--set a.b[0].c=value`.

use serde_json::{Map, Value};

use crate::yaml::{resolve_plain, shorten};

/// Longest text of one `--set`.
const MAX_TEXT: usize = 64 << 10;
/// Deepest path.
const MAX_DEPTH: usize = 32;
/// Highest index. A gap below it is filled with nulls, so it cannot be any number.
const MAX_INDEX: usize = 1023;

/// How `--set` understands what stands right of the `=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// `true`, `1`, `1.5`, `null`, `[]` and `{}` are what they look like; `1.10` is text, as in a values file.
    Typed,
    /// Everything is text: `--set-string`.
    Text,
}

/// Why a `--set` text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}`: {reason}")]
pub struct SetError {
    /// What was given, shortened.
    pub given: String,
    /// Why it is refused and what to write instead.
    pub reason: String,
}

enum Step {
    Key(String),
    Index(usize),
}

/// Sets `a.b[0].c=value,d={x,y}` in `values`.
///
/// Several assignments are separated by commas; `{x,y}` is a list. A backslash takes the meaning from the character
/// after it: `a\.b=1\,2`. `key=` sets an empty text, `key=null` takes the key away when values are merged.
///
/// # Errors
///
/// [`SetError`], and `values` is as it was.
pub fn parse_set(values: &mut Value, text: &str, typing: Typing) -> Result<(), SetError> {
    let fail = |reason: String| SetError { given: shorten(text), reason };
    if text.len() > MAX_TEXT {
        return Err(fail(format!("longer than {} KiB; use a values file", MAX_TEXT >> 10)));
    }
    let mut reader = Reader { chars: text.chars().peekable(), typing };
    let mut result = values.clone();
    loop {
        let path = reader.path().map_err(fail)?;
        let (value, more) = reader.value().map_err(fail)?;
        assign(&mut result, path, value);
        if !more {
            break;
        }
        if reader.chars.peek().is_none() {
            return Err(fail(
                "something must follow the last comma; write `\\,` for a comma within a value".to_owned(),
            ));
        }
    }
    *values = result;
    Ok(())
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    typing: Typing,
}

/// Text up to a character that ends it.
struct Word {
    text: String,
    /// What ended it; consumed.
    end: Option<char>,
    /// A backslash was in it: its author wants text.
    escaped: bool,
}

impl Reader<'_> {
    fn word(&mut self, ends: &[char]) -> Word {
        let mut word = Word { text: String::new(), end: None, escaped: false };
        while let Some(c) = self.chars.next() {
            if ends.contains(&c) {
                word.end = Some(c);
                break;
            }
            let c = if c == '\\' {
                word.escaped = true;
                self.chars.next().unwrap_or('\\')
            } else {
                c
            };
            word.text.push(c);
        }
        word
    }

    /// Up to and including the `=`.
    fn path(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        let mut next = self.key(&mut steps)?;
        loop {
            if steps.len() > MAX_DEPTH {
                return Err(format!("deeper than {MAX_DEPTH} levels"));
            }
            next = match next {
                Some('=') => return Ok(steps),
                Some('.') => self.key(&mut steps)?,
                Some('[') => self.index(&mut steps)?,
                _ => return Err("`=` is missing; write `key=value`".to_owned()),
            };
        }
    }

    fn key(&mut self, steps: &mut Vec<Step>) -> Result<Option<char>, String> {
        let word = self.word(&['.', '[', '=', ',']);
        if word.text.is_empty() {
            return Err("a key is empty; write `key=value` or `outer.inner=value`".to_owned());
        }
        steps.push(Step::Key(word.text));
        Ok(word.end)
    }

    fn index(&mut self, steps: &mut Vec<Step>) -> Result<Option<char>, String> {
        let word = self.word(&[']']);
        let index = word.text.parse().ok().filter(|index| *index <= MAX_INDEX && word.end.is_some());
        steps.push(Step::Index(index.ok_or_else(|| {
            format!("`[{}` is not an index; write `list[0]`, at most `[{MAX_INDEX}]`", shorten(&word.text))
        })?));
        match self.chars.next() {
            end @ (None | Some('.' | '[' | '=')) => Ok(end),
            Some(other) => Err(format!("`{other}` after `]`; write `list[0]=value` or `list[0].key=value`")),
        }
    }

    /// The value, and whether another assignment follows.
    fn value(&mut self) -> Result<(Value, bool), String> {
        if self.chars.next_if_eq(&'{').is_none() {
            let word = self.word(&[',']);
            let more = word.end.is_some();
            return Ok((self.typed(word), more));
        }
        let mut items = Vec::new();
        loop {
            let word = self.word(&[',', '}']);
            let end = word.end;
            if !(items.is_empty() && word.text.is_empty() && end == Some('}')) {
                items.push(self.typed(word));
            }
            match end {
                Some(',') => {}
                Some('}') => break,
                _ => return Err("`}` is missing after the list; write `\\{` for a brace within a value".to_owned()),
            }
        }
        match self.chars.next() {
            None => Ok((Value::Array(items), false)),
            Some(',') => Ok((Value::Array(items), true)),
            Some(other) => Err(format!("`{other}` after the list; a comma separates assignments")),
        }
    }

    fn typed(&self, word: Word) -> Value {
        match (self.typing, word.text.as_str()) {
            (Typing::Typed, "[]") => Value::Array(Vec::new()),
            // Nothing after the `=` is an empty text; taking a key away is said with `null`.
            (Typing::Typed, text) if !word.escaped && !matches!(text, "" | "~") => resolve_plain(text),
            _ => Value::String(word.text),
        }
    }
}

/// Puts the value at the path, making maps and lists where there are none.
fn assign(mut place: &mut Value, path: Vec<Step>, value: Value) {
    for step in path {
        match step {
            Step::Key(key) => {
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                place = match place {
                    Value::Object(map) => map.entry(key).or_insert(Value::Null),
                    other => other,
                };
            }
            Step::Index(index) => {
                if !place.is_array() {
                    *place = Value::Array(Vec::new());
                }
                if let Value::Array(items) = place {
                    items.resize_with(items.len().max(index + 1), || Value::Null);
                }
                place = &mut place[index];
            }
        }
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Value) {
        let mut values = json!({});
        parse_set(&mut values, text, Typing::Typed).expect("valid");
        assert_eq!(values, *expected, "{text}");
    }

    #[test]
    fn values_have_the_type_they_look_like() {
        check("a=1,b=1.5,c=true,d=null,e=x", &json!({"a": 1, "b": 1.5, "c": true, "d": null, "e": "x"}));
        check("a=,b=1.10,c=no,d=007,e=~", &json!({"a": "", "b": "1.10", "c": "no", "d": "007", "e": "~"}));
        check("a=[],b={},c={1,x,1.10},d={}", &json!({"a": [], "b": [], "c": [1, "x", "1.10"], "d": []}));
        let mut values = json!({});
        parse_set(&mut values, "a=1,b=true,c=null,d={1}", Typing::Text).expect("valid");
        assert_eq!(values, json!({"a": "1", "b": "true", "c": "null", "d": ["1"]}));
    }

    #[test]
    fn paths_make_what_is_missing() {
        check("a.b.c=1,a.d=2", &json!({"a": {"b": {"c": 1}, "d": 2}}));
        check("a[1].b=x,a[0]=y", &json!({"a": ["y", {"b": "x"}]}));
        check("a[0][1]=x", &json!({"a": [[null, "x"]]}));
        check("a=1,a.b=2", &json!({"a": {"b": 2}}));
    }

    #[test]
    fn a_backslash_takes_the_meaning_from_a_character() {
        check(r"a\.b=1\,2,c=x=y", &json!({"a.b": "1,2", "c": "x=y"}));
        check(r"a=\true,b=\{x,c\[0\]=1,d=\\", &json!({"a": "true", "b": "{x", "c[0]": 1, "d": "\\"}));
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_is_set() {
        for (text, reason) in [
            ("", "empty"),
            ("a", "`=` is missing"),
            ("a,b=1", "`=` is missing"),
            ("=1", "empty"),
            ("a.=1", "empty"),
            ("a..b=1", "empty"),
            ("a=1,", "last comma"),
            ("a[x]=1", "not an index"),
            ("a[1024]=1", "not an index"),
            ("a[-1]=1", "not an index"),
            ("a[0=1", "not an index"),
            ("a[0]b=1", "after `]`"),
            ("a={1", "`}` is missing"),
            ("a={1}x", "after the list"),
            (&format!("{}=1", ["a"; 40].join(".")), "deeper than"),
        ] {
            let mut values = json!({"kept": 1});
            let error = parse_set(&mut values, text, Typing::Typed).expect_err(text);
            assert!(error.to_string().contains(reason), "{text}: {error}");
            assert_eq!(values, json!({"kept": 1}));
        }
    }
}
