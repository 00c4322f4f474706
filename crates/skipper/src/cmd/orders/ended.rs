use std::{pin::pin, time::Duration};

use serde::de::DeserializeOwned;
use skipper_core::id::OrderId;
use skipper_server::api::own::wire::RolloutView;
use skipper_source::fleet::WorkOrder;
use tokio::time::Instant;

use super::super::{Context, deploy::watch::stop};
use crate::{
    client::Call,
    failure::Failure,
    render::{Style, tame},
};

/// Longest that the server may be away before waiting for it makes no sense. A restart takes a second.
const AWAY: Duration = Duration::from_secs(120);
/// Pauses between questions: a node that waits for work is quick, a pull takes its time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
const AWAY_NOTE: &str = "the server does not answer; waiting for it to come back";

/// What an apply led to.
#[derive(Debug)]
pub(in super::super) struct Pursued {
    /// Its orders, in the order of the nodes' names.
    pub(in super::super) orders: Vec<OrderId>,
    /// The rollout that they belong to.
    pub(in super::super) rollout: Option<String>,
}

/// The same when nothing will happen any more.
#[derive(Debug)]
pub(in super::super) struct Ended {
    pub(in super::super) orders: Vec<WorkOrder>,
    pub(in super::super) rollout: Option<RolloutView>,
}

/// Waits until all of it has ended, in whatever way; at most so long.
///
/// # Errors
///
/// The time passed, Ctrl-C, something that is gone, or a server that is gone for good.
pub(in super::super) async fn until_ended(
    context: &Context,
    pursued: &Pursued,
    at_most: Option<Duration>,
) -> Result<Ended, Failure> {
    let all = async {
        // The rollout knows when nothing will happen any more: orders of waves that never begin do not end by themselves.
        let rollout = match &pursued.rollout {
            Some(id) => {
                let word = |rollout: &RolloutView| (rollout.phase.clone(), rollout.finished);
                Some(follow(context, &Call::get(&["v1", "rollouts", id]), &format!("rollout {id}"), word).await?)
            }
            None => None,
        };
        let mut orders = Vec::new();
        for id in &pursued.orders {
            let call = Call::get(&["v1", "work-orders", &id.to_string()]);
            let word = |order: &WorkOrder| (order.status.to_string(), rollout.is_some() || order.status.is_final());
            orders.push(follow(context, &call, &id.to_string(), word).await?);
        }
        Ok(Ended { orders, rollout })
    };
    let mut stop = pin!(stop(at_most));
    tokio::select! {
        biased;
        exit = &mut stop => {
            let hint = match pursued.orders.first() {
                Some(first) => format!("`skipper orders show {first}` shows how it goes"),
                None => "`skipper orders list` shows how it goes".to_owned(),
            };
            Err(Failure::new(exit, "it has not ended yet, and goes on").hint(hint))
        }
        ended = all => ended,
    }
}

/// Asks until that has ended, through restarts of the server. `word` says how far it is, and whether that is the end.
async fn follow<T: DeserializeOwned>(
    context: &Context,
    call: &Call,
    name: &str,
    word: impl Fn(&T) -> (String, bool),
) -> Result<T, Failure> {
    let client = context.client()?;
    let (mut pause, mut last_contact, mut said) = (PAUSES.0, Instant::now(), String::new());
    loop {
        match client.ask_once::<T>(call).await {
            Ok(Ok(seen)) => {
                last_contact = Instant::now();
                let (now, is_end) = word(&seen);
                if is_end {
                    return Ok(seen);
                }
                let now = format!("  {name}: {now}");
                if said != now {
                    context.out.note(&context.out.paint_err.style(Style::Dim, &tame(&now)));
                    said = now;
                    pause = PAUSES.0;
                }
            }
            Ok(Err(failure)) => return Err(failure),
            Err(lost) if last_contact.elapsed() > AWAY => {
                let failure = client.lost(&lost);
                return Err(Failure::new(failure.exit, format!("{failure}\nit goes on when the server is back"))
                    .hint("`skipper orders list` shows how it went"));
            }
            Err(_) if said != AWAY_NOTE => {
                AWAY_NOTE.clone_into(&mut said);
                context.out.note(AWAY_NOTE);
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}
