use crate::complete;

/// A release that is there: as a word, or by Spring's long flag.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReleaseArg {
    /// The release
    #[arg(value_name = "NAME", required_unless_present = "release_name", add = complete::releases())]
    name: Option<String>,
    /// The same by name: the release
    #[arg(long, value_name = "NAME", hide = true, conflicts_with = "name", add = complete::releases())]
    release_name: Option<String>,
}

impl ReleaseArg {
    /// Whether it was given by Spring's flag.
    pub(crate) const fn is_spring(&self) -> bool {
        self.release_name.is_some()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().or(self.release_name.as_deref()).unwrap_or_default()
    }
}
