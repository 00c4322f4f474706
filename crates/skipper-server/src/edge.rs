//! What the server shows of its edge. Switching traffic is [`skipper_core::port::Router`]'s; this is only looking.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;
use skipper_core::{BoxFuture, id::ReleaseId, name::AppName, port::Error, route::ServiceId};
use skipper_edge::EdgeRouter;

/// An edge that can be looked at.
pub trait EdgeView: Send + Sync + fmt::Debug {
    /// What it says of itself.
    fn info(&self) -> BoxFuture<'_, Result<EdgeState, Error>>;

    /// Its counters as Prometheus text.
    fn metrics(&self) -> BoxFuture<'_, Result<String, Error>>;

    /// What it does with the requests of a release's applications: `open`, `held`, `maintenance`.
    fn modes(&self, release: ReleaseId) -> BoxFuture<'_, Result<BTreeMap<String, String>, Error>>;
}

/// What an edge says of itself.
#[derive(Debug, Clone, Default)]
pub struct EdgeState {
    /// Open listeners: `http`, `https` or `:port`, and where they are bound.
    pub listeners: Vec<(String, std::net::SocketAddr)>,
    /// Listeners that routes need and that cannot be opened, with why.
    pub shut: Vec<(String, String)>,
    /// Its own document, for people.
    pub document: Value,
}

/// Applications of one release that are asked for at once; few have more than ten.
const MODES: u32 = 100;

impl EdgeView for EdgeRouter {
    fn info(&self) -> BoxFuture<'_, Result<EdgeState, Error>> {
        Box::pin(async move {
            let info = Self::info(self).await?;
            let listeners = info.listeners.iter().map(|open| (open.listener.clone(), open.address)).collect();
            let mut document = serde_json::to_value(&info).unwrap_or_default();
            if let Some(map) = document.as_object_mut() {
                // Whoever knows it can ask the edge which deployment answered.
                map.remove("verify_token");
            }
            let shut = info.shut.iter().map(|shut| (shut.listener.clone(), shut.reason.clone())).collect();
            Ok(EdgeState { listeners, shut, document })
        })
    }

    fn metrics(&self) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(Self::metrics(self))
    }

    fn modes(&self, release: ReleaseId) -> BoxFuture<'_, Result<BTreeMap<String, String>, Error>> {
        Box::pin(async move {
            // The table is paged by id; this one sorts before everything of the release.
            let before = release.uuid().as_u128().saturating_sub(1);
            let app = AppName::new("z".repeat(255)).expect("letters are a name");
            let after = ServiceId { release: ReleaseId::from_uuid(uuid::Uuid::from_u128(before)), app };
            let rows = self.table(Some(&after), MODES).await?;
            let own = release.to_string();
            Ok(rows
                .into_iter()
                .filter(|row| row.service.release == own)
                .map(|row| (row.service.app, row.service.mode))
                .collect())
        })
    }
}
