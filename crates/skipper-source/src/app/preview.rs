//! Previews: one more release of an app, made for a pull request, with a host name, a life and bounds of its own.

/// Stands between the name of an app and the id of a preview in the name of its release; no app's own name holds it.
pub(super) const INFIX: &str = ".preview.";

/// Where the data of a preview comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DatabaseStrategy {
    /// From what its variables name.
    #[default]
    Shared,
    /// From a container of its own pod.
    Ephemeral,
    /// From a branch that a provider makes.
    Branch,
}

/// `[preview.database]` of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// Which of the three.
    pub strategy: DatabaseStrategy,
    /// Who makes branches; there whenever the strategy is `Branch`.
    pub provider: Option<String>,
    /// The provider's project.
    pub project_id: Option<String>,
    /// The branch to start from.
    pub branch_from: Option<String>,
    /// The variable that tells the address of the branch.
    pub variable: String,
}
