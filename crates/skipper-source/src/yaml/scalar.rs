//! What a scalar's text means.

use serde_json::{Number, Value};

/// The value of a plain (unquoted) scalar, by the rule that no text is lost: see the module's head.
#[must_use]
pub fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => exact_number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// The number whose text is exactly `text`.
fn exact_number(text: &str) -> Option<Number> {
    // Longer ones are never written back the same; the check spares most words the attempt.
    let may_be =
        text.len() <= 40 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    let number = if may_be { number(text) } else { None };
    number.filter(|n| n.to_string() == text)
}

/// The number that `text` stands for, in any of the usual spellings.
pub(super) fn number(text: &str) -> Option<Number> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix).ok().map(Number::from);
        }
    }
    // `inf`, `nan` and the like are words here; Rust would take them for numbers.
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    if !numeric || !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

/// The value of a scalar with a core tag (`!!str`, `!!int`, …), or why there is none.
pub(super) fn resolve_tagged(tag: &str, text: &str) -> Result<Value, String> {
    let wrong = || format!("`{}` is not a value of type !!{tag}", shorten(text));
    match tag {
        "str" => Ok(Value::String(text.to_owned())),
        "int" => number(text).filter(|n| !n.is_f64()).map(Value::Number).ok_or_else(wrong),
        "float" => {
            number(text).and_then(|n| n.as_f64()).and_then(Number::from_f64).map(Value::Number).ok_or_else(wrong)
        }
        "bool" | "null" => match (tag, resolve_plain(text)) {
            ("bool", value @ Value::Bool(_)) | ("null", value @ Value::Null) => Ok(value),
            _ => Err(wrong()),
        },
        _ => Err(format!("the tag !!{tag} is not supported")),
    }
}

/// The first characters of a text, for messages.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return text.escape_debug().to_string();
    }
    format!("{}…", text.chars().take(LONGEST).collect::<String>().escape_debug())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_scalar_is_a_number_only_if_no_text_is_lost() {
        for (text, value) in [
            ("8080", json!(8080)),
            ("-7", json!(-7)),
            ("0", json!(0)),
            ("1.5", json!(1.5)),
            ("1.0", json!(1.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("true", json!(true)),
            ("FALSE", json!(false)),
            ("~", json!(null)),
            ("", json!(null)),
        ] {
            assert_eq!(resolve_plain(text), value, "{text}");
        }
        for text in [
            "1.10",
            "1.50",
            "017",
            "0x1F",
            "0o17",
            "1e3",
            "+1",
            ".5",
            "5.",
            "-0",
            "1_000",
            "12:30",
            "2024-01-02",
            "123456789012345678901234567890",
            ".inf",
            "inf",
            "nan",
            ".nan",
            "yes",
            "no",
            "on",
            "off",
            "y",
            "1.2.3",
            "-",
            "e",
        ] {
            assert_eq!(resolve_plain(text), json!(text), "{text}");
        }
    }

    #[test]
    fn tags_overrule() {
        assert_eq!(resolve_tagged("str", "8080"), Ok(json!("8080")));
        assert_eq!(resolve_tagged("float", "1.10"), Ok(json!(1.1)));
        assert_eq!(resolve_tagged("int", "0x1F"), Ok(json!(31)));
        assert!(resolve_tagged("int", "1.5").is_err());
        assert!(resolve_tagged("binary", "AA==").is_err());
    }
}
