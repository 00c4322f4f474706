//! One health attempt on an instance.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use skipper_core::{
    deployment::{Deployment, Instance},
    health::Attempt,
    name::PortName,
    spec::Check,
};

use super::{
    account::{Account, Seen, Slot},
    deployer::{self, Probes},
    exec,
};
use crate::probe::{self, Outcome};

/// Asks once. A process that has ended is told at once, whatever answers on its port now.
pub(super) async fn attempt(account: &Arc<Account>, deployment: &Deployment, instance: &Instance) -> Attempt {
    let at = account.config.clock.now();
    let outcome = ask(account, deployment, instance).await;
    Attempt { at, instance: instance.index, ok: outcome.ok, detail: outcome.detail }
}

async fn ask(account: &Arc<Account>, deployment: &Deployment, instance: &Instance) -> Outcome {
    let slot = account.instance(&deployment.id, instance.index);
    let pid = match account.see(&slot).await {
        Ok(Seen::Running(watched)) => watched.state.app.map_or(0, |app| app.pid),
        Ok(Seen::Ended(ended)) => return Outcome::bad(ended.0.exit.to_string()),
        Ok(Seen::Absent | Seen::NotLooked) => return Outcome::bad("the process is not there"),
        Err(error) => return Outcome::bad(error.chain()),
    };
    let health = &deployment.app.health;
    let timeout = health.timeout.duration();
    let address = |port: &PortName| instance.addresses.get(port.as_str()).copied();
    let no_port = |port: &PortName| Outcome::bad(format!("the instance has no port `{port}`"));
    if let Check::Boot { port } | Check::Http { port, .. } = &health.check
        && let Some(paths) = deployer::probes(account, &deployment.app)
    {
        return match address(port) {
            Some(address) => told_by(&paths, &slot, address, timeout).await,
            None => no_port(port),
        };
    }
    match &health.check {
        Check::Running => Outcome::good(format!("pid {pid} runs")),
        Check::Tcp { port } => match address(port) {
            Some(address) => probe::tcp(address, timeout).await,
            None => no_port(port),
        },
        Check::Boot { port } => match address(port) {
            Some(address) => probe::boot(address, timeout).await,
            None => no_port(port),
        },
        Check::Http { port, path, status } => match address(port) {
            Some(address) => probe::http(address, path, status, timeout).await,
            None => no_port(port),
        },
        Check::Command { command } => match exec::surroundings(account, &slot).await {
            Ok(around) => probe::command(command, &around.env, &around.dir, timeout).await,
            Err(error) => Outcome::bad(error.chain()),
        },
    }
}

/// By the paths that an application's options name: one decides that it has started, the other one, from then on, that it is
/// well.
async fn told_by(paths: &Probes, slot: &Slot, address: SocketAddr, timeout: Duration) -> Outcome {
    const WELL: [(u16, u16); 1] = [(200, 299)];
    let ask = async |path: &str| {
        let outcome = probe::http(address, path, &WELL, timeout).await;
        Outcome { detail: format!("{path}: {}", outcome.detail), ..outcome }
    };
    if let Some(path) = paths.startup.as_deref().filter(|_| !slot.has_started()) {
        let outcome = ask(path).await;
        if outcome.ok {
            slot.set_started();
        }
        return outcome;
    }
    match &paths.health {
        Some(path) => ask(path).await,
        None => probe::tcp(address, timeout).await,
    }
}
