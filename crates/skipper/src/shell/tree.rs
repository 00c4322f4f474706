use std::{ffi::OsString, path::PathBuf};

use clap::{FromArgMatches as _, Subcommand as _, ValueHint};

use crate::{
    cli::{self, Cli},
    spelling,
};

/// What the shell knows beside the verbs of the command line.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Builtin {
    /// List the commands, or explain one
    Help {
        /// Which one
        #[arg(value_name = "COMMAND")]
        path: Vec<String>,
    },
    /// Clear the screen
    Clear,
    /// Leave the shell
    #[command(visible_alias = "quit")]
    Exit {
        /// Exit code of the shell
        #[arg(value_name = "CODE", default_value_t = 0)]
        code: u8,
    },
    /// Run the commands in a file, until one fails
    Script {
        /// The file: a command a line; lines that begin with // or # are comments
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present = "spring_file")]
        file: Option<PathBuf>,
        /// The same by name: the file
        #[arg(long = "file", value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "file", hide = true)]
        spring_file: Option<PathBuf>,
        /// Go on after a command that failed
        #[arg(long = "continue")]
        keep_going: bool,
    },
    /// Show what led to the last error
    Stacktrace,
}

/// A line that was understood.
#[derive(Debug)]
pub(super) enum Parsed {
    Builtin(Builtin),
    Verb(Box<Cli>),
}

/// Verbs that stay in the foreground, or are about the shell that started this one.
const OUTSIDE: [&str; 10] =
    ["server", "edge", "demo", "load", "shell", "sample", "keeper", "completions", "man", "markdown-help"];

/// The verbs of the command line and those of the shell. Spring's long options and commands, which the command line keeps
/// out of its help, are shown here.
pub(super) fn tree() -> clap::Command {
    let root = cli::command().disable_help_subcommand(true);
    let root = spring_in_sight(root, "");
    Builtin::augment_subcommands(root).about("The commands of the shell; `help COMMAND` explains one.").after_help("")
}

fn spring_in_sight(command: clap::Command, path: &str) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let hidden: Vec<String> = command
        .get_arguments()
        .filter(|arg| arg.is_hide_set() && arg.get_long().is_some())
        .map(|arg| arg.get_id().to_string())
        .collect();
    let command = hidden.into_iter().fold(command, |command, id| command.mut_arg(id, |arg| arg.hide(false)));
    names.into_iter().fold(command, |command, name| {
        let below = format!("{path} {name}");
        let below = below.trim_start();
        let hide = OUTSIDE.contains(&below) || below == "get";
        command.mut_subcommand(&name, |sub| spring_in_sight(sub, below).hide(hide))
    })
}

/// Reads the words of a line. `skipper` in front says nothing here.
///
/// # Errors
///
/// What `clap` has to say: usage, help.
pub(super) fn parse(words: Vec<String>) -> Result<Parsed, clap::Error> {
    let words = args(words);
    let mut tree = tree();
    let matches = tree.try_get_matches_from_mut(words).map_err(|error| cli::tactful(error, &tree))?;
    let builtin = matches.subcommand_name().is_some_and(Builtin::has_subcommand);
    if builtin {
        return Builtin::from_arg_matches(&matches).map(Parsed::Builtin);
    }
    cli::understood(&matches).map(Box::new).map(Parsed::Verb)
}

/// The words as a command line: the program first, options in the library's spelling.
pub(super) fn args(words: Vec<String>) -> Vec<OsString> {
    let skip = usize::from(words.first().is_some_and(|word| word == "skipper"));
    spelling::kebab(std::iter::once("skipper".into()).chain(words.into_iter().skip(skip).map(OsString::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        tree().debug_assert();
    }

    #[test]
    fn builtins_and_verbs_are_told_apart() {
        let read = |line: &str| parse(line.split(' ').map(str::to_owned).collect());
        assert!(matches!(read("quit"), Ok(Parsed::Builtin(Builtin::Exit { code: 0 }))));
        assert!(matches!(read("help package install"), Ok(Parsed::Builtin(Builtin::Help { path })) if path.len() == 2));
        assert!(matches!(read("release list --releaseName x"), Ok(Parsed::Verb(_))));
        assert!(matches!(read("skipper list"), Ok(Parsed::Verb(_))));
        assert!(read("nonsense").is_err());
        let told = |line: &str| read(line).expect_err("there is none").to_string();
        assert!(told("instal").contains("'install'"));
        for (line, not) in [("keepr", "keeper"), ("serve", "server"), ("sampl", "sample")] {
            assert!(!told(line).contains(&format!("'{not}'")), "{}", told(line));
        }
    }
}
