use super::Context;
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

/// Which revision of a release is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Whichever the verb takes by itself.
    Usual,
    /// That of this number.
    Revision(u64),
    /// The one in which this version was made: a scaling makes a revision and no version.
    Version(u64),
}

impl Which {
    /// A number alone is that of a revision, but of a version in the shell, whose tables show versions. Spring's
    /// `--release-version` is that of a version anywhere, and 0 there is as good as nothing.
    pub(crate) fn of(context: &Context, revision: Option<u64>, release_version: Option<u64>) -> Self {
        let said = |number: &u64| *number != 0;
        match (revision.filter(said), release_version.filter(said)) {
            (None, None) => Self::Usual,
            (Some(number), _) if !context.out.guide => Self::Revision(number),
            (Some(number), _) | (None, Some(number)) => Self::Version(number),
        }
    }

    /// As a part of a path of `/v1`.
    pub(crate) fn segment(self) -> Option<String> {
        match self {
            Self::Usual => None,
            Self::Revision(number) => Some(number.to_string()),
            Self::Version(number) => Some(format!("v{number}")),
        }
    }
}

/// The number of a version, 0 for the usual one.
pub(crate) fn version(text: &str) -> Result<u64, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("a version can not be less than zero.  Value = {number}")),
        Ok(number) => Ok(number.unsigned_abs()),
        Err(_) => Err("it is not the number of a version".to_owned()),
    }
}
