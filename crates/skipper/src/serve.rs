//! Puts the server together.

use skipper_server::config::Loaded;

use crate::{cmd::Context, failure::Done};

/// Runs the server until it is told to stop.
///
/// # Errors
///
/// Why it could not start.
pub(crate) fn run(context: &Context, loaded: Loaded) -> Done {
    drop(loaded);
    context.out.line("not yet")
}
