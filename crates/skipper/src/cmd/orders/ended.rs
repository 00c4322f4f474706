use std::{pin::pin, time::Duration};

use skipper_core::id::OrderId;
use skipper_source::fleet::WorkOrder;
use tokio::time::Instant;

use super::super::Context;
use crate::{
    client::Call,
    failure::{Exit, Failure},
    render::{Style, tame},
};

/// Longest that the server may be away before waiting for it makes no sense. A restart takes a second.
const AWAY: Duration = Duration::from_secs(120);
/// Pauses between questions: a node that waits for work is quick, a pull takes its time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
const AWAY_NOTE: &str = "the server does not answer; waiting for it to come back";

/// How an order is waited for.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Waiting {
    /// No longer than this.
    pub(in super::super) at_most: Option<Duration>,
}

/// Waits until these orders have ended, in whatever way, and answers them as they are then.
///
/// # Errors
///
/// The time passed, Ctrl-C, an order that is gone, or a server that is gone for good.
pub(in super::super) async fn until_ended(
    context: &Context,
    ids: &[OrderId],
    waiting: Waiting,
) -> Result<Vec<WorkOrder>, Failure> {
    let all = async {
        let mut ended = Vec::new();
        for id in ids {
            ended.push(follow(context, id).await?);
        }
        Ok(ended)
    };
    let mut stop = pin!(stop(waiting.at_most));
    tokio::select! {
        biased;
        exit = &mut stop => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            Err(Failure::new(exit, format!("not ended yet, and it goes on: {}", ids.join(", ")))
                .hint(format!("`skipper orders show {}` shows how it goes", ids.first().map_or("ORDER", String::as_str))))
        }
        ended = all => ended,
    }
}

async fn stop(at_most: Option<Duration>) -> Exit {
    let time_up = async {
        match at_most {
            Some(at_most) => tokio::time::sleep(at_most).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => Exit::Interrupted,
        () = time_up => Exit::Timeout,
    }
}

/// Asks until the order has ended, through restarts of the server.
async fn follow(context: &Context, id: &OrderId) -> Result<WorkOrder, Failure> {
    let client = context.client()?;
    let call = Call::get(&["v1", "work-orders", &id.to_string()]);
    let (mut pause, mut last_contact, mut said) = (PAUSES.0, Instant::now(), String::new());
    loop {
        match client.ask_once::<WorkOrder>(&call).await {
            Ok(Ok(order)) if order.status.is_final() => return Ok(order),
            Ok(Ok(order)) => {
                last_contact = Instant::now();
                let now = format!("  {id}: {}", order.status);
                if said != now {
                    context.out.note(&context.out.paint_err.style(Style::Dim, &tame(&now)));
                    said = now;
                    pause = PAUSES.0;
                }
            }
            Ok(Err(failure)) => return Err(failure),
            Err(lost) if last_contact.elapsed() > AWAY => {
                let failure = client.lost(&lost);
                return Err(Failure::new(
                    failure.exit,
                    format!("{failure}\nthe order goes on when the server is back"),
                )
                .hint(format!("`skipper orders show {id}` shows how it went")));
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
