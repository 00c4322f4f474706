//! Puts a server together and runs it: lock, store, engine, edge, API; and takes it apart again in order.
//!
//! The API answers as soon as the store is open: the edge is adopted or started beside it, and what runs is looked up by
//! the engine when it gets there (`tend`). Stopping the server stops neither the edge nor any application.

pub mod lock;

mod assemble;
mod follow;
mod front;
mod listen;
mod platforms;
mod stop;
mod tend;

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skipper_core::port::{Clock, Ids};
use skipper_store::Store;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    apps::{previews, takeover},
    callbacks,
    config::Config,
    databases, fleet,
};

/// What a server needs of the process it runs in.
#[derive(Debug, Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// This program: it is started again as edge and as keeper. An absolute path.
    pub program: PathBuf,
    /// `$XDG_RUNTIME_DIR`, for a control socket whose path would be too long otherwise.
    pub runtime_dir: Option<PathBuf>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] lock::Error),
    /// The database.
    #[error("{}", told(.cause))]
    Store {
        /// What is wrong with it.
        cause: skipper_store::Error,
    },
    /// An address of the API.
    #[error("listen on {address}: {cause}{}", who_listens(*.address, .cause))]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// What went wrong.
        cause: io::Error,
    },
    /// Listening for other machines while nothing keeps them out.
    #[error(
        "refusing to listen on {0} without a token: whoever reaches that address could do anything (set ADMIN_TOKEN, or \
         make a token with `skipper token create --data-dir …`, or listen on 127.0.0.1)"
    )]
    Open(SocketAddr),
    /// A platform account.
    #[error("open the platform account `{name}`: {cause}")]
    Platform {
        /// Which one.
        name: String,
        /// What went wrong.
        cause: io::Error,
    },
    /// Signal handlers.
    #[error("listen for signals: {0}")]
    Signals(io::Error),
}

/// An error of the store with what caused it and what to do: "cannot be opened" alone does not tell a wrong name from a
/// server that does not run.
fn told(error: &skipper_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let said = next.to_string();
        // Some libraries repeat their cause in their own words.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    match error.hint() {
        Some(hint) => format!("{text} ({hint})"),
        None => text,
    }
}

fn who_listens(address: SocketAddr, cause: &io::Error) -> String {
    if cause.kind() == io::ErrorKind::AddrInUse {
        format!(" (`ss -ltnp 'sport = :{}'` tells who has it; --listen chooses another)", address.port())
    } else {
        String::new()
    }
}

/// Runs a server until SIGTERM or SIGINT, then drains it.
///
/// # Errors
///
/// Why it could not start. Once it runs, nothing of the outside world ends it.
///
/// # Cancel safety
///
/// Dropping it ends everything at once, as a crash would: leases expire, and the next start goes on from the log.
pub async fn serve(config: Config, world: World) -> Result<(), Error> {
    let stop = stop::on_signal().map_err(Error::Signals)?;
    run(config, world, stop).await
}

/// The same, until `stop` is cancelled.
///
/// # Errors
///
/// As [`serve`].
///
/// # Cancel safety
///
/// As [`serve`].
pub async fn run(config: Config, world: World, stop: CancellationToken) -> Result<(), Error> {
    lock::prepare(&config.data_dir)?;
    let _lock = lock::take(&config.data_dir)?;
    let store = Store::open(assemble::store_config(&config, &world)).await.map_err(|cause| Error::Store { cause })?;
    let known = store.meta_get().await.map_err(|cause| Error::Store { cause })?.store_id;
    lock::belongs_to(&config.data_dir, &known, store.location())?;
    guarded(&config, &store).await?;
    let listeners = listen::bind(&config.listen).await.map_err(|(address, cause)| Error::Listen { address, cause })?;
    descriptors(config.limits.connections.get());
    let tasks = TaskTracker::new();
    // The engine goes on while open requests are drained: they may wait for it.
    let later = CancellationToken::new();
    let parts = assemble::assemble(&config, &world, store.clone(), &tasks, &stop)?;

    let repositories = Arc::clone(&parts.app.resolver);
    let prepared = repositories.repositories().prepare(&config.repositories.named, config.repositories.built_in).await;
    prepared.map_err(|cause| Error::Store { cause })?;
    if config.repositories.scheduled {
        let stop = later.clone();
        tasks.spawn(async move { repositories.repositories().run(stop).await });
    }

    // What serves keeps its host name, before anybody deploys.
    config.apps.hold_what_serves(&store).await.map_err(|cause| Error::Store { cause })?;
    let apps = config.apps.clone();
    if let Ok(Err(what)) = tokio::task::spawn_blocking(move || apps.reload()).await {
        warn!("the configuration of the apps has faults; what was read before holds\n{what}");
    }
    takeover::storage_of_slip(&parts.app, &config.data_dir).await;
    let working = tasks.spawn(parts.tender.run(later.clone()));
    tasks.spawn(follow::wake(parts.app.clone(), later.clone()));
    tasks.spawn(follow::count(parts.app.clone(), later.clone()));
    tasks.spawn(callbacks::run(parts.app.clone(), later.clone()));
    tasks.spawn(config.apps.clone().follow(store.clone(), later.clone()));
    tasks.spawn(previews::tend(parts.app.clone(), later.clone()));
    tasks.spawn(front::follow(config.clone(), parts.caddy, later.clone()));
    tasks.spawn(fleet::tend(parts.app.fleet.clone(), later.clone()));
    tasks.spawn(fleet::follow_files(parts.app.clone(), config.data_dir.clone(), later.clone()));
    tasks.spawn(databases::tend(parts.app.clone(), later.clone()));
    tasks.spawn(takeover::tend(parts.app.clone(), later.clone()));

    announce(&config, &listeners);
    let bounds = listen::Bounds {
        connections: config.limits.connections,
        header_timeout: config.limits.header_timeout,
        drain: config.limits.shutdown,
        proxies: config.edge.trusted_proxies.clone().into(),
    };
    listen::serve(listeners, parts.app.router(), bounds, stop).await;

    info!("stopping; applications and the edge go on");
    let _ = fs::remove_file(config.data_dir.join("address"));
    later.cancel();
    parts.platforms.iter().for_each(platforms::Opened::close);
    let _ = timeout(ENGINE_GRACE, working).await;
    tasks.close();
    if timeout(config.limits.shutdown, tasks.wait()).await.is_err() {
        warn!(running = tasks.len(), "some work did not end in time; it is taken up again at the next start");
    }
    if timeout(STORE_GRACE, store.close()).await.is_err() {
        warn!("the store did not close in time");
    }
    Ok(())
}

/// Raises the limit of open files to what all connections may need: 1,024 is usual, and a fleet's agents are more than that. No
/// further, since what is started from here inherits it.
fn descriptors(connections: usize) {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_DESCRIPTORS);
    let limit = getrlimit(Resource::Nofile);
    let current = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    if limit.current.is_some_and(|now| now < current)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit })
    {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// Files, sockets and databases beside the connections to the API.
const OTHER_DESCRIPTORS: u64 = 1024;

/// The engine's own grace is 5 s; a little more, so that its own message comes first.
const ENGINE_GRACE: Duration = Duration::from_secs(7);
/// Time for the last commits.
const STORE_GRACE: Duration = Duration::from_secs(5);

/// Without any token only loopback addresses are listened on.
async fn guarded(config: &Config, store: &Store) -> Result<(), Error> {
    let Some(open) = config.listen.iter().find(|address| !address.ip().is_loopback()) else { return Ok(()) };
    if config.admin_token.is_some()
        || config.user.is_some()
        || config.apps.get().is_some_and(|apps| apps.secret().is_some())
        || store.token_any().await.map_err(|cause| Error::Store { cause })?
    {
        return Ok(());
    }
    Err(Error::Open(*open))
}

/// Says where the API is: one line for people, and a file for programs that let a port be picked.
fn announce(config: &Config, listeners: &[TcpListener]) {
    let addresses: Vec<String> =
        listeners.iter().filter_map(|listener| Some(listener.local_addr().ok()?.to_string())).collect();
    let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    let path = config.data_dir.join("address");
    let aside = config.data_dir.join("address.new");
    if let Err(cause) = fs::write(&aside, text).and_then(|()| fs::rename(&aside, &path)) {
        warn!(error = %cause, "the file {} could not be written", path.display());
    }
    let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
    info!(data_dir = %config.data_dir.display(), "skipper {} listens on {}", env!("CARGO_PKG_VERSION"), urls.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_cannot_be_opened_is_told_once_with_its_cause_and_what_to_do() {
        let cause = skipper_store::Error::CannotOpen {
            doing: "open the database",
            location: "postgres://db/skipper".to_owned(),
            source: io::Error::from(io::ErrorKind::ConnectionRefused).into(),
        };
        let error = Error::Store { cause }.to_string();
        assert_eq!(
            error,
            "open the database: the database postgres://db/skipper cannot be opened: connection refused (check the path \
             or URL, and the permissions)"
        );
    }

    #[test]
    fn an_address_that_is_taken_is_told_with_how_to_find_who_has_it() {
        let error =
            Error::Listen { address: SocketAddr::from(([127, 0, 0, 1], 7577)), cause: io::ErrorKind::AddrInUse.into() };
        assert!(error.to_string().contains("sport = :7577"), "{error}");
    }
}
