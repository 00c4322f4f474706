use skipper_core::{
    name::SecretName,
    secret::{SecretValue, SecretValues},
};

/// Variables that stand for characters, and hold no secret.
const CHARACTERS: [(&str, &str); 2] = [("SKIPPER_DOLLAR", "$"), ("SKIPPER_BACKSLASH", "\\")];

/// Values that no report may tell: those of the variables that the order names as secret, or of all where it names none.
pub(super) fn of(env: &str, named: Option<&[String]>) -> SecretValues {
    let mut found = SecretValues::new();
    for line in env.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let is_one = named.is_none_or(|named| named.iter().any(|name| name == key));
        if !is_one || CHARACTERS.iter().any(|(name, _)| *name == key) {
            continue;
        }
        if let Ok(name) = SecretName::new(key) {
            found.insert(name, SecretValue::new(unquoted(value)));
        }
    }
    found
}

/// The value as the file's writer was given it (`skipper_core::compose::env_file`).
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut text = inner.to_owned();
    for (written, meant) in [("\\\"", "\""), ("\\n", "\n"), ("\\r", "\r")] {
        text = text.replace(written, meant);
    }
    // Backslashes of the value itself come last: they begin none of the above.
    CHARACTERS.iter().fold(text, |text, (name, meant)| text.replace(&format!("${{{name}}}"), meant))
}

#[cfg(test)]
mod tests {
    use skipper_core::compose::env_file;

    use super::*;

    #[test]
    fn values_are_found_as_they_were_given() {
        let given = [("A", "plain/1.2"), ("B", "a$b \"quoted\" \\n\\"), ("C", "two\nlines"), ("D", "")];
        let env = env_file(given);
        let found = of(&env, None);
        for (key, value) in given {
            assert_eq!(found[&SecretName::new(key).expect("a name")].expose(), value, "{key} in {env}");
        }
        assert_eq!(found.len(), given.len());
        let named = of(&env, Some(&["B".to_owned()]));
        assert_eq!(named.len(), 1);
    }
}
