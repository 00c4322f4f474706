//! Starting instances. Every launch of an instance goes through its slot's turn, finds what already runs, and is done in
//! a task of its own: a caller that hangs up changes nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use skipper_core::{
    deployment::{Deployment, Instance},
    generation::Generation,
    port::{Error, ErrorKind},
    rollout::plan::Instances,
    secret::SecretValues,
    spec::Application,
};
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{
    account::{Account, Seen, Slot, blocking},
    deployer,
    fence::Underway,
    holder,
    keeper::{self, Contents, Failure},
    look::Looked,
    ports::{Strictness, is_free},
    prepare::{self, Work},
    process,
    spawn::{self, Spawned},
    stop, watch,
};

/// How many instances are started side by side: enough to hide the wait for a keeper, few enough for a small host.
const AT_ONCE: usize = 8;

/// A process that ran this long could listen on its port; one that did not may have failed because of it.
const LASTED: Duration = Duration::from_secs(2);

/// What is known of the instance's last life.
#[derive(Default)]
struct Before {
    launches: u32,
    ports: BTreeMap<String, u16>,
    lasted: bool,
}

/// What is launched, owned by its task.
pub(super) struct Wanted {
    pub deployment: Deployment,
    pub secrets: SecretValues,
    pub generation: Generation,
    /// Held while the resource is fetched again: once for all instances.
    pub fetching: tokio::sync::Mutex<()>,
}

/// Starts what does not run of the range and returns all of it, or the first error once nothing is being started any more.
pub(super) async fn all(account: Arc<Account>, wanted: Arc<Wanted>, range: Instances) -> Result<Vec<Instance>, Error> {
    let (passing, account_too) = (Arc::clone(&wanted), Arc::clone(&account));
    let underway = blocking(move || account_too.fences.begin(&passing.deployment, passing.generation, range)).await??;
    let outcomes: Vec<Result<Instance, Error>> = futures::stream::iter(range.range())
        .map(|index| one(&account, &wanted, &underway, index))
        .buffered(AT_ONCE)
        .collect()
        .await;
    futures::stream::iter(outcomes).try_collect().await
}

async fn one(account: &Arc<Account>, wanted: &Arc<Wanted>, underway: &Underway, index: u32) -> Result<Instance, Error> {
    let slot = account.instance(&wanted.deployment.id, index);
    let _turn = slot.turn.lock().await;
    underway.goes_on()?;
    let before = match account.see(&slot).await? {
        Seen::Running(watched) => {
            let wants = Contents::of(&wanted.deployment, wanted.generation);
            if !wants.differs_from(watched.state.contents.as_ref()) {
                return Ok(watched.state.instance(index));
            }
            warn!(instance = %slot.folder.0.display(), "what runs here is of a revision that a restore lost; replacing it");
            stop::everything_of(account, &slot, &wanted.deployment.app.stop).await?;
            Before::default()
        }
        Seen::Ended(ended) => {
            let (ended, state) = &*ended;
            if let Some(state) = state
                && ended.exit.code.is_none()
                && ended.exit.signal.is_none()
            {
                // Its keeper did not live to see the end, so nobody has cleared away what it left.
                stop::remains(state).await?;
            }
            Before {
                launches: state.as_ref().map_or(0, |state| state.launches),
                ports: state.as_ref().map(|state| state.ports.clone()).unwrap_or_default(),
                lasted: state.as_ref().is_some_and(|state| ended.exit.at.since(state.started_at) >= LASTED),
            }
        }
        Seen::Absent | Seen::NotLooked => Before::default(),
    };
    at_hand(account, wanted).await?;
    start(account, wanted, &slot, index, before).await
}

/// Fetches the resource again where its bytes are gone: the cache was emptied, or they are in that of the server whose place this one
/// has taken. They are the ones that were pinned, or it is an error.
async fn at_hand(account: &Arc<Account>, wanted: &Arc<Wanted>) -> Result<(), Error> {
    let _turn = wanted.fetching.lock().await;
    let looking = (Arc::clone(account), wanted.deployment.app.resource.clone());
    if blocking(move || prepare::is_here(&looking.0, &looking.1)).await? {
        return Ok(());
    }
    let app = &wanted.deployment.app;
    let fetched = account.config.artifacts.fetch(&app.resource, app.bounds.fetch.duration()).await;
    fetched.map(drop).map_err(|cause| {
        let (kind, code, hint) = (cause.kind(), cause.code(), cause.advice().map(str::to_owned));
        let what = format!(
            "its resource is not in this server's cache any more, and cannot be fetched again: {}",
            cause.chain()
        );
        let error = Error::new(kind, code, what);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

async fn start(
    account: &Arc<Account>,
    wanted: &Arc<Wanted>,
    slot: &Arc<Slot>,
    index: u32,
    before: Before,
) -> Result<Instance, Error> {
    let work = {
        let (account, wanted, slot) = (Arc::clone(account), Arc::clone(wanted), Arc::clone(slot));
        move || -> Result<Spawned, Error> {
            let owner = Account::owner(&slot.folder.0);
            let ports = choose_ports(&account, &wanted.deployment.app, &owner, &before)?;
            let contents = Contents::of(&wanted.deployment, wanted.generation);
            let work = Work::Instance { index, ports, launches: before.launches.saturating_add(1), contents };
            spawn_keeper(&account, &wanted.deployment, &slot, &wanted.secrets, work)
        }
    };
    // Whatever happens from here on, what was last seen is no longer so.
    slot.set(Seen::NotLooked);
    match blocking(work).await?? {
        Spawned::Started(state) => {
            let state = *state;
            info!(instance = %slot.folder.0.display(), pid = state.app.map(|app| app.pid), "process started");
            let instance = state.instance(index);
            match state.app.and_then(process::ProcessId::open) {
                Some(app) => watch::begin(account, slot, state, app),
                // It has ended already. Looking tells how, and reaps its keeper.
                None => {
                    let keeper = state.keeper;
                    account.config.tasks.spawn(async move { watch::ended(keeper).await });
                }
            }
            Ok(instance)
        }
        Spawned::Busy => match account.see(slot).await? {
            // Left by a server that died between starting the keeper and hearing of it.
            Seen::Running(watched) => Ok(watched.state.instance(index)),
            _ => Err(Error::new(ErrorKind::Transient, "keeper-busy", "another keeper has just had this instance")),
        },
        Spawned::Failed(failure) => Err(refused(&wanted.deployment, index, &failure)),
        Spawned::Silent => {
            // Killed at an unknown point: the process may run without anybody knowing it.
            if let Looked::Ended(_, Some(state)) = account.look(slot).await? {
                stop::remains(&state).await?;
            }
            Err(Error::new(ErrorKind::Transient, "keeper-failed", "the keeper was killed while it started the process")
                .hint("see the kernel's log for who killed it: memory may be short"))
        }
        Spawned::Slow(keeper) => {
            account.config.tasks.spawn(async move { watch::ended(keeper).await });
            Err(Error::new(
                ErrorKind::Unknown,
                "keeper-slow",
                "the keeper does not answer; the process may still start",
            ))
        }
    }
}

/// Builds the order and starts a keeper with it. Blocking.
pub(super) fn spawn_keeper(
    account: &Account,
    deployment: &Deployment,
    slot: &Slot,
    secrets: &SecretValues,
    work: Work<'_>,
) -> Result<Spawned, Error> {
    make_folder(&slot.folder.0)?;
    let order = prepare::order(account, deployment, &slot.folder, secrets, work)?;
    // Wiped when dropped: it holds secrets.
    let order = Zeroizing::new(serde_json::to_vec(&order).expect("an order is always representable as JSON"));
    spawn::keeper(&account.config.keeper, keeper::RUN, &slot.folder, &order).map_err(|cause| {
        Error::new(ErrorKind::Transient, "keeper-failed", "start the keeper")
            .because(cause)
            .hint("the keeper is Skipper's own executable: it must still be where the server was started from")
    })
}

fn make_folder(path: &std::path::Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|cause| super::account::storage(format!("make the folder {}", path.display()), cause))
}

/// A port for each that is declared: the fixed one if nobody has it, else a free one, the one it had before if possible.
fn choose_ports(
    account: &Account,
    app: &Application,
    owner: &str,
    before: &Before,
) -> Result<BTreeMap<String, u16>, Error> {
    let mut chosen = BTreeMap::new();
    let narrow = deployer::port_range(account, app).map(|range| account.config.ports.within(&range));
    let pool = narrow.as_ref().unwrap_or(&account.config.ports);
    pool.release(owner);
    for port in &app.ports {
        let name = port.name.to_string();
        let number = if let Some(fixed) = port.fixed {
            if !is_free(fixed, Strictness::Listening) {
                return Err(taken(&name, fixed));
            }
            pool.note(owner, [fixed]);
            fixed
        } else {
            let had = before.ports.get(&name).copied();
            match had {
                Some(had) if before.lasted && pool.take_again(owner, had) => had,
                _ => pool.take(owner, had)?,
            }
        };
        chosen.insert(name, number);
    }
    Ok(chosen)
}

fn taken(name: &str, port: u16) -> Error {
    let holder = holder::of_port(port).unwrap_or_else(|| "somebody unknown".to_owned());
    let hint = format!("stop {holder}, choose another number, or let the process take the port it is told");
    Error::new(ErrorKind::Permanent, "port-taken", format!("port {port} (`{name}`) is taken by {holder}")).hint(hint)
}

fn refused(deployment: &Deployment, index: u32, failure: &Failure) -> Error {
    let kind = if failure.transient { ErrorKind::Transient } else { ErrorKind::Permanent };
    let message = format!("start instance {index} of {}: {}", deployment.app.name, failure.message);
    let error = Error::new(kind, code(&failure.code), message);
    match &failure.hint {
        Some(hint) => error.hint(hint.clone()),
        None => error,
    }
}

/// The stable words a keeper uses.
fn code(word: &str) -> &'static str {
    const KNOWN: [&str; 8] = [
        "arguments-too-long",
        "disk-full",
        "interpreter-not-found",
        "limits-failed",
        "program-format",
        "program-not-executable",
        "program-not-found",
        "program-failed",
    ];
    KNOWN.into_iter().find(|known| *known == word).unwrap_or("keeper-failed")
}
