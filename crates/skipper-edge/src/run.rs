use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    EdgeConfig, Error,
    edge::{Edge, Handle},
};

/// Runs an edge until it is told to end (SIGTERM, SIGINT, `shutdown` over the control socket) or another one has taken over,
/// and its requests in flight have ended. SIGHUP makes it read its certificates again. Blocks the calling thread.
///
/// # Errors
///
/// See [`Error`].
pub fn run(config: EdgeConfig) -> Result<(), Error> {
    if config.detach {
        // Fails only for the leader of a process group, which a terminal or an init system made on purpose.
        if let Err(error) = rustix::process::setsid() {
            tracing::debug!(%error, "no session of its own");
        }
    }
    raise_descriptor_limit();
    // Whoever sees the edge answer may tell it to end: a signal before its handler would just kill it.
    let signals = Signals::install()?;
    let edge = Edge::start(config)?;
    let handle = edge.handle();
    let done = CancellationToken::new();
    let watcher = {
        let done = done.clone();
        std::thread::Builder::new()
            .name("edge-signals".to_owned())
            .spawn(move || signals.watch(&handle, &done))
            .map_err(|cause| Error::System { what: "signal thread", cause })?
    };
    let ended = edge.join();
    done.cancel();
    drop(watcher.join());
    ended
}

/// A connection takes two descriptors; the usual soft limit of 1,024 would end at some 500 clients.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// The signals that mean something to an edge.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn install() -> Result<Self, Error> {
        let failed = |cause| Error::System { what: "signal handlers", cause };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let on = |kind| {
            let _inside = runtime.enter();
            signal(kind).map_err(failed)
        };
        let (terminate, interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        let hang_up = on(SignalKind::hangup())?;
        Ok(Self { runtime, terminate, interrupt, hang_up })
    }

    fn watch(mut self, handle: &Handle, done: &CancellationToken) {
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    () = done.cancelled() => return,
                    _ = self.terminate.recv() => handle.stop(),
                    _ = self.interrupt.recv() => handle.stop(),
                    _ = self.hang_up.recv() => handle.reload(),
                }
            }
        });
    }
}
