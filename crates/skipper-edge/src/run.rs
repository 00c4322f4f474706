use tokio::signal::unix::{SignalKind, signal};
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
    let edge = Edge::start(config)?;
    let handle = edge.handle();
    let done = CancellationToken::new();
    let watcher = {
        let done = done.clone();
        std::thread::Builder::new()
            .name("edge-signals".to_owned())
            .spawn(move || watch(&handle, &done))
            .map_err(|cause| Error::System { what: "signal thread", cause })?
    };
    let ended = edge.join();
    done.cancel();
    match watcher.join() {
        Ok(watched) => ended.and(watched),
        Err(_) => ended,
    }
}

/// A connection takes two descriptors; the usual soft limit of 1,024 would end at some 500 clients.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn watch(handle: &Handle, done: &CancellationToken) -> Result<(), Error> {
    let failed = |cause| Error::System { what: "signal handlers", cause };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
        loop {
            tokio::select! {
                () = done.cancelled() => return Ok(()),
                _ = terminate.recv() => handle.stop(),
                _ = interrupt.recv() => handle.stop(),
                _ = hang_up.recv() => handle.reload(),
            }
        }
    })
}
