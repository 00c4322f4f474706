//! Work on a data directory whose server does not run.

use std::path::{Path, PathBuf};

use skipper_server::api::own::wire::{NewToken, TokenCreated};

use super::Context;
use crate::failure::{Done, Failure};

pub(super) async fn create_token(context: &Context, dir: &Path, new: &NewToken) -> Result<TokenCreated, Failure> {
    let _ = (context, dir, new);
    Err(Failure::error("not yet"))
}

pub(super) async fn restore(
    context: &Context,
    file: &Path,
    config: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    database: Option<String>,
    force: bool,
) -> Done {
    let _ = (context, file, config, data_dir, database, force);
    Err(Failure::error("not yet"))
}
