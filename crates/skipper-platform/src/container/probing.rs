//! One health attempt on a container.

use std::sync::Arc;

use skipper_core::{
    deployment::{Deployment, Instance},
    health::Attempt,
    name::PortName,
    spec::Check,
};

use super::{
    account::Account,
    exec::{self, Ran},
    labels,
    look::{Looked, look},
};
use crate::probe::{self, Outcome};

/// How much of a command's last line is told.
const DETAIL_CHARS: usize = 200;

/// Asks once. A container that has ended is told at once, whatever answers on its port now.
pub(super) async fn attempt(account: &Arc<Account>, deployment: &Deployment, instance: &Instance) -> Attempt {
    let at = account.config.clock.now();
    let timeout = deployment.app.health.timeout.duration();
    let asking = ask(account, deployment, instance);
    // The engine's own answers count as well: a stalled one must not hold up whoever asks.
    let outcome = tokio::time::timeout(timeout + timeout, asking).await;
    let outcome = outcome.unwrap_or_else(|_| Outcome::bad("the engine does not answer"));
    Attempt { at, instance: instance.index, ok: outcome.ok, detail: outcome.detail }
}

async fn ask(account: &Arc<Account>, deployment: &Deployment, instance: &Instance) -> Outcome {
    let name = labels::instance_name(&deployment.id, instance.index);
    let seen = match look(account, &name).await {
        Ok(Looked::Running(seen)) => seen,
        Ok(Looked::Ended(_, exit)) => return Outcome::bad(exit.to_string()),
        Ok(Looked::Between(_, why)) => return Outcome::bad(why),
        Ok(Looked::Absent | Looked::Made(_)) => return Outcome::bad("the container is not there"),
        Err(error) => return Outcome::bad(error.chain()),
    };
    let health = &deployment.app.health;
    asked(account, &seen.name, &health.check, instance, health.timeout.duration()).await
}

/// Asks one question of a container that runs.
pub(super) async fn asked(
    account: &Arc<Account>,
    container: &str,
    check: &Check,
    instance: &Instance,
    timeout: std::time::Duration,
) -> Outcome {
    let address = |port: &PortName| instance.addresses.get(port.as_str()).copied();
    let no_port = |port: &PortName| Outcome::bad(format!("the instance has no port `{port}`"));
    match check {
        Check::Running => Outcome::good(format!("container {container} runs")),
        Check::Tcp { port } => match address(port) {
            Some(address) => probe::tcp_behind(address, timeout).await,
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
        Check::Command { command } => command_says(account, container, command, timeout).await,
    }
}

async fn command_says(account: &Arc<Account>, name: &str, command: &[String], timeout: std::time::Duration) -> Outcome {
    let begun = tokio::time::Instant::now();
    match exec::run(account, name, command, timeout).await {
        Err(error) => Outcome::bad(error.chain()),
        Ok(Ran::TimedOut { .. }) => Outcome::bad(format!("timed out after {} ms", timeout.as_millis())),
        Ok(Ran::Ended { code: Some(0), .. }) => {
            Outcome::good(format!("status 0 in {} ms", begun.elapsed().as_millis()))
        }
        Ok(Ran::Ended { code, output }) => {
            let status = code.map_or_else(|| "killed by a signal".to_owned(), |code| format!("status {code}"));
            let last = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            let last: String = last.chars().take(DETAIL_CHARS).collect();
            Outcome::bad(if last.is_empty() { status } else { format!("{status}: {last}") })
        }
    }
}
