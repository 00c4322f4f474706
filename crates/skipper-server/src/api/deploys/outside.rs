//! Where the host names of apps are reached, as a person would type it.

use std::time::Duration;

use skipper_core::route::Host;

use crate::{api::own, app::App, caddy::CaddyState, edge::EdgeState, verb};

/// Longest that the edge is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// What is known of what listens.
pub(super) struct Outside {
    edge: Option<EdgeState>,
    caddy: Option<CaddyState>,
}

impl Outside {
    /// Asks the edge, where no Caddy is in front of it.
    pub(super) async fn of(app: &App) -> Self {
        let caddy = app.caddy.state();
        let edge = match caddy {
            Some(_) => None,
            None => verb::edge::seen(app, LOOK).await,
        };
        Self { edge, caddy }
    }

    /// The address of a host name; `tls`: whether the edge serves it so.
    pub(super) fn url(&self, host: &Host, tls: bool) -> String {
        own::host_url(host, tls, self.edge.as_ref(), self.caddy.as_ref())
    }
}
