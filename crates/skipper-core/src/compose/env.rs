//! The file of a project's variables, written so that every generation of compose reads the same values out of it.
//!
//! Compose 1.29 reads it with one parser and 2.x with another one; they agree on less than either promises. What both understand
//! alike: plain words; double quotes with `\"`, `\n`, `\r`; and `${NAME}` of a line before. Neither has an escape for `$` that the
//! other one knows, and a backslash before a closing quote confuses the older one; so both characters come from variables of their own.

use std::fmt::Write as _;

/// A lone `$`.
const DOLLAR: &str = "SKIPPER_DOLLAR";
/// A lone backslash.
const BACKSLASH: &str = "SKIPPER_BACKSLASH";
/// Keys that begin with it are ours.
const OURS: &str = "SKIPPER_";
/// The key of a variable whose own name cannot be one begins with it.
const MANGLED: &str = "SKIPPER_ENV_";

/// Beginnings of names that compose, the engine's client or what they start read for themselves, in upper case.
const READ_BY_OTHERS: [&str; 19] = [
    "BUILDKIT_",
    "BUILDX_",
    "COMPOSE_",
    "CONTAINERS_",
    "CONTAINER_",
    "DBUS_",
    "DOCKER_",
    "DYLD_",
    "GIT_",
    "GODEBUG",
    "GRPC_",
    "LC_",
    "LD_",
    "NO_",
    "OTEL_",
    "PODMAN_",
    "PYTHON",
    "SSL_",
    "XDG_",
];
/// Names that the surroundings of a command have, in upper case: what they have counts for compose, and not the file.
const SURROUNDINGS: [&str; 27] = [
    "ALL_PROXY",
    "APPDATA",
    "CURL_CA_BUNDLE",
    "EDITOR",
    "FTP_PROXY",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "HOME",
    "HOSTNAME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LANGUAGE",
    "LOGNAME",
    "MAIL",
    "OLDPWD",
    "PATH",
    "PWD",
    "REQUESTS_CA_BUNDLE",
    "SHELL",
    "SHLVL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "USERNAME",
    "_",
];

/// Whether a variable's name can be its key in the file: a word that nobody else reads or sets.
#[must_use]
pub fn is_plain_key(name: &str) -> bool {
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let upper = name.to_ascii_uppercase();
    word && !upper.starts_with(OURS)
        && !READ_BY_OTHERS.iter().any(|head| upper.starts_with(head))
        && !SURROUNDINGS.contains(&upper.as_str())
}

/// A key for a variable: its name where that can be one, else one made of it. `service` is given where several services have different
/// values under that name.
#[must_use]
pub fn key_for(name: &str, service: Option<&str>) -> String {
    if let (true, None) = (is_plain_key(name), service) {
        return name.to_owned();
    }
    let word = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let hash = crate::digest::Sha256::of(format!("{}\0{name}", service.unwrap_or_default()).as_bytes()).short();
    match service {
        Some(service) => format!("{MANGLED}{}_{}_{hash}", word(service), word(name)),
        None => format!("{MANGLED}{}_{hash}", word(name)),
    }
}

/// The text of the file: a line for each variable, in their order, after those that stand for odd characters where they are needed.
/// Keys are words (see [`is_plain_key`]) and values hold no NUL.
#[must_use]
pub fn env_file<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let (mut lines, mut dollar, mut backslash) = (String::new(), false, false);
    for (key, value) in variables {
        dollar |= value.contains('$');
        backslash |= value.contains('\\');
        lines.push_str(key);
        lines.push('=');
        write_value(&mut lines, value);
        lines.push('\n');
    }
    let mut text = String::new();
    if dollar {
        let _ = writeln!(text, "{DOLLAR}='$'");
    }
    if backslash {
        let _ = writeln!(text, "{BACKSLASH}=\\");
    }
    text + &lines
}

/// The variables of a file that [`env_file`] wrote, with their values; lines of another hand are passed over.
#[must_use]
pub fn read_env(text: &str) -> std::collections::BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let of = lines.filter(|(key, _)| !matches!(*key, DOLLAR | BACKSLASH)).filter_map(|(key, value)| {
        let Some(quoted) = value.strip_prefix('"') else { return Some((key, value.to_owned())) };
        let quoted = quoted.strip_suffix('"')?;
        let quoted = quoted.replace("\\n", "\n").replace("\\r", "\r").replace("\\\"", "\"");
        Some((key, quoted.replace(&format!("${{{BACKSLASH}}}"), "\\").replace(&format!("${{{DOLLAR}}}"), "$")))
    });
    of.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn write_value(out: &mut String, value: &str) {
    let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&b));
    if plain {
        return out.push_str(value);
    }
    out.push('"');
    for c in value.chars() {
        match c {
            '$' => {
                let _ = write!(out, "${{{DOLLAR}}}");
            }
            '\\' => {
                let _ = write!(out, "${{{BACKSLASH}}}");
            }
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_come_from_lines_of_their_own() {
        let text =
            env_file([("A", "plain/1.2:3"), ("B", "a$b"), ("C", r#"x "y" \"#), ("D", "two\nlines\r"), ("E", "")]);
        let expected = "SKIPPER_DOLLAR='$'\nSKIPPER_BACKSLASH=\\\nA=plain/1.2:3\nB=\"a${SKIPPER_DOLLAR}b\"\n\
                        C=\"x \\\"y\\\" ${SKIPPER_BACKSLASH}\"\nD=\"two\\nlines\\r\"\nE=\"\"\n";
        assert_eq!(text, expected);
        let read: Vec<(String, String)> = read_env(&text).into_iter().collect();
        let expected = [("A", "plain/1.2:3"), ("B", "a$b"), ("C", r#"x "y" \"#), ("D", "two\nlines\r"), ("E", "")];
        assert_eq!(read, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let odd = "\\n\\\"$\\\\r${SKIPPER_DOLLAR}${SKIPPER_BACKSLASH}";
        assert_eq!(read_env(&env_file([("X", odd)]))["X"], odd);
    }

    #[test]
    fn what_others_read_is_never_a_key() {
        for plain in ["DB_PASSWORD", "greeting", "_X", "PORT", "HOST"] {
            assert_eq!(key_for(plain, None), plain);
        }
        for other in [
            "PATH",
            "home",
            "COMPOSE_FILE",
            "DOCKER_HOST",
            "http_proxy",
            "LD_PRELOAD",
            "SKIPPER_DOLLAR",
            "a.b",
            "1a",
            "",
        ] {
            let key = key_for(other, None);
            assert!(key.starts_with(MANGLED), "{other}: {key}");
        }
        assert_ne!(key_for("a.b", None), key_for("a-b", None));
        assert_ne!(key_for("A", Some("x")), key_for("A", Some("y")));
    }
}
