use crate::{EdgeConfig, Error};

/// Placeholder.
///
/// # Errors
///
/// See [`Error`].
pub fn run(config: EdgeConfig) -> Result<(), Error> {
    drop(config);
    Ok(())
}
