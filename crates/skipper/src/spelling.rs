//! Options as Spring's people spell them: `--releaseName` is `--release-name`.

use std::ffi::OsString;

/// Respells long options in camelCase. What stands behind `--` is not ours, and neither are values.
pub(crate) fn kebab(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut ours = true;
    args.into_iter()
        .map(|arg| {
            ours &= arg != "--";
            match arg.to_str().filter(|_| ours).and_then(option) {
                Some(respelled) => respelled.into(),
                None => arg,
            }
        })
        .collect()
}

fn option(word: &str) -> Option<String> {
    let name = word.strip_prefix("--")?;
    let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    if !plain || !name.contains(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let mut respelled = String::from("--");
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            respelled.push('-');
        }
        respelled.push(letter.to_ascii_lowercase());
    }
    if let Some(value) = value {
        respelled.push('=');
        respelled.push_str(value);
    }
    Some(respelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let words = kebab(line.split(' ').map(OsString::from));
        let words: Vec<_> = words.iter().map(|word| word.to_str().expect("UTF-8")).collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn camel_case_becomes_kebab_case() {
        check("install --releaseName a --packageVersion=1.0", "install --release-name a --package-version=1.0");
        check(
            "config --skipSslValidation --credentialsProviderCommand x",
            "config --skip-ssl-validation --credentials-provider-command x",
        );
    }

    #[test]
    fn everything_else_stays() {
        for line in [
            "install --set greeting=aB --file aB.yml",
            "load --url x -- run --someThing",
            "server --spring.config.location=aB --Odd --release-name=aB -fB",
        ] {
            check(line, line);
        }
    }
}
