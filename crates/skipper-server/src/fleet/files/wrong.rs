//! Files that could not be taken in. What was read before holds meanwhile, and what somebody wrote there is not written over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::verb::resources::Kind;

/// Which files are wrong, and how. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct WrongFiles(Arc<Mutex<BTreeMap<(Kind, String), Wrong>>>);

#[derive(Debug)]
struct Wrong {
    /// A sentence that names the file.
    what: String,
    /// The digest of the spec that was stored when the file was found to be wrong.
    stored: Option<String>,
}

impl WrongFiles {
    /// What is the matter with the file of a resource, if it cannot be read as it is now.
    #[must_use]
    pub fn of(&self, kind: Kind, id: &str) -> Option<String> {
        self.locked().get(&(kind, id.to_owned())).map(|wrong| wrong.what.clone())
    }

    pub(super) fn note(&self, kind: Kind, id: &str, what: String, stored: Option<String>) {
        self.locked().insert((kind, id.to_owned()), Wrong { what, stored });
    }

    /// The file can be read, or is gone; whether it was wrong before.
    pub(super) fn clear(&self, kind: Kind, id: &str) -> bool {
        self.locked().remove(&(kind, id.to_owned())).is_some()
    }

    /// Whether the file is wrong, and if so whether something else is stored by now than when it was found to be.
    pub(super) fn stored_since(&self, kind: Kind, id: &str, spec: &str) -> Option<bool> {
        Some(self.locked().get(&(kind, id.to_owned()))?.stored.as_deref() != Some(spec))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Kind, String), Wrong>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
