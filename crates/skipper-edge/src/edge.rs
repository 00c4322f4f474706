use std::{
    io,
    net::TcpListener,
    os::unix::net::UnixListener as StdUnixListener,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    net::UnixListener,
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    EdgeConfig, Error,
    acme::{self, Acme},
    control::{
        handover::{self, Predecessor, unpoisoned},
        server, socket,
    },
    listen::{Acceptor, CertificateStore, Listeners, Pool, Worker, named},
    proxy::Shared,
    state::{Journal, Record, Registry, Restored},
};

/// How often snapshots, certificates and the log's size are looked after.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// How many turns pass between two tries to open listeners that could not be opened.
const REOPEN_EVERY: u32 = 5;
/// Housekeeping turns between two looks at files.
const FILES_EVERY: u32 = 30;
/// Size at which the log is cut.
const LOG_MAX: u64 = 8 * 1024 * 1024;
/// How long it is tried to take over from an edge that refuses.
const TAKE_AGAIN: Duration = Duration::from_secs(1);
/// How often an edge that leaves looks whether it is done.
const LEAVING: Duration = Duration::from_millis(20);

/// What the control side of an edge works with.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    registry: Mutex<Registry>,
    /// Another value after each start.
    pub(crate) boot: String,
    pub(crate) predecessor: Predecessor,
    pub(crate) control: Arc<UnixListener>,
    pub(crate) lame_duck: Duration,
    pub(crate) origin: Option<String>,
    /// A successor has the control socket.
    pub(crate) replaced: CancellationToken,
    leave: watch::Sender<Option<Leave>>,
    pub(crate) certificates: Arc<CertificateStore>,
}

/// How to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Time for what is in flight.
    pub(crate) bound: Duration,
    /// Another edge has the sockets: idle connections are left to end by themselves.
    pub(crate) successor: bool,
}

impl Core {
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        unpoisoned(self.registry.lock())
    }

    /// Begins to leave. Asked again, the shorter bound counts.
    pub(crate) fn leave(&self, how: Leave) {
        self.leave.send_modify(|current| {
            let before = current.get_or_insert(how);
            before.bound = before.bound.min(how.bound);
        });
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leave.borrow().is_some()
    }
}

/// A running edge in this process.
#[derive(Debug)]
pub struct Edge {
    core: Arc<Core>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Edge {
    /// Starts an edge, or takes over from the one that answers on the same control socket. Returns when it serves.
    ///
    /// # Errors
    ///
    /// See [`Error`]. Nothing runs then, and an edge that was to be taken over goes on.
    pub fn start(config: EdgeConfig) -> Result<Self, Error> {
        Self::start_unless(config, CancellationToken::new())
    }

    /// The same, until `early` is cancelled: too late, and it has started.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] as well.
    pub(crate) fn start_unless(config: EdgeConfig, early: CancellationToken) -> Result<Self, Error> {
        let (up, started) = std::sync::mpsc::channel();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|cause| Error::System { what: "control thread", cause })?;
            runtime.block_on(control(config, &early, &up))
        };
        let thread = std::thread::Builder::new()
            .name("edge-control".to_owned())
            .spawn(work)
            .map_err(|cause| Error::System { what: "control thread", cause })?;
        match started.recv() {
            Ok(core) => Ok(Self { core, thread }),
            // It ended before it was up, so its result says why.
            Err(_) => Err(joined(thread)
                .err()
                .unwrap_or_else(|| Error::System { what: "control thread", cause: io::ErrorKind::Other.into() })),
        }
    }

    /// Takes no new connection, lets requests in flight end within `bound`, and ends. Returns at once.
    pub fn stop(&self, bound: Duration) {
        self.core.leave(Leave { bound, successor: false });
    }

    /// Reads the certificates again, and orders at once what could not be had before.
    pub fn reload_certificates(&self) {
        self.handle().reload();
    }

    /// Waits until it has ended, after [`Edge::stop`], a call of `shutdown`, or a handover.
    ///
    /// # Errors
    ///
    /// What made it end, if that was a failure.
    pub fn join(self) -> Result<(), Error> {
        joined(self.thread)
    }

    /// For [`crate::run`], which watches the signals.
    pub(crate) fn handle(&self) -> Handle {
        Handle(self.core.clone())
    }
}

/// What a watcher of signals may do.
#[derive(Debug, Clone)]
pub(crate) struct Handle(Arc<Core>);

impl Handle {
    pub(crate) fn stop(&self) {
        self.0.leave(Leave { bound: self.0.lame_duck, successor: false });
    }

    pub(crate) fn reload(&self) {
        self.0.certificates.reload();
        if let Some(acme) = &self.0.shared.acme {
            acme.retry();
        }
    }
}

fn joined(thread: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
    thread.join().unwrap_or_else(|_| {
        Err(Error::System { what: "control thread", cause: io::Error::other("it died; its log says where") })
    })
}

struct Threads {
    workers: Vec<Worker>,
    kill: CancellationToken,
}

async fn control(
    config: EdgeConfig,
    early: &CancellationToken,
    up: &std::sync::mpsc::Sender<Arc<Core>>,
) -> Result<(), Error> {
    let log_file = config.log_file.clone();
    let path = config.control.clone();
    let (core, threads) = boot(config, early).await?;
    let tasks = TaskTracker::new();
    let answering = CancellationToken::new();
    let serving = server::serve(core.clone(), core.control.clone(), tasks.clone());
    let until = answering.clone();
    tasks.spawn(async move {
        until.run_until_cancelled_owned(serving).await;
    });
    let ordering = CancellationToken::new();
    if let Some(acme) = core.shared.acme.clone() {
        let (core, until) = (core.clone(), ordering.clone());
        tasks.spawn(async move {
            until.run_until_cancelled_owned(acme::keep(core, acme)).await;
        });
    }
    // Nobody to tell: then nobody will join either, and the edge runs until it is told to stop.
    let _ = up.send(core.clone());

    let how = housekeep(&core, log_file).await;
    // A successor orders what it needs; two must not order the same.
    ordering.cancel();
    if how.successor {
        // The successor answers from now on; calls that wait here were closed already.
        answering.cancel();
    }
    lame_duck(&core, how).await;
    answering.cancel();
    if !how.successor {
        core.registry().write_snapshot();
        // The next edge makes its own; a client that connects meanwhile finds nobody rather than a dead socket.
        let _ = std::fs::remove_file(&path);
    }
    threads.kill.cancel();
    for worker in threads.workers {
        worker.join();
    }
    Ok(())
}

/// Until it has taken over, `early` calls it off, and an edge that was there goes on.
async fn boot(config: EdgeConfig, early: &CancellationToken) -> Result<(Arc<Core>, Threads), Error> {
    socket::private_folder(&socket::folder_of(&config.control))?;
    let taking = async {
        let lock = socket::lock(&config.control).await?;
        let since = Instant::now();
        let taken = loop {
            let Some(stream) = socket::running(&config.control).await? else { break None };
            match handover::take(stream).await {
                Ok(taken) => break Some(taken),
                // One that has just handed over may still take a call before it hears of that.
                Err(_) if since.elapsed() < TAKE_AGAIN => sleep(LEAVING).await,
                Err(error) => return Err(error),
            }
        };
        Ok((lock, taken))
    };
    let (lock, taken) = early.run_until_cancelled(taking).await.unwrap_or(Err(Error::Interrupted))?;

    let token = format!("{:032x}", rand::random::<u128>());
    let state = |cause| Error::State { path: config.state_dir.clone(), cause };
    let acme = match config.acme.clone() {
        Some(acme) => Some(Acme::open(acme, config.state_dir.join("acme")).map_err(state)?),
        None => None,
    };
    let shared = Arc::new(Shared::new(&config, token, acme));
    let certificates = shared.certificates.clone();
    let kill = CancellationToken::new();
    let mut workers = Vec::new();
    for number in 0..config.threads.get() {
        workers.push(Worker::start(number, shared.clone(), kill.clone())?);
    }
    let (go, may_accept) = oneshot::channel();
    let acceptor = Acceptor::start(Pool::new(&workers), shared.clone(), may_accept)?;
    let tls = certificates.acceptor()?;
    let mut listeners = Listeners::new(config.http.clone(), config.https.clone(), config.bind, tls, acceptor);
    let (journal, loaded) = Journal::open(&config.state_dir).map_err(state)?;

    let (restored, control, link) = match taken {
        None => (Restored::from(loaded), socket::bind(&config.control)?, None),
        Some(taken) => {
            let (estate, control, sockets, link) = taken.into_parts();
            for (info, socket) in estate.listeners.iter().zip(sockets) {
                if let Some(listener) = named(info) {
                    listeners.inherit(listener, TcpListener::from(socket));
                }
            }
            let services = estate.services.into_iter().map(|service| Record::Set(Box::new(service)));
            let records = services.chain(estate.tombstones.into_iter().map(Record::Remove)).collect();
            let failed = |cause| Error::Control { path: config.control.clone(), cause };
            let control = StdUnixListener::from(control);
            control.set_nonblocking(true).map_err(failed)?;
            let control = UnixListener::from_std(control).map_err(failed)?;
            (Restored { records, needs_sync: estate.needs_sync }, control, Some(link))
        }
    };
    let mut registry = Registry::new(shared.clone(), listeners, journal, restored);
    registry.listeners_mut().drop_inherited();
    if let Some(acme) = &shared.acme {
        // Served from the first connection on.
        acme.want(&certificates.names_to_order(registry.tls_hosts()));
    }
    let predecessor = match link {
        Some(link) => {
            if early.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let predecessor = handover::ready(link).await?;
            // What could not be opened because the other edge was still there.
            registry.listeners_mut().taken_over();
            registry.reopen();
            registry.write_snapshot();
            predecessor
        }
        None => Predecessor::default(),
    };
    drop(lock);
    // From here on connections are taken.
    let _ = go.send(());
    let core = Arc::new(Core {
        shared,
        registry: Mutex::new(registry),
        boot: format!("{:032x}", rand::random::<u128>()),
        predecessor,
        control: Arc::new(control),
        lame_duck: config.lame_duck,
        origin: config.origin.clone(),
        replaced: CancellationToken::new(),
        leave: watch::Sender::new(None),
        certificates,
    });
    Ok((core, Threads { workers, kill }))
}

/// Looks after files until it is time to leave.
async fn housekeep(core: &Core, log_file: Option<PathBuf>) -> Leave {
    let mut told = core.leave.subscribe();
    let mut turns = interval(HOUSEKEEPING);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0_u32;
    loop {
        tokio::select! {
            told = told.wait_for(Option::is_some) => {
                let how = told.ok().and_then(|how| *how);
                return how.unwrap_or(Leave { bound: Duration::ZERO, successor: false });
            }
            _ = turns.tick() => {
                turn = turn.wrapping_add(1);
                core.registry().housekeep(true);
                if turn.is_multiple_of(REOPEN_EVERY) {
                    core.registry().reopen();
                }
                if turn.is_multiple_of(FILES_EVERY) {
                    core.certificates.reload_if_changed();
                    if let Some(path) = &log_file && let Err(error) = cut(path) {
                        tracing::warn!(%error, "cut the log");
                    }
                }
            }
        }
    }
}

/// Moves a log that has grown too large aside and begins it anew. Whoever has it open for appending goes on at its start.
fn cut(path: &PathBuf) -> io::Result<()> {
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if length > LOG_MAX {
        std::fs::copy(path, path.with_extension("log.1"))?;
        std::fs::OpenOptions::new().write(true).open(path)?.set_len(0)?;
    }
    Ok(())
}

/// Takes nothing new, and waits until what is in flight has ended, here and in an edge before this one, or the bound has passed.
async fn lame_duck(core: &Core, how: Leave) {
    core.registry().listeners_mut().close_all();
    core.shared.leave();
    let since = Instant::now();
    let mut quiet = 0;
    loop {
        // Read before the connections are counted: what was accepted before this said no is in their count.
        let accepting = core.shared.is_accepting();
        // The bound may have been shortened meanwhile.
        let bound = core.leave.borrow().map_or(how.bound, |now| now.bound);
        let busy = core.registry().books().total_in_flight() + core.shared.waiting() as u64;
        let connections = core.shared.connections();
        // Twice in a row: a request that was just read is in no count yet. With a successor the idle connections get
        // their chance to end by themselves; a client that was about to use one loses nothing then.
        quiet = if busy == 0 { quiet + 1 } else { 0 };
        let done = !accepting && (connections == 0 || (!how.successor && quiet > 1));
        // What the successor asks and tells goes on to the edge before this one by way of this one.
        let done = done && !(how.successor && core.predecessor.lives().await);
        if done || since.elapsed() >= bound {
            tracing::info!(connections, in_flight = busy, "the edge ends");
            return;
        }
        sleep(LEAVING).await;
    }
}
