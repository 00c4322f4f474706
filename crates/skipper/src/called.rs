//! The names that the program goes by: called as `slip` or `slipd` it reads the command line of that program, called as
//! `skippy-agent` it is the agent of a node.

use std::{ffi::OsString, path::Path};

/// Where `slipd` looks when it is not told.
const CONFIG: &str = "/etc/slip";

fn name(args: &[OsString]) -> Option<&str> {
    args.first().and_then(|name| Path::new(name).file_name()).and_then(|name| name.to_str())
}

/// Whether the program was called as `slip`.
pub(crate) fn is_slip(args: &[OsString]) -> bool {
    name(args) == Some("slip")
}

/// The command line in our own words.
///
/// `slipd --check` becomes `config check DIR`; everything else of `slipd` is handed to `server`, of `slip` to the program
/// itself, of `skippy-agent` to `agent`.
pub(crate) fn translated(args: Vec<OsString>) -> Vec<OsString> {
    match name(&args) {
        Some("slip") => own(args.into_iter().skip(1)),
        Some("slipd") => daemon(args),
        Some("skippy-agent") => agent(args),
        _ => args,
    }
}

fn own(rest: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    std::iter::once(OsString::from("skipper")).chain(rest).collect()
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn asks_for_version(args: &[OsString]) -> bool {
    args.iter().any(|arg| arg == "-V" || arg == "--version")
}

fn agent(args: Vec<OsString>) -> Vec<OsString> {
    if asks_for_version(&args) {
        return words(&["skipper", "--version"]);
    }
    own(words(&["agent"]).into_iter().chain(args.into_iter().skip(1)))
}

fn daemon(args: Vec<OsString>) -> Vec<OsString> {
    if asks_for_version(&args) {
        return words(&["skipper", "--version"]);
    }
    if !args.iter().any(|arg| arg == "--check") {
        return own(words(&["server"]).into_iter().chain(args.into_iter().skip(1)));
    }
    let mut folder = OsString::from(CONFIG);
    let mut others = Vec::new();
    let mut rest = args.into_iter().skip(1).filter(|arg| arg != "--check");
    while let Some(arg) = rest.next() {
        match arg.to_str() {
            Some("--config" | "-c") => folder = rest.next().unwrap_or_default(),
            Some(text) if text.starts_with("--config=") => folder = OsString::from(&text["--config=".len()..]),
            _ => others.push(arg),
        }
    }
    // A folder may begin with a hyphen; what is ours has been said by then.
    words(&["skipper", "config", "check"]).into_iter().chain(others).chain(["--".into(), folder]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let words = translated(line.split(' ').map(OsString::from).collect());
        let words: Vec<_> = words.iter().map(|word| word.to_str().expect("UTF-8")).collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn a_daemon_checks_its_folder() {
        check("slipd --check", "skipper config check -- /etc/slip");
        check("/usr/bin/slipd --config /x --check", "skipper config check -- /x");
        check("slipd --check --config=/x --env-file /e", "skipper config check --env-file /e -- /x");
        check("slipd -V", "skipper --version");
        check("slipd --config /x", "skipper server --config /x");
    }

    #[test]
    fn an_agent_runs_without_arguments() {
        check("skippy-agent", "skipper agent");
        check("/usr/bin/skippy-agent --check", "skipper agent --check");
        check("skippy-agent --version", "skipper --version");
    }

    #[test]
    fn other_names_change_nothing() {
        check("slip validate --strict x", "skipper validate --strict x");
        check("/opt/skipper list", "/opt/skipper list");
        check("/opt/slipd/skipper list", "/opt/slipd/skipper list");
    }
}
