//! JSON as Jackson indents it: two blanks a level, blanks around colons, lists in line with what holds them.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

/// The text of a document.
pub(super) fn text(document: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::with_capacity(1024);
    document.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Jackson::default()))?;
    Ok(text)
}

#[derive(Debug, Default)]
struct Jackson {
    level: usize,
    filled: bool,
}

impl Jackson {
    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.level).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Jackson {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b" " } else { b", " })
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" ]")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.level += 1;
        self.filled = false;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.line(writer)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" : ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.level -= 1;
        if self.filled {
            self.line(writer)?;
        } else {
            writer.write_all(b" ")?;
        }
        writer.write_all(b"}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_begin_lines_and_lists_do_not() {
        let document = json!({"a": [{"b": 1, "c": []}, {}], "d": {}, "e": [1, null], "f": {"g": "x"}});
        let expected = r#"{
  "a" : [ {
    "b" : 1,
    "c" : [ ]
  }, { } ],
  "d" : { },
  "e" : [ 1, null ],
  "f" : {
    "g" : "x"
  }
}"#;
        assert_eq!(String::from_utf8(text(&document).expect("JSON")).expect("UTF-8"), expected);
    }
}
