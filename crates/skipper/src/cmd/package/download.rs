use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::ValueHint;
use skipper_core::Sha256;

use super::super::Context;
use crate::{
    client::Call,
    complete,
    failure::{Doing as _, Done, Failure, writing},
};

/// Arguments of `package download`.
#[derive(Debug, clap::Args)]
pub(crate) struct Download {
    /// Package: `name`, `repository/name` or `name@version`
    #[arg(value_name = "PACKAGE", add = complete::packages())]
    package: String,
    /// Version [default: the newest]
    #[arg(value_name = "VERSION", add = complete::package_versions())]
    version: Option<String>,
    /// File or folder to write to, `-` for standard output [default: NAME-VERSION.zip here]
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    output: Option<PathBuf>,
}

impl Download {
    pub(super) async fn run(self, context: &Context) -> Done {
        let client = context.client()?;
        let found = super::find(client, &super::known(&self.package, self.version.as_deref())?).await?;
        let call = Call::get(&["v1", "packages", &found.repository, &found.name, &found.version, "archive"]);
        let bytes = client.ask_raw(&call).await?;
        let sha256 = Sha256::of(&bytes).to_string();
        // One that the server itself had to fetch first has no digest in the list yet.
        if found.sha256.as_ref().is_some_and(|known| *known != sha256) {
            return Err(Failure::error(
                "the archive did not arrive whole: its sha256 is not the one in the repository",
            )
            .hint("try again"));
        }
        let given = self.output.unwrap_or_default();
        if given.as_os_str() == "-" {
            let mut out = io::stdout().lock();
            return out.write_all(&bytes).and_then(|()| out.flush()).map_err(|error| writing(&error));
        }
        let name = format!("{}-{}.zip", found.name, found.version);
        let full = context.surroundings.resolve(&given);
        let (path, shown) = if given.as_os_str().is_empty() || full.is_dir() {
            (full.join(&name), given.join(&name))
        } else {
            (full, given)
        };
        write_whole(&path, &bytes).doing(|| format!("write {}", shown.display()))?;
        if context.out.json {
            return context.out.json(&found);
        }
        context.out.line(&format!("{sha256}  {}", shown.display()))
    }
}

/// Writes a file whole or not at all, with the usual rights.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o644)).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
