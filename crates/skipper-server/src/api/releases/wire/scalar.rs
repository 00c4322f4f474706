//! Scalars as the original's mapper reads them: a number or a truth where text is wanted is what was written, and text where a
//! number is wanted is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

/// Text, as it was written: `1.10` stays what it is.
#[derive(Debug)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get().as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw.get()).map(Self).map_err(D::Error::custom),
            Some(b'[') => Err(D::Error::custom("text is expected, and this is a list")),
            Some(b'{') => Err(D::Error::custom("text is expected, and this is an object")),
            _ => Ok(Self(raw.get().to_owned())),
        }
    }
}

/// Text.
pub(in crate::api::releases) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
}

/// Several.
pub(in crate::api::releases) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let all = Option::<Vec<Text>>::deserialize(deserializer)?;
    Ok(all.map(|all| all.into_iter().map(|text| text.0).collect()))
}

/// Several with their names.
pub(in crate::api::releases) fn properties<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, Option<String>>>, D::Error> {
    let all = Option::<BTreeMap<String, Option<Text>>>::deserialize(deserializer)?;
    Ok(all.map(|all| all.into_iter().map(|(name, text)| (name, text.map(|text| text.0))).collect()))
}

/// A whole number. Nothing is an empty text.
pub(in crate::api::releases) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(text) = text(deserializer)? else { return Ok(None) };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    // `2.0` is two; half an instance is a mistake.
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => text,
    };
    let short: String = text.chars().take(100).collect();
    whole.parse().map(Some).map_err(|_| D::Error::custom(format!("`{short}` is not a whole number")))
}

/// Yes or no. Nothing is an empty text.
pub(in crate::api::releases) fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let Some(text) = text(deserializer)? else { return Ok(None) };
    match text.trim() {
        "" => Ok(None),
        "true" | "True" | "TRUE" | "1" => Ok(Some(true)),
        "false" | "False" | "FALSE" | "0" => Ok(Some(false)),
        other => {
            let short: String = other.chars().take(100).collect();
            Err(D::Error::custom(format!("`{short}` is neither `true` nor `false`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct All {
        #[serde(deserialize_with = "text")]
        text: Option<String>,
        #[serde(deserialize_with = "texts")]
        texts: Option<Vec<String>>,
        #[serde(deserialize_with = "properties")]
        properties: Option<BTreeMap<String, Option<String>>>,
        #[serde(deserialize_with = "number")]
        number: Option<i64>,
        #[serde(deserialize_with = "truth")]
        truth: Option<bool>,
    }

    fn read(text: &str) -> Result<All, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn scalars_turn_into_each_other_as_they_were_written() {
        let text = |written: &str| read(&format!(r#"{{"text": {written}}}"#)).expect(written).text;
        for (written, said) in [(r#""a\nb""#, "a\nb"), ("1.10", "1.10"), ("5", "5"), ("-1e3", "-1e3"), ("true", "true")]
        {
            assert_eq!(text(written).as_deref(), Some(said));
        }
        assert_eq!(text("null"), None);
        let all = read(r#"{"texts": ["a", 1.0], "properties": {"a": 1.50, "b": null, "c": "x"}}"#).expect("valid");
        assert_eq!(all.texts, Some(vec!["a".to_owned(), "1.0".to_owned()]));
        let properties = all.properties.expect("some");
        assert_eq!(properties.values().map(Option::as_deref).collect::<Vec<_>>(), [Some("1.50"), None, Some("x")]);
        let number = |written: &str| read(&format!(r#"{{"number": {written}}}"#)).map(|all| all.number);
        for (written, said) in
            [("7", Some(7)), (r#"" 7 ""#, Some(7)), ("-2.0", Some(-2)), (r#""""#, None), ("null", None)]
        {
            assert_eq!(number(written), Ok(said), "{written}");
        }
        let truth = |written: &str| read(&format!(r#"{{"truth": {written}}}"#)).map(|all| all.truth);
        for (written, said) in [("true", Some(true)), (r#""false""#, Some(false)), ("1", Some(true)), ("null", None)] {
            assert_eq!(truth(written), Ok(said), "{written}");
        }
    }

    #[test]
    fn what_is_none_says_so_in_words() {
        for (body, said) in [
            (r#"{"text": []}"#, "text is expected, and this is a list"),
            (r#"{"text": {"a": 1}}"#, "text is expected, and this is an object"),
            (r#"{"number": 2.7}"#, "`2.7` is not a whole number"),
            (r#"{"number": "many"}"#, "`many` is not a whole number"),
            (r#"{"number": true}"#, "`true` is not a whole number"),
            (r#"{"truth": "maybe"}"#, "`maybe` is neither"),
        ] {
            let told = read(body).expect_err(body);
            assert!(told.contains(said), "{told}");
        }
    }

    #[test]
    fn a_value_is_read_like_a_text() {
        let value = serde_json::json!({"text": 5, "number": "7"});
        let all: All = serde_json::from_value(value).expect("valid");
        assert_eq!((all.text.as_deref(), all.number), (Some("5"), Some(7)));
    }
}
