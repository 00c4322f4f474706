//! What files say: YAML, properties and JSON as lists of keys with text and line, a list for each document.

use skipper_source::yaml::{Content, Entry, Input, Node};

use super::name::Name;

/// Most keys of one file; the largest of the field have a few hundred.
const MAX_KEYS: usize = 10_000;
/// Longest key with all that it stands below.
const MAX_KEY: usize = 1000;

/// A key of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) name: Name,
    pub(super) text: String,
    pub(super) line: usize,
}

/// A document: keys in their order; of one key the last counts.
pub(super) type Document = Vec<Said>;

/// A fault of a file: line (0 where there is none) and sentence.
pub(super) type Wrong = (usize, String);

/// Reads a file by the ending of its name.
///
/// # Errors
///
/// The first thing that is wrong with it, with its line.
pub(super) fn read(ending: &str, text: &str) -> Result<Vec<Document>, Wrong> {
    let documents = match ending {
        "properties" => properties(text)?,
        _ => yaml(text)?,
    };
    if documents.iter().map(Vec::len).sum::<usize>() > MAX_KEYS {
        return Err((0, format!("more than {MAX_KEYS} keys")));
    }
    Ok(documents)
}

fn yaml(text: &str) -> Result<Vec<Document>, Wrong> {
    let nodes = skipper_source::yaml::read(Input::plain("", text)).map_err(|faults| {
        let first = faults.into_findings().into_iter().next();
        first.map_or((0, "not valid YAML".to_owned()), |finding| {
            let hint = finding.hint.map_or_else(String::new, |hint| format!("; {hint}"));
            (finding.at.map_or(0, |at| at.line as usize), format!("{}{hint}", finding.message))
        })
    })?;
    nodes.iter().map(flatten).collect()
}

/// `SPRING_APPLICATION_JSON`.
///
/// # Errors
///
/// Why it is not a JSON object.
pub(super) fn json(text: &str) -> Result<Document, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|cause| format!("is not JSON: {cause}"))?;
    let node = Node::from_value(value, skipper_source::Position { line: 0, column: 0 });
    let document = flatten(&node).map_err(|(_, message)| message)?;
    if document.len() > MAX_KEYS { Err(format!("more than {MAX_KEYS} keys")) } else { Ok(document) }
}

fn flatten(node: &Node) -> Result<Document, Wrong> {
    let Content::Map(entries) = &node.content else {
        return Err((node.at.line as usize, format!("here a map of keys is needed, not {}", node.kind())));
    };
    let mut document = Vec::new();
    map("", entries, &mut document)?;
    Ok(document)
}

/// Names grow with the depth, which the reader bounds, so that no text unfolds far.
fn map(prefix: &str, entries: &[Entry], document: &mut Document) -> Result<(), Wrong> {
    for entry in entries {
        let key = match (prefix.is_empty(), entry.key.starts_with('[')) {
            (true, _) => entry.key.clone(),
            (false, true) => format!("{prefix}{}", entry.key),
            (false, false) => format!("{prefix}.{}", entry.key),
        };
        // Aliases repeat what they stand for; the place of the key is the one that people look for.
        value(&key, entry.at.line as usize, &entry.value, document)?;
    }
    Ok(())
}

fn value(key: &str, line: usize, node: &Node, document: &mut Document) -> Result<(), Wrong> {
    if document.len() > MAX_KEYS {
        return Err((line, format!("more than {MAX_KEYS} keys")));
    }
    if key.len() > MAX_KEY {
        return Err((line, format!("a key is longer than {MAX_KEY} characters")));
    }
    let text = match &node.content {
        Content::Map(entries) if !entries.is_empty() => return map(key, entries, document),
        Content::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                value(&format!("{key}[{index}]"), item.at.line as usize, item, document)?;
            }
            return Ok(());
        }
        Content::Map(_) | Content::List(_) | Content::Scalar(serde_json::Value::Null) => String::new(),
        Content::Scalar(serde_json::Value::String(text)) => text.clone(),
        Content::Scalar(other) => other.to_string(),
    };
    document.push(Said { name: Name::parse(key), text, line });
    Ok(())
}

/// Java's properties: `key=value`, `key: value`, `key value`, comments with `#` and `!`, lines that go on after `\`,
/// escapes; `#---` begins another document.
fn properties(text: &str) -> Result<Vec<Document>, Wrong> {
    let mut documents = vec![Document::new()];
    let mut lines = text.lines().enumerate();
    while let Some((at, first)) = lines.next() {
        let first = first.trim_start_matches([' ', '\t', '\u{c}']);
        if matches!(first.trim_end(), "#---" | "!---") {
            documents.push(Document::new());
            continue;
        }
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut line = first.to_owned();
        while goes_on(&line) {
            line.pop();
            match lines.next() {
                Some((_, more)) => line.push_str(more.trim_start_matches([' ', '\t', '\u{c}'])),
                None => break,
            }
        }
        let (key, value) = split(&line);
        let plain = |text: &str| unescape(text).map_err(|message| (at + 1, message));
        let said = Said { name: Name::parse(&plain(key)?), text: plain(value)?, line: at + 1 };
        documents.last_mut().expect("there is always one").push(said);
    }
    Ok(documents)
}

/// Whether a line ends with an odd number of backslashes.
fn goes_on(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// Key and value as they are written: the key ends at the first separator that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\u{c}');
        escaped = !escaped && *c == '\\';
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let space = [' ', '\t', '\u{c}'];
    let rest = line[end..].trim_start_matches(space);
    (&line[..end], rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(space))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            put(&mut out, &mut units);
            out.push(c);
            continue;
        }
        let plain = match chars.next() {
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let unit = u16::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                // Characters past U+FFFF are written as two of these.
                units.push(unit.ok_or_else(|| format!("`\\u{digits}` is not a character"))?);
                continue;
            }
            Some('t') => '\t',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('f') => '\u{c}',
            Some(other) => other,
            None => break,
        };
        put(&mut out, &mut units);
        out.push(plain);
    }
    put(&mut out, &mut units);
    Ok(out)
}

fn put(out: &mut String, units: &mut Vec<u16>) {
    out.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(ending: &str, text: &str, expected: &[&[(&str, &str, usize)]]) {
        let found = read(ending, text).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let found: Vec<Vec<(String, String, usize)>> = found
            .into_iter()
            .map(|document| document.into_iter().map(|said| (said.name.to_string(), said.text, said.line)).collect())
            .collect();
        let expected: Vec<Vec<(String, String, usize)>> = expected
            .iter()
            .map(|document| document.iter().map(|(k, v, line)| ((*k).to_owned(), (*v).to_owned(), *line)).collect())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn yaml_is_flattened_with_its_lines() {
        let text = "a:\n  b: 1.10\n  c: [x, 2]\n  '[my.key]': yes\nd.e: null\nf: {}\n---\ng:\n -\n   name: h\n";
        let first = [
            ("a.b", "1.10", 2),
            ("a.c[0]", "x", 3),
            ("a.c[1]", "2", 3),
            ("a[my.key]", "yes", 4),
            ("d.e", "", 5),
            ("f", "", 6),
        ];
        check("yml", text, &[&first, &[("g[0].name", "h", 10)]]);
        check("yaml", "", &[]);
    }

    #[test]
    fn properties_are_read_as_java_does() {
        let text = "# comment\n! another\n\na.b = 1\n  c:x=y\nd   e f \nlong=one,\\\n    two\\\\\nempty\nk\\:ey=v\\u00e9\\t.\n\
                    u=\\uD83D\\uDE00\n#---\nsecond=1\n";
        let first = [
            ("a.b", "1", 4),
            ("c", "x=y", 5),
            ("d", "e f ", 6),
            ("long", "one,two\\", 7),
            ("empty", "", 9),
            ("k:ey", "vé\t.", 10),
            ("u", "😀", 11),
        ];
        check("properties", text, &[&first, &[("second", "1", 13)]]);
        assert_eq!(read("properties", "x=\\u00g0"), Err((1, "`\\u00g0` is not a character".into())));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_java_classes_are_refused() {
        for (text, line, part) in [
            ("a: 1\nb: !!javax.script.ScriptEngineManager [x]\n", 2, "tag"),
            ("a: 1\na: 2\n", 2, "set twice"),
            ("- a\n", 1, "a map of keys is needed"),
            ("a: [\n", 2, "not valid YAML"),
        ] {
            let (at, message) = read("yml", text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
            assert!(at == line || part == "not valid YAML", "{text}: {at}");
        }
        let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
        assert!(read("yml", &deep).is_err());
        let many: String = (0..=MAX_KEYS).map(|number| format!("k{number}=v\n")).collect();
        assert!(read("properties", &many).is_err());
        assert!(json("[1]").is_err() && json("{").is_err());
        assert_eq!(json("{\"a\": {\"b\": [true]}}").expect("read")[0].name.to_string(), "a.b[0]");
    }

    proptest! {
        #[test]
        fn any_properties_are_read_or_refused(text in "[a-z=:\\\\ #!\nu0-9]{0,80}") {
            let _ = read("properties", &text);
        }

        #[test]
        fn written_properties_come_back(key in "[a-z.]{1,10}", value in "[a-z0-9=:#! ]{0,20}") {
            let text = format!("{key}={value}\n");
            let documents = read("properties", &text).expect("plain text");
            prop_assert_eq!(&documents[0][0].text, value.trim_start_matches(' '));
        }
    }
}
