use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::ValueHint;

use super::Context;
use crate::{
    client::Call,
    failure::{Doing as _, Done, Failure, writing},
};

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The backup is consistent although the server works on. Secrets in it are sealed; their key, keys/secret.key in the data
directory, is not in it: keep a copy of that file elsewhere, or the secrets are lost with it. Applications' own data in
volumes/ is not in it either.")]
pub(crate) struct Backup {
    /// File to write, `-` for standard output
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub(super) async fn run(self, context: &Context) -> Done {
        let to_stdout = self.file.as_os_str() == "-";
        let path = context.surroundings.resolve(&self.file);
        if !to_stdout && !self.force && path.exists() {
            return Err(Failure::error(format!("{} is there already; nothing was written", self.file.display()))
                .hint("name another file, or add --force"));
        }
        let mut response = context.client()?.open(&Call::post(&["v1", "backup"]), &[]).await?;
        let broke = |error: reqwest::Error| Failure::error(format!("the backup did not arrive whole: {error}"));
        let mut bytes = 0;
        if to_stdout {
            let mut out = std::io::stdout().lock();
            while let Some(chunk) = response.chunk().await.map_err(broke)? {
                out.write_all(&chunk).map_err(|error| writing(&error))?;
            }
            return out.flush().map_err(|error| writing(&error));
        }
        let doing = || format!("write {}", self.file.display());
        let folder = path.parent().unwrap_or(Path::new("/"));
        // Readable by its owner only: it holds everything but the secrets' key.
        let mut file = tempfile::NamedTempFile::new_in(folder).doing(doing)?;
        while let Some(chunk) = response.chunk().await.map_err(broke)? {
            file.write_all(&chunk).doing(doing)?;
            bytes += chunk.len();
        }
        if bytes == 0 {
            return Err(Failure::error("the server sent an empty backup; nothing was written"));
        }
        file.as_file().sync_all().doing(doing)?;
        if self.force {
            file.persist(&path).doing(doing)?;
        } else {
            file.persist_noclobber(&path).doing(doing)?;
        }
        if context.out.json {
            return context.out.json(&serde_json::json!({"file": self.file, "bytes": bytes}));
        }
        context.out.line(&format!("{}  {bytes} bytes", self.file.display()))?;
        context
            .out
            .next("keep keys/secret.key of the data directory elsewhere too: without it the secrets stay sealed");
        Ok(())
    }
}
