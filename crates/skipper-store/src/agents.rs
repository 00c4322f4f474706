//! Whose agent a token lets in, as it was read last: agents that only wait ask again and again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use skipper_core::{Sha256, name::NodeName};

/// Most tokens that are remembered.
const MOST: usize = 50_000;

/// A token that lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) node: NodeName,
    /// In microseconds.
    pub(crate) expires_at: Option<i64>,
}

/// The tokens that were found to let in. Whatever changes any of them makes all forgotten when it is committed, before whoever asked
/// for it is answered.
#[derive(Debug, Default)]
pub(crate) struct Agents(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    forgotten: u64,
    known: HashMap<Sha256, Known>,
}

impl Agents {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known; otherwise how often all was forgotten, to be told to [`Agents::remember`] when it was read.
    pub(crate) fn get(&self, token: Sha256) -> Result<Known, u64> {
        let state = self.state();
        state.known.get(&token).cloned().ok_or(state.forgotten)
    }

    /// Unless something was changed since it was read.
    pub(crate) fn remember(&self, token: Sha256, known: Known, forgotten: u64) {
        let mut state = self.state();
        if state.forgotten != forgotten {
            return;
        }
        if state.known.len() >= MOST {
            state.known.clear();
        }
        state.known.insert(token, known);
    }

    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.forgotten += 1;
        state.known.clear();
    }
}
