//! `${NAME}` and `${NAME:-default}` in values of the file, expanded after parsing: a value cannot smuggle in TOML.

use std::collections::BTreeMap;

/// Expands. `$$` is a plain dollar sign.
///
/// # Errors
///
/// A sentence for a variable that is not set and has no default, or braces that do not close.
pub(super) fn expand(text: &str, env: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}').ok_or("`${` is not closed by `}`; write `$$` for a plain dollar sign")?;
            let (name, default) =
                inner[..end].split_once(":-").map_or((&inner[..end], None), |(name, default)| (name, Some(default)));
            match (env.get(name).filter(|value| !value.is_empty()), default) {
                (Some(value), _) => out.push_str(value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => {
                    return Err(format!(
                        "environment variable `{name}` is not set; set it or give a default as ${{{name}:-value}}"
                    ));
                }
            }
            rest = &inner[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_defaults_and_plain_dollars_are_told_apart() {
        let env: BTreeMap<String, String> =
            [("A".to_owned(), "x".to_owned()), ("EMPTY".to_owned(), String::new())].into();
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}-${A}", "x-x"),
            ("${B:-y}", "y"),
            ("${EMPTY:-z}", "z"),
            ("${B:-}", ""),
            ("$$ and $5", "$ and $5"),
        ] {
            assert_eq!(expand(text, &env).as_deref(), Ok(expected), "{text}");
        }
        assert!(expand("${B}", &env).expect_err("unset").contains("`B` is not set"));
        assert!(expand("${A", &env).is_err());
    }
}
