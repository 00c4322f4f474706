//! JSON into the nodes that YAML is read into as well, so that one reader of keys serves both: every part has its place.

use serde_json::Value;

use crate::{
    finding::{Faults, Finding, Position},
    yaml::{Content, Entry, Node, shorten},
};

/// Longest text that is read.
const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Most values in a text; each takes more room in memory than it takes in the text.
const MAX_VALUES: usize = 100_000;

/// Reads a text of one value.
///
/// # Errors
///
/// The first fault, with its place: bad syntax, a duplicate key, a bound that is broken.
pub fn read(file: &str, bytes: &[u8]) -> Result<Node, Faults> {
    let fault = |at: Position, code, message: String| Finding::error(code, message).in_file(file).at(at).into();
    let start = Position { line: 1, column: 1 };
    if bytes.len() > MAX_BYTES {
        return Err(fault(start, "file-too-large", format!("the text is longer than {} MiB", MAX_BYTES >> 20)));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| fault(start, "json-syntax", format!("not UTF-8 after {} bytes", error.valid_up_to())))?;
    let mut reader = Reader { rest: text.strip_prefix('\u{FEFF}').unwrap_or(text), at: start, values: 0 };
    let read = reader.value(0).and_then(|node| {
        reader.space();
        if reader.rest.is_empty() { Ok(node) } else { Err(reader.wrong("something follows after the end")) }
    });
    read.map_err(|wrong| fault(wrong.at, wrong.code, wrong.message))
}

struct Wrong {
    at: Position,
    code: &'static str,
    message: String,
}

type Got<T> = Result<T, Box<Wrong>>;

struct Reader<'a> {
    rest: &'a str,
    at: Position,
    values: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, message: impl Into<String>) -> Box<Wrong> {
        Box::new(Wrong { at: self.at, code: "json-syntax", message: format!("not valid JSON: {}", message.into()) })
    }

    /// Takes `bytes` of what is left.
    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        for c in taken.chars() {
            if c == '\n' {
                self.at = Position { line: self.at.line.saturating_add(1), column: 1 };
            } else {
                self.at.column = self.at.column.saturating_add(1);
            }
        }
        self.rest = rest;
        taken
    }

    fn space(&mut self) {
        let after = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.advance(self.rest.len() - after.len());
    }

    /// Takes one character if it is that one.
    fn takes(&mut self, c: char) -> bool {
        let is = self.rest.starts_with(c);
        if is {
            self.advance(c.len_utf8());
        }
        is
    }

    fn value(&mut self, depth: usize) -> Got<Node> {
        self.space();
        let at = self.at;
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            let message = if depth > MAX_DEPTH {
                format!("nested deeper than {MAX_DEPTH} levels")
            } else {
                format!("holds more than {MAX_VALUES} values")
            };
            return Err(Box::new(Wrong { at, code: "json-size", message }));
        }
        let content = match self.rest.chars().next() {
            Some('{') => self.entries(depth)?,
            Some('[') => self.items(depth)?,
            Some('"') => Content::Scalar(Value::String(self.text()?)),
            Some(_) => Content::Scalar(self.word()?),
            None => return Err(self.wrong("the text ends where a value is expected")),
        };
        Ok(Node { at, content })
    }

    fn entries(&mut self, depth: usize) -> Got<Content> {
        self.advance(1);
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.space();
        if self.takes('}') {
            return Ok(Content::Map(entries));
        }
        loop {
            self.space();
            let at = self.at;
            if !self.rest.starts_with('"') {
                return Err(self.wrong("a key in double quotes is expected here"));
            }
            let key = self.text()?;
            if !seen.insert(key.clone()) {
                let message = format!("the key `{}` is set twice", shorten(&key));
                return Err(Box::new(Wrong { at, code: "json-duplicate-key", message }));
            }
            self.space();
            if !self.takes(':') {
                return Err(self.wrong(format!("a colon is expected after the key `{}`", shorten(&key))));
            }
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, at, value });
            self.space();
            if self.takes('}') {
                return Ok(Content::Map(entries));
            }
            if !self.takes(',') {
                return Err(self.wrong("a comma or `}` is expected here"));
            }
        }
    }

    fn items(&mut self, depth: usize) -> Got<Content> {
        self.advance(1);
        let mut items = Vec::new();
        self.space();
        if self.takes(']') {
            return Ok(Content::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.takes(']') {
                return Ok(Content::List(items));
            }
            if !self.takes(',') {
                return Err(self.wrong("a comma or `]` is expected here"));
            }
        }
    }

    /// Text in double quotes. What stands in them is left to the reader of JSON that the world uses.
    fn text(&mut self) -> Got<String> {
        let bytes = self.rest.as_bytes();
        let mut end = 1;
        loop {
            match bytes.get(end) {
                Some(b'\\') => end += 2,
                Some(b'"') => break,
                Some(b'\n') | None => return Err(self.wrong("a text has no end")),
                Some(_) => end += 1,
            }
        }
        let quoted = &self.rest[..=end];
        let text = serde_json::from_str(quoted).map_err(|error| self.wrong(cause(&error)))?;
        self.advance(quoted.len());
        Ok(text)
    }

    fn word(&mut self) -> Got<Value> {
        let end = self.rest.find([',', '}', ']', ':', ' ', '\t', '\n', '\r', '"', '{', '[']).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        let value = serde_json::from_str(word)
            .map_err(|_| self.wrong(format!("`{}` is no value; a text stands in double quotes", shorten(word))))?;
        self.advance(end);
        Ok(value)
    }
}

/// What serde says, without its own idea of the place.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(cause, _)| cause.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_everybody_else_reads() {
        for text in [
            r#"{"a": [1, -2.5e3, true, null, "x\n\u00e9\ud83d\ude00"], "b": {}, "c": [], "d": ""}"#,
            "\t{\r\n\t\"a\"\t:\t1 }\n",
            "\"\\\"\\\\\"",
            "0",
        ] {
            let node = read("f", text.as_bytes()).expect(text);
            assert_eq!(node.to_value(), serde_json::from_str::<Value>(text).expect("JSON"), "{text}");
        }
    }

    #[test]
    fn faults_are_told_with_their_place() {
        for (text, expected) in [
            ("", "f:1:1: not valid JSON: the text ends where a value is expected"),
            ("{\n  \"a\": 1,\n  \"a\": 2\n}", "f:3:3: the key `a` is set twice"),
            ("{\"a\": 1,}", "f:1:9: not valid JSON: a key in double quotes is expected here"),
            ("{a: 1}", "f:1:2: not valid JSON: a key in double quotes is expected here"),
            ("[1 2]", "f:1:4: not valid JSON: a comma or `]` is expected here"),
            ("[tru]", "f:1:2: not valid JSON: `tru` is no value; a text stands in double quotes"),
            ("\"a", "f:1:1: not valid JSON: a text has no end"),
            ("\"\\", "f:1:1: not valid JSON: a text has no end"),
            ("{} x", "f:1:4: not valid JSON: something follows after the end"),
        ] {
            assert_eq!(read("f", text.as_bytes()).expect_err(text).to_string(), expected, "{text}");
        }
        let deep = "[".repeat(100);
        assert_eq!(read("f", deep.as_bytes()).expect_err("deep").code(), "json-size");
        assert_eq!(read("f", &vec![b' '; MAX_BYTES + 1]).expect_err("long").code(), "file-too-large");
        assert_eq!(read("f", b"\"\xff\"").expect_err("not UTF-8").code(), "json-syntax");
    }
}
