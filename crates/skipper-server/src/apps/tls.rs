//! Which host names of apps the edge serves with TLS.

use std::path::PathBuf;

use skipper_source::app::TlsHosts;

/// Where that is known from. Nothing is served with TLS by default.
#[derive(Debug, Clone, Default)]
pub struct EdgeTls {
    /// Whether the edge orders certificates.
    pub orders: bool,
    /// The folder that it reads certificates from.
    pub folder: Option<PathBuf>,
}

impl EdgeTls {
    /// The host names, as it is now.
    pub(crate) async fn hosts(&self) -> TlsHosts {
        let Some(folder) = self.folder.clone() else {
            return TlsHosts { ordered: self.orders, ..TlsHosts::default() };
        };
        let read = tokio::task::spawn_blocking(move || skipper_edge::certificate_names(&folder)).await;
        TlsHosts { ordered: self.orders, filed: read.unwrap_or_default() }
    }
}
