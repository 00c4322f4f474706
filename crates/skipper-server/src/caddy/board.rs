//! What is known of Caddy, for whoever asks.

use std::collections::BTreeSet;

use skipper_core::{spec::Application, time::Timestamp};
use tokio::sync::watch;

use super::plan::{Entry, Left};

/// How Caddy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaddyState {
    /// Where its admin API is.
    pub admin: String,
    /// Whether it has what it should.
    pub health: CaddyHealth,
    /// Since when it is so.
    pub since: Timestamp,
    /// Where it is reached under them.
    pub entry: Option<Entry>,
    /// Host names that it leads to the edge.
    pub hosts: usize,
    /// Those that it does not, and why.
    pub left: Vec<Left>,
    /// How often its configuration was changed since the server started.
    pub changes: u64,
}

impl CaddyState {
    /// Host names of an application that Caddy leads elsewhere, as sentences.
    pub fn led_elsewhere<'a>(&'a self, app: &'a Application) -> impl Iterator<Item = String> + 'a {
        let hosts = || app.routes.iter().filter_map(|route| route.host.as_ref());
        let left = self.left.iter().filter(move |left| hosts().any(|host| host.as_str() == left.host));
        left.map(|left| format!("Caddy does not lead {} to `{}`: {}", left.host, app.name, left.why))
    }
}

/// Whether Caddy has what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaddyHealth {
    /// It was not asked yet.
    Unknown,
    /// Everything, but for what is [`CaddyState::left`].
    Ok,
    /// Nothing answers.
    Unreachable {
        /// What happened.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
    /// It answers, and does not take what it is told.
    Refuses {
        /// What it says.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
}

impl CaddyHealth {
    /// In a word, for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Unreachable { .. } => "unreachable",
            Self::Refuses { .. } => "refuses",
        }
    }
}

/// Where the state is written and read; empty where no Caddy is configured, or another server looks after it.
#[derive(Debug, Default)]
pub struct Board {
    state: watch::Sender<Option<CaddyState>>,
    /// What of slip's is gone for good, and its routes still to go.
    leaving: watch::Sender<BTreeSet<String>>,
}

impl Board {
    /// The state now.
    #[must_use]
    pub fn state(&self) -> Option<CaddyState> {
        self.state.borrow().clone()
    }

    pub(super) fn set(&self, state: Option<CaddyState>) {
        self.state.send_replace(state);
    }

    /// Has slip's routes removed of apps and previews that it runs no more and that nothing takes the place of. `labels` are what it
    /// calls them; the routes of an app's previews go with those of the app.
    pub(crate) fn leave(&self, labels: Vec<String>) {
        if !labels.is_empty() {
            self.leaving.send_modify(|leaving| leaving.extend(labels));
        }
    }

    /// What is to leave.
    pub(super) fn leaving(&self) -> BTreeSet<String> {
        self.leaving.borrow().clone()
    }

    /// They have left.
    pub(super) fn left(&self, labels: &BTreeSet<String>) {
        self.leaving.send_if_modified(|leaving| {
            leaving.retain(|label| !labels.contains(label));
            false
        });
    }

    /// Resolves when something is to leave.
    pub(super) async fn is_left(&self) {
        // The sender is ours.
        let _ = self.leaving.subscribe().changed().await;
    }
}
