//! From values to text that every YAML reader understands alike.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as one YAML document in block style, keys in their order, with a line break at the end.
///
/// Equal values give equal texts, and [`super::read`] gives the value back.
#[must_use]
pub fn emit(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => map_at(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => list_at(&mut out, items, 0),
        Value::String(text) => quoted(&mut out, text),
        other => scalar_at(&mut out, other, 0),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// A text as it stands after `key: ` or `- `: plain where every reader takes it for that text, else in double quotes.
#[must_use]
pub fn scalar_text(body: &str) -> String {
    let mut out = String::new();
    text(&mut out, body);
    out
}

fn map_at(out: &mut String, map: &serde_json::Map<String, Value>, indent: usize) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        text(out, key);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                newline(out, indent + 2);
                map_at(out, inner, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                newline(out, indent + 2);
                list_at(out, items, indent + 2);
            }
            scalar => {
                out.push(' ');
                scalar_at(out, scalar, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn list_at(out: &mut String, items: &[Value], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => map_at(out, inner, indent + 2),
            Value::Array(inner) if !inner.is_empty() => list_at(out, inner, indent + 2),
            scalar => {
                scalar_at(out, scalar, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn newline(out: &mut String, indent: usize) {
    out.push('\n');
    pad(out, indent);
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A scalar, or an empty list or map. `indent` is where further lines of a block begin.
fn scalar_at(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(body) if is_block(body) => {
            let (header, body) = body.strip_suffix('\n').map_or(("|-", body.as_str()), |rest| ("|", rest));
            out.push_str(header);
            for line in body.split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    pad(out, indent);
                    out.push_str(line);
                }
            }
        }
        Value::String(body) => text(out, body),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

fn text(out: &mut String, body: &str) {
    if is_plain(body) { out.push_str(body) } else { quoted(out, body) }
}

/// Whether several lines can stand as they are, in a literal block.
fn is_block(body: &str) -> bool {
    let inner = body.strip_suffix('\n').unwrap_or(body);
    inner.contains('\n')
        && !inner.starts_with(['\n', ' ', '\t'])
        && !inner.ends_with('\n')
        && inner.split('\n').all(|line| !line.ends_with([' ', '\t']) && line.chars().all(is_printable))
}

/// Whether a text can stand without quotes and is the same text to readers of YAML 1.1 and 1.2.
fn is_plain(body: &str) -> bool {
    let starts_well = body.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '$' | '(' | '^'));
    starts_well
        && body.len() <= 1000
        && !body.ends_with([' ', ':'])
        && !body.contains(": ")
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b" _-./:+=@%()<>$^;,?*!~&|".contains(&b))
        && !is_ambiguous(body)
}

/// Whether some reader takes the text for a truth value, a number, a date or nothing.
fn is_ambiguous(body: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let numeric = |b: u8| b.is_ascii_hexdigit() || b" _-.:+xXoOeETtZz".contains(&b);
    WORDS.iter().any(|word| body.eq_ignore_ascii_case(word))
        || (body.starts_with(|c: char| c.is_ascii_digit()) && body.bytes().all(numeric))
}

/// In double quotes, with everything escaped that some reader would not keep.
fn quoted(out: &mut String, body: &str) {
    out.push('"');
    for c in body.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xFF => write!(out, "\\x{code:02X}"),
                    0x100..=0xFFFF => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
            }
        }
    }
    out.push('"');
}

/// Characters that YAML lets stand and that look like something; a byte order mark and odd line ends do not.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFEF}')
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_written_in_block_style() {
        let value = json!({
            "name": "web", "version": "1.10", "on": true, "port": 8080, "empty": {}, "none": [], "nil": null,
            "list": [{"a": 1, "b": [1, [2, 3]]}, "x: y", "", "no", "a # b"],
            "script": "#!/bin/sh\nexec app\n", "odd": "a\n\n b", "trailing": "a \nb",
        });
        let expected = r#"name: web
version: "1.10"
"on": true
port: 8080
empty: {}
none: []
nil: null
list:
  - a: 1
    b:
      - 1
      - - 2
        - 3
  - "x: y"
  - ""
  - "no"
  - "a # b"
script: |
  #!/bin/sh
  exec app
odd: |-
  a

   b
trailing: "a \nb"
"#;
        assert_eq!(emit(&value), expected);
    }
}
