//! Heartbeats, and what they tell of projects.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use skipper_source::fleet::{Heartbeat, ServiceState};
use tokio::time::Instant;

use super::{
    door::Fault,
    hands::Projects,
    outage::Outage,
    pause::nearly,
    state::{Agent, lock},
};

/// Projects are looked at once in so many heartbeats, and whenever an order has ended.
const LOOK: u32 = 4;
/// Longest that an engine may take to tell what is there.
const LOOK_WITHIN: Duration = Duration::from_secs(30);
/// Projects, and services of one, that are told of.
const PROJECTS: usize = 256;
/// Time for a heartbeat that goes ahead of a result.
const AHEAD: Duration = Duration::from_secs(1);
/// Time for the last heartbeat.
const GOODBYE: Duration = Duration::from_secs(5);

/// Until everything ends.
pub(super) async fn run(agent: Arc<Agent>) {
    let mut outage = Outage::new("heartbeat");
    loop {
        let mut early = std::pin::pin!(agent.beat.notified());
        early.as_mut().enable();
        let sent = tokio::select! {
            sent = send(&agent) => sent,
            () = agent.gone.cancelled() => return,
        };
        let interval = nearly(agent.heartbeat_interval.min(agent.door.lease() / 3)).max(Duration::from_millis(50));
        match sent {
            Ok(()) => outage.over(),
            Err(fault) => {
                outage.met(&fault, interval);
                if let Fault::Denied(_) = fault {
                    agent.reread_token();
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = early => {}
            () = agent.let_in.notified() => {}
            () = agent.gone.cancelled() => return,
        }
    }
}

/// One heartbeat.
async fn send(agent: &Agent) -> Result<(), Fault> {
    let named = agent.desk().named();
    // Always all of them: the server takes what is missing for something of which nothing is known.
    let projects = lock(&agent.projects).clone();
    let heartbeat = Heartbeat {
        instance: Some(agent.door.instance().to_owned()),
        agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        orders: Some(named.clone()),
        projects,
        all_projects: agent.all_projects.load(Ordering::Relaxed),
        platforms: agent.offers.clone(),
        address: agent.door.address().await,
        links: agent.links,
        draining: agent.draining.is_cancelled(),
        trouble: lock(&agent.trouble).clone(),
    };
    let sent = Instant::now();
    let heard = agent.door.beat(&heartbeat).await?;
    if heard.link {
        agent.link.notify_one();
    }
    // The server counts from when it got it, which is later.
    agent.desk().heard(&named, &heard.lost, sent + agent.door.lease());
    agent.work.notify_one();
    agent.room.notify_one();
    Ok(())
}

/// Tells what is there of a tenant after an order, ahead of the order's result: whoever hears that it is done is not to find what was
/// there before.
pub(super) async fn changed(agent: &Agent, tenant: &str, services: &BTreeMap<String, ServiceState>) {
    {
        let mut seen = lock(&agent.projects);
        agent.changes.fetch_add(1, Ordering::Relaxed);
        match services.is_empty() {
            true => {
                seen.remove(tenant);
                // Of an order that failed it is not known before it was looked at again.
                agent.all_projects.store(false, Ordering::Relaxed);
            }
            false => drop(seen.insert(tenant.to_owned(), services.clone())),
        }
    }
    let _ = tokio::time::timeout(AHEAD, send(agent)).await;
}

/// Says that this run of the agent ends.
pub(super) async fn goodbye(agent: &Agent) {
    match tokio::time::timeout(GOODBYE, send(agent)).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::warn!("say goodbye: {fault}"),
        Err(_) => tracing::warn!("say goodbye: the server did not answer in time"),
    }
}

/// Looks at projects, beside the heartbeats: an engine that hangs holds none of them up.
pub(super) async fn look(agent: Arc<Agent>) {
    let mut failed = false;
    loop {
        let mut due = std::pin::pin!(agent.look.notified());
        due.as_mut().enable();
        let before = agent.changes.load(Ordering::Relaxed);
        let looked = tokio::select! {
            looked = tokio::time::timeout(LOOK_WITHIN, agent.hands.look()) => looked,
            () = agent.gone.cancelled() => return,
        };
        match looked.unwrap_or_else(|_| Err("it does not answer".to_owned())) {
            Ok(projects) => {
                failed = false;
                if !note(&agent, projects, before) {
                    continue;
                }
            }
            Err(why) if failed => tracing::debug!("look at the projects: {why}"),
            Err(why) => {
                failed = true;
                tracing::warn!("look at the projects: {why}");
            }
        }
        tokio::select! {
            () = due => {}
            () = tokio::time::sleep(nearly(agent.heartbeat_interval * LOOK)) => {}
            () = agent.gone.cancelled() => return,
        }
    }
}

/// Takes in what was seen. False: an order has changed projects since `before`, and what was seen may be of the past.
fn note(agent: &Agent, projects: Projects, before: u64) -> bool {
    let are_all = projects.len() <= PROJECTS;
    let projects = bounded(projects);
    let mut seen = lock(&agent.projects);
    if agent.changes.load(Ordering::Relaxed) != before {
        return false;
    }
    let was = agent.all_projects.swap(are_all, Ordering::Relaxed);
    if *seen != projects || was != are_all {
        *seen = projects;
        agent.beat.notify_one();
    }
    true
}

fn bounded(projects: Projects) -> Projects {
    projects
        .into_iter()
        .take(PROJECTS)
        .map(|(tenant, services)| (tenant, services.into_iter().take(PROJECTS).collect()))
        .collect()
}
