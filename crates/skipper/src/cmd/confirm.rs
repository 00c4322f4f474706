use std::io::BufRead as _;

use super::Context;
use crate::{
    failure::{Done, Exit, Failure},
    render::to_stderr,
};

/// Asks a person before something that cannot be taken back. Where nobody can answer, `--yes` is required.
///
/// # Errors
///
/// "No", or nobody to ask.
pub(crate) fn ask(context: &Context, question: &str, yes: bool) -> Done {
    if yes {
        return Ok(());
    }
    if !context.surroundings.stdin_is_terminal || !context.surroundings.stderr_is_terminal {
        return Err(Failure::usage(format!("{question} Nobody is here to answer")).hint("add --yes"));
    }
    to_stderr(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Error, "nothing was done")),
    }
}
