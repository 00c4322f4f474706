use std::pin::pin;

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use crate::{
    EdgeConfig, Error, Limits,
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
    let config = EdgeConfig { limits: within_descriptors(config.limits, raise_descriptor_limit()), ..config };
    // Whoever sees the edge answer may tell it to end: a signal before its handler would just kill it.
    let signals = Signals::install()?;
    let (started, handle) = oneshot::channel();
    let (early, done) = (CancellationToken::new(), CancellationToken::new());
    let watcher = {
        let (early, done) = (early.clone(), done.clone());
        std::thread::Builder::new()
            .name("edge-signals".to_owned())
            .spawn(move || signals.watch(handle, &early, &done))
            .map_err(|cause| Error::System { what: "signal thread", cause })?
    };
    let ended = Edge::start_unless(config, early).and_then(|edge| {
        // The watcher is there until it is told that all is done.
        let _ = started.send(edge.handle());
        edge.join()
    });
    done.cancel();
    drop(watcher.join());
    ended
}

/// A connection takes two descriptors; the usual soft limit of 1,024 would end at some 500 clients.
fn raise_descriptor_limit() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    match rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// Descriptors for everything but clients and instances: listeners, control connections, files, idle connections to
/// instances.
const OTHER_DESCRIPTORS: u64 = 512;

/// No more clients than there are descriptors for, and for the instances behind them: a request that was accepted must not
/// fail because somebody else has opened another connection.
fn within_descriptors(limits: Limits, descriptors: Option<u64>) -> Limits {
    let Some(descriptors) = descriptors else { return limits };
    let room = descriptors.saturating_sub(OTHER_DESCRIPTORS).max(OTHER_DESCRIPTORS.min(descriptors)) / 2;
    let connections = limits.connections.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1);
    if connections < limits.connections {
        tracing::info!(descriptors, connections, "fewer clients at a time, because of the limit of open files");
    }
    Limits { connections, ..limits }
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

    /// Until there is a handle, `early` tells whoever starts the edge to let it be.
    fn watch(mut self, handle: oneshot::Receiver<Handle>, early: &CancellationToken, done: &CancellationToken) {
        self.runtime.block_on(async {
            let mut handle = pin!(handle);
            let handle = loop {
                tokio::select! {
                    () = done.cancelled() => return,
                    started = &mut handle => match started {
                        Ok(handle) => break handle,
                        // It did not start.
                        Err(_) => return,
                    },
                    _ = self.terminate.recv() => early.cancel(),
                    _ = self.interrupt.recv() => early.cancel(),
                }
            };
            if early.is_cancelled() {
                handle.stop();
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_the_instances_behind_them() {
        let connections = |most, descriptors| {
            within_descriptors(Limits { connections: most, ..Limits::default() }, descriptors).connections
        };
        assert_eq!(connections(20_000, Some(20_000)), 9744);
        assert_eq!(connections(20_000, Some(1_000_000)), 20_000);
        assert_eq!(connections(20_000, None), 20_000);
        assert_eq!((connections(20_000, Some(1024)), connections(20_000, Some(100))), (256, 50));
        assert_eq!(connections(20_000, Some(0)), 1);
    }
}
