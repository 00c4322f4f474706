//! Hearing from the engine that something ended or came up. A stream that breaks is opened again; what was missed
//! meanwhile is found by looking, so every new stream counts as a change.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt as _;
use skipper_core::port::Error;
use tracing::debug;

use super::{account::Account, config::EngineKind, labels, raw};

/// First and longest pause before another attempt.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_LONGEST: Duration = Duration::from_secs(5);
/// Between two looks at the list of containers.
const GLANCE: Duration = Duration::from_secs(5);
/// How far back a new stream begins, in seconds: the engine's clock may differ.
const LOOK_BACK_SECS: i64 = 60;
/// What of the many things an engine tells matters: that a container ended, was started or removed.
const ACTIONS: [&str; 7] = ["die", "died", "oom", "start", "destroy", "remove", "restart"];

/// Begins to watch, once.
pub(crate) fn begin(account: &Arc<Account>) {
    account.watching.call_once(|| {
        let account = Arc::clone(account);
        account.config.tasks.clone().spawn(async move {
            let stop = account.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep(&account) => {}
                () = glance(&account) => {}
            }
        });
    });
}

/// Podman tells that a container ended when it has cleared up after it, which takes many seconds on a busy machine. So the list
/// of containers is looked at too; Docker tells at once.
async fn glance(account: &Account) {
    if account.config.kind != EngineKind::Podman {
        return std::future::pending().await;
    }
    let filters = labels::filter(&account.config, &[]);
    let mut seen = None;
    loop {
        tokio::time::sleep(GLANCE).await;
        // An engine that does not answer is the other stream's business.
        let Ok(listed) = raw::list(account, &filters).await else { continue };
        let states = listed.into_iter().map(|one| (one.id, one.state.map(|state| state.to_string())));
        let now: BTreeSet<_> = states.collect();
        if seen.replace(now.clone()).is_some_and(|before| before != now) {
            account.changed.notify_one();
        }
    }
}

async fn keep(account: &Account) {
    let mut pause = AGAIN;
    loop {
        let mut heard = false;
        if let Err(error) = listen(account, &mut heard).await {
            debug!(platform = %account.config.account, error = error.chain(), "no events of the engine");
        }
        if heard {
            pause = AGAIN;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_LONGEST);
    }
}

/// Listens until the stream breaks; notes whether anything was heard.
async fn listen(account: &Account, heard: &mut bool) -> Result<(), Error> {
    // The stream opens some time after it is first asked: what happens until then is told too.
    let since = account.config.clock.now().as_micros() / 1_000_000 - LOOK_BACK_SECS;
    let engine = account.engine().await?;
    let mut filters = labels::filter(&account.config, &[]);
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    let mut events =
        engine.events(Some(EventsOptionsBuilder::default().since(&since.to_string()).filters(&filters).build()));
    account.changed.notify_one();
    while let Some(event) = events.next().await {
        let event = event.map_err(|said| account.failed("hear events", said))?;
        *heard = true;
        if event.action.as_deref().is_some_and(|action| ACTIONS.contains(&action)) {
            account.changed.notify_one();
        }
    }
    Ok(())
}
