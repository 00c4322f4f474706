//! What a parser says of a document, in the words of those who wrote the document: they know no structs.

/// The types of a program, and what they are in JSON.
const NAMED: [&str; 5] = ["struct variant ", "tuple struct ", "unit struct ", "struct ", "enum "];
const WORDS: [(&str, &str); 4] = [
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected an object"),
    ("invalid type: sequence", "invalid type: a list"),
    ("invalid type: map", "invalid type: an object"),
];

/// The sentence for people.
pub(super) fn of(cause: &serde_json::Error) -> String {
    let mut text = cause.to_string();
    for named in NAMED {
        let expected = format!("expected {named}");
        if let Some((before, rest)) = text.split_once(&expected) {
            let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            text =
                format!("{before}expected {}{}", if named == "enum " { "a word" } else { "an object" }, &rest[name..]);
            break;
        }
    }
    WORDS.iter().fold(text, |text, (from, to)| text.replacen(from, to, 1))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(default, rename = "rollout")]
        _rollout: Option<Terms>,
        #[serde(default, rename = "list")]
        _list: Vec<u8>,
    }

    #[derive(Debug, Deserialize)]
    struct Terms {}

    #[track_caller]
    fn check(text: &str, told: &str) {
        let cause = serde_json::from_str::<Asked>(text).expect_err("refused");
        assert_eq!(of(&cause).split(" at line").next(), Some(told), "{cause}");
    }

    #[test]
    fn nobody_is_told_of_the_programs_own_types() {
        check("null", "invalid type: null, expected an object");
        check(r#"{"rollout":3}"#, "invalid type: integer `3`, expected an object");
        check(r#"{"list":{}}"#, "invalid type: an object, expected a list");
        check(r#"{"rolout":{}}"#, "unknown field `rolout`, expected `rollout` or `list`");
    }
}
