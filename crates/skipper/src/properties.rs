//! Arguments in Spring's form: `skipper server --server.port=9000 -Dmaven.offline=true`. Which keys there are is not known
//! here; they are handed to the configuration under one hidden option.

use std::ffi::OsString;

/// The option that they are handed over by.
pub(crate) const OPTION: &str = "spring-argument";

/// Renames arguments whose name has a dot, which no option of ours has, where a server is configured: behind `server` and
/// `config show`. What stands behind `--` is left alone.
pub(crate) fn hand_over(args: Vec<OsString>) -> Vec<OsString> {
    let Some(verb) = verb_end(&args) else { return args };
    let mut ours = true;
    let rename = |(at, arg): (usize, OsString)| {
        ours &= at < verb || arg != "--";
        match arg.to_str().filter(|word| at >= verb && ours && is_property(word)) {
            Some(word) => format!("--{OPTION}={word}").into(),
            None => arg,
        }
    };
    args.into_iter().enumerate().map(rename).collect()
}

/// Where the words of the verb end, if it is one that configures a server. Options before it may have a value.
fn verb_end(args: &[OsString]) -> Option<usize> {
    let mut words = args.iter().enumerate().skip(1).filter(|(at, arg)| {
        let is_option = |arg: &OsString| arg.to_str().is_some_and(|word| word.starts_with('-'));
        !is_option(arg) && (*at == 1 || !is_option(&args[at - 1]) || matches!(arg.to_str(), Some("server" | "config")))
    });
    match words.next() {
        Some((at, word)) if word == "server" => Some(at + 1),
        Some((at, word)) if word == "config" && args.get(at + 1).is_some_and(|next| next == "show") => Some(at + 2),
        _ => None,
    }
}

fn is_property(word: &str) -> bool {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix("-D")).unwrap_or_default();
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && (name.contains('.') || word.starts_with("-D"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let words = hand_over(line.split(' ').map(OsString::from).collect());
        let words: Vec<_> = words.iter().map(|word| word.to_str().expect("UTF-8")).collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn arguments_with_dots_are_handed_over_where_a_server_is_configured() {
        check(
            "skipper server --server.port=1 --data-dir /a.b -Dx=1",
            "skipper server --spring-argument=--server.port=1 --data-dir /a.b --spring-argument=-Dx=1",
        );
        check("skipper --color never server --a.b=1", "skipper --color never server --spring-argument=--a.b=1");
        check("skipper config show --server --a.b", "skipper config show --server --spring-argument=--a.b");
    }

    #[test]
    fn everything_else_stays() {
        for line in [
            "skipper",
            "skipper install server --set --a.b=1",
            "skipper --server http://h list --a.b=1",
            "skipper server --listen=127.0.0.1:1 -- --a.b=1",
            "skipper load --url x -- --a.b=1",
        ] {
            check(line, line);
        }
    }
}
