//! `[databases.NAME]`: who makes branches of databases for previews.

use skipper_core::secret::SecretValue;

use super::{
    expand::{self, Environment},
    value,
};
use crate::fields::{Field, Fields};

/// Where Neon's API is.
const NEON: &str = "https://console.neon.tech/api/v2";
/// Longest name or id at a provider.
const MAX_WORD: usize = 255;

/// A provider as the server knows it. What it leaves open, images say under `[preview.database]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseProvider {
    /// Its name in the file, by which images name it.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Where its API is, without a slash at its end.
    pub url: String,
    /// Lets in; where it is not written down, it is a secret of the store.
    pub api_key: Option<SecretValue>,
    /// The project of every branch; images cannot choose another one.
    pub project_id: Option<String>,
    /// The branch to start from, by name or id, where the image names none.
    pub branch_from: Option<String>,
    /// The database that the address leads to, where the branch has several.
    pub database: Option<String>,
    /// Who connects; the owner of the database when `None`.
    pub role: Option<String>,
}

/// The API that a provider speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProviderKind {
    /// That of Neon, or one of the same shape.
    #[default]
    Neon,
}

impl DatabaseProvider {
    /// A provider of which `slip.toml` says nothing: known by its name alone. `None` where that says nothing.
    #[must_use]
    pub fn known(name: &str) -> Option<Self> {
        (name == "neon").then(|| Self {
            name: name.to_owned(),
            kind: ProviderKind::Neon,
            url: NEON.to_owned(),
            api_key: None,
            project_id: None,
            branch_from: None,
            database: None,
            role: None,
        })
    }
}

/// `[databases]`.
pub(super) fn read(field: &Field<'_>, env: Environment<'_>) -> Vec<DatabaseProvider> {
    let entries = field.entries(value::MAX_ITEMS);
    entries.into_iter().filter_map(|(name, entry)| provider(name, entry.fields()?, env)).collect()
}

fn provider(name: &str, mut fields: Fields<'_>, env: Environment<'_>) -> Option<DatabaseProvider> {
    let kind = match fields.get("kind") {
        None => Some(ProviderKind::default()),
        Some(field) => match field.text()?.as_str() {
            "neon" => Some(ProviderKind::Neon),
            _ => field.expected("`neon`"),
        },
    };
    let url = match fields.get("url") {
        None => Some(NEON.to_owned()),
        // A key goes there.
        Some(field) => value::guarded_url(&field),
    };
    let api_key = fields.get("api_key").and_then(|field| expand::secret(&field, env));
    let [project_id, branch_from, database, role] = ["project_id", "branch_from", "database", "role"]
        .map(|key| fields.get(key).and_then(|field| value::plain(&field, MAX_WORD)));
    fields.finish();
    let name = name.to_owned();
    Some(DatabaseProvider { name, kind: kind?, url: url?, api_key, project_id, branch_from, database, role })
}
