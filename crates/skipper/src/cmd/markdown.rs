use clap::Arg;

use super::Context;
use crate::{cli, failure::Done};

/// Arguments of `markdown-help`.
#[derive(Debug, clap::Args)]
pub(crate) struct MarkdownHelp {}

impl MarkdownHelp {
    pub(super) fn run(self, context: &Context) -> Done {
        let Self {} = self;
        context.out.text(&document())
    }
}

const HEAD: &str = "\
# The command line

<!-- Written by `skipper markdown-help > docs/cli.md`; a test compares the two. -->

Results go to standard output, everything else to standard error. `--json` prints the wire types of the API, which only
ever grow; the text is for people and may change.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an error without a code of its own |
| 2 | the command line is wrong |
| 3 | no token, a wrong one, or one that may not do this |
| 4 | what was named does not exist |
| 5 | the rollout failed or was cancelled; the revision before it serves |
| 6 | `--timeout` passed, or the server did not answer in time; the rollout goes on |
| 130 | Ctrl-C; the rollout goes on |

Which server: `--url`, else `--target`, else `SKIPPER_URL`, else the current target of `skipper config`, else
`http://127.0.0.1:7577`. Which token: `--token-file` or `--token`, else `SKIPPER_TOKEN` or `SKIPPER_TOKEN_FILE`, else the
target's own, which is sent to that target only. `SLIP_SERVER` and `SLIP_TOKEN` count where `SKIPPER_URL` and `SKIPPER_TOKEN` are not
set. Called as `slip`, they come first, and the last resort is `http://localhost:7890`. `SLIP_SECRET` is the key that `deploy` signs
with, else `secret_file` of the target.
";

/// `docs/cli.md`.
fn document() -> String {
    let mut root = cli::command();
    root.build();
    let mut text = HEAD.to_owned();
    let shared = shared(&root);
    text.push_str("\n## Options of every verb\n\nThe `Server` options belong to verbs that talk to a server.\n\n");
    for arg in cli::shown_args(&root).filter(|arg| shared.contains(&arg.get_id().to_string())) {
        text.push_str(&arg_line(arg));
    }
    for sub in root.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        section(&mut text, sub, &format!("skipper {}", sub.get_name()), &shared);
    }
    text
}

fn shared(root: &clap::Command) -> Vec<String> {
    let own = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version");
    cli::shown_args(root).filter(own).map(|arg| arg.get_id().to_string()).collect()
}

fn section(text: &mut String, command: &clap::Command, path: &str, shared: &[String]) {
    text.push_str(&format!("\n## `{path}`\n\n"));
    if let Some(about) = command.get_about() {
        text.push_str(&format!("{about}.\n\n"));
    }
    let aliases: Vec<_> = command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
    if !aliases.is_empty() {
        text.push_str(&format!("Also {}.\n\n", aliases.join(", ")));
    }
    let usage = command.clone().render_usage().to_string();
    let usage: Vec<_> = usage.trim_start_matches("Usage:").lines().map(str::trim).collect();
    text.push_str(&format!("```text\n{}\n```\n", usage.join("\n").trim()));
    let mine = |arg: &&Arg| {
        let id = arg.get_id().as_str();
        // A verb's own option of the same name is not the shared one.
        id != "help" && (!shared.contains(&id.to_owned()) || is_own(arg))
    };
    let args: Vec<_> = cli::shown_args(command).filter(mine).collect();
    if !args.is_empty() {
        text.push('\n');
        args.iter().for_each(|arg| text.push_str(&arg_line(arg)));
    }
    if let Some(more) = command.get_after_help() {
        text.push_str(&format!("\n```text\n{}\n```\n", more.to_string().trim_end()));
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        section(text, sub, &format!("{path} {}", sub.get_name()), shared);
    }
}

fn is_own(arg: &Arg) -> bool {
    !matches!(arg.get_help_heading(), Some("Server" | "Output"))
}

fn arg_line(arg: &Arg) -> String {
    let values: Vec<_> = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes = arg.get_action().takes_values() && !values.is_empty();
    let value = if takes { format!(" <{}>", values.join(" ")) } else { String::new() };
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|short| format!("-{short}")));
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    names.extend(arg.get_visible_aliases().unwrap_or_default().iter().map(|alias| format!("--{alias}")));
    let shown = if arg.is_positional() {
        let name = values.join(" ");
        let dots = if matches!(arg.get_action(), clap::ArgAction::Append) { "..." } else { "" };
        format!("`{name}{dots}`")
    } else {
        let last = names.len().saturating_sub(1);
        let with_value = |(at, name): (usize, &String)| {
            if at == last { format!("`{name}{value}`") } else { format!("`{name}`") }
        };
        names.iter().enumerate().map(with_value).collect::<Vec<_>>().join(", ")
    };
    let mut line = format!("- {shown}: {}", arg.get_help().map(ToString::to_string).unwrap_or_default());
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if takes && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        line.push_str(&format!(" [default: {}]", defaults.join(", ")));
    }
    let possible = arg.get_possible_values();
    if takes && !possible.is_empty() && !arg.is_hide_possible_values_set() {
        let words: Vec<_> = possible.iter().map(clap::builder::PossibleValue::get_name).collect();
        line.push_str(&format!(" [possible: {}]", words.join(", ")));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_cli_md_is_what_the_tree_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == document(),
            "docs/cli.md is out of step; run: cargo run -p skipper -- markdown-help > docs/cli.md"
        );
    }
}
