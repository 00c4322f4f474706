use std::{pin::pin, time::Duration};

use skipper_server::api::own::wire::{Accepted, RolloutView};
use tokio::time::Instant;

use super::super::Context;
use crate::{
    client::{Call, SseStream, pause},
    failure::{Exit, Failure},
    render::Tree,
};

/// Longest that the server may be away before waiting for it makes no sense. A restart takes a second.
const AWAY: Duration = Duration::from_secs(120);

/// How often times in the tree move.
const FRAME: Duration = Duration::from_millis(125);

/// How a watched rollout ended.
pub(super) enum Ended {
    /// In a final phase.
    Final(Box<RolloutView>),
    /// It is not remembered any more: a purge took it.
    Gone,
}

enum Stop {
    CtrlC,
    TimeUp,
}

/// Follows a rollout to its end, through restarts of the server.
///
/// # Errors
///
/// Ctrl-C, the time is up, or the server stays away.
pub(super) async fn until_ended(
    context: &Context,
    accepted: &Accepted,
    timeout: Option<Duration>,
) -> Result<Ended, Failure> {
    let mut tree = Tree::new(&context.out, context.surroundings.shows_unicode());
    let watched = {
        let mut stop = pin!(stop(timeout));
        tokio::select! {
            biased;
            reason = &mut stop => Err(reason),
            ended = follow(context, accepted, &mut tree) => Ok(ended),
        }
    };
    match watched {
        Ok(ended) => ended,
        Err(reason) => Err(stopped(context, accepted, &tree, &reason)?),
    }
}

async fn stop(timeout: Option<Duration>) -> Stop {
    let time_up = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => match result {
            Ok(()) => Stop::CtrlC,
            // Without a handler Ctrl-C ends the process, which stops no rollout either.
            Err(_) => std::future::pending().await,
        },
        () = time_up => Stop::TimeUp,
    }
}

fn stopped(context: &Context, accepted: &Accepted, tree: &Tree<'_>, reason: &Stop) -> Result<Failure, Failure> {
    if context.out.json {
        match tree.last() {
            Some(view) => context.out.json(view)?,
            None => context.out.json(accepted)?,
        }
    }
    let Accepted { release, rollout, .. } = accepted;
    let advice = format!("`skipper cancel {release}` stops it; `skipper status {release}` shows how it goes");
    Ok(match reason {
        Stop::CtrlC => {
            context.out.note(&format!("\nnot waiting any more; the {} goes on\n{advice}", rollout.verb));
            Failure::quiet(Exit::Interrupted)
        }
        Stop::TimeUp => {
            Failure::new(Exit::Timeout, format!("the {} of {release} has not ended in time; it goes on", rollout.verb))
                .hint(advice)
        }
    })
}

async fn follow(context: &Context, accepted: &Accepted, tree: &mut Tree<'_>) -> Result<Ended, Failure> {
    let client = context.client()?;
    let call = Call::get(&["v1", "rollouts", &accepted.rollout.id, "stream"]);
    let mut last_contact = Instant::now();
    let mut tries = 0;
    loop {
        match client.open_once(&call, &[("accept", "text/event-stream".to_owned())]).await {
            Ok(response) => match client.checked(response).await {
                Ok(response) => {
                    if let Some(view) = read(SseStream::new(response), tree, &mut tries).await? {
                        return Ok(Ended::Final(Box::new(view)));
                    }
                    last_contact = Instant::now();
                }
                Err(failure) if failure.exit == Exit::NotFound && accepted.rollout.verb == "delete" => {
                    return Ok(Ended::Gone);
                }
                Err(failure) if failure.exit == Exit::Error && tries < 3 => tree.remark(&failure.message),
                Err(failure) => return Err(failure),
            },
            Err(lost) if last_contact.elapsed() > AWAY => {
                let failure = client.lost(&lost);
                return Err(Failure::new(
                    failure.exit,
                    format!("{failure}\nthe rollout goes on when the server is back"),
                )
                .hint(format!("`skipper status {}` shows how it went", accepted.release)));
            }
            Err(_) => tree.remark("the server does not answer; waiting for it to come back"),
        }
        tries += 1;
        tokio::time::sleep(pause(tries)).await;
    }
}

/// Reads one stream to its end; `Some` when the rollout ended.
async fn read(mut stream: SseStream, tree: &mut Tree<'_>, tries: &mut u32) -> Result<Option<RolloutView>, Failure> {
    let mut frames = tokio::time::interval(FRAME);
    loop {
        let message = tokio::select! {
            message = stream.next() => message,
            _ = frames.tick(), if tree.is_live() => {
                tree.redraw();
                continue;
            }
        };
        let Ok(Some(message)) = message else { return Ok(None) };
        // What is not a rollout is a comment of a newer server.
        let Ok(view) = serde_json::from_str::<RolloutView>(&message.data) else { continue };
        *tries = 0;
        tree.update(view.clone());
        if view.finished {
            return Ok(Some(view));
        }
    }
}
