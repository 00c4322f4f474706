use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use skipper_core::{
    name::{NodeName, TenantName},
    time::Timestamp,
};
use skipper_source::fleet::{Heartbeat, ServiceState};
use skipper_store::Seen;

/// A node that has said nothing for so long is called silent: three heartbeats at their usual interval.
pub const SILENT_AFTER: Duration = Duration::from_secs(45);
/// How often at most it is stored that a node was seen.
const STORE_EVERY: Duration = Duration::from_secs(60);
/// Most projects that are remembered of a node's heartbeat.
const MAX_PROJECTS: usize = 1000;
/// Heartbeats are at most a third of a lease apart.
const RUN_SILENT_AFTER: Duration = Duration::from_secs(25);
/// So many runs of an agent are remembered.
const MAX_RUNS: usize = 8;
/// Longest sentence about a trouble.
const MAX_TROUBLE: usize = 500;
/// A run of an agent that was heard again so soon after another one was, under the same name, goes on beside it.
const SAME_TIME: Duration = Duration::from_secs(120);

/// What was seen of a node since the server started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sight {
    /// When.
    pub at: Timestamp,
    /// The version of its agent.
    pub agent_version: Option<String>,
    /// The agent's run.
    pub instance: Option<String>,
    /// It takes nothing new.
    pub draining: bool,
    /// What it said of each tenant's project; nothing where its agent does not say such things.
    pub projects: BTreeMap<TenantName, BTreeMap<String, ServiceState>>,
    /// Whether these are all that there are.
    pub all_projects: bool,
    /// Accounts of platforms that it offers, and their kinds.
    pub platforms: BTreeMap<String, String>,
    /// The address at which its edge is reached, where its agent says so.
    pub address: Option<IpAddr>,
    /// Why its agent takes nothing new although it is not ending, where it says so.
    pub trouble: Option<String>,
    /// Whether its agent opens a link when it is asked to, where it has said so.
    pub links: Option<bool>,
    before: Option<(String, Timestamp)>,
    doubled: Option<(String, String, Timestamp)>,
    /// The last runs of its agent, and when each was heard.
    runs: Vec<(String, Timestamp)>,
    stored: Option<Timestamp>,
    news: bool,
}

impl Sight {
    /// Two runs of its agent that go on side by side, seen lately.
    #[must_use]
    pub fn doubled(&self, now: Timestamp) -> Option<(String, String)> {
        let (one, other, at) = self.doubled.as_ref()?;
        (now.since(*at) < SAME_TIME).then(|| (one.clone(), other.clone()))
    }
}

/// What was seen of all nodes.
#[derive(Debug, Default)]
pub struct Board {
    sights: Mutex<HashMap<NodeName, Sight>>,
}

impl Board {
    /// A node asked for work.
    pub fn asked(&self, node: &NodeName, at: Timestamp) {
        let mut sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        sights.entry(node.clone()).or_default().at = at;
    }

    /// A node's heartbeat. Answers whether it came from another run of an agent than the one before it, which goes on as well:
    /// two agents with one token.
    pub fn heard(&self, node: &NodeName, at: Timestamp, heartbeat: &Heartbeat) -> bool {
        let mut sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        let sight = sights.entry(node.clone()).or_default();
        let was = sight.at;
        sight.at = at;
        let text = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(64).collect::<String>());
        let (version, instance) = (text(&heartbeat.agent_version), text(&heartbeat.instance));
        sight.news |= sight.agent_version != version || sight.draining != heartbeat.draining;
        sight.agent_version = version;
        sight.draining = heartbeat.draining;
        sight.address = heartbeat.address;
        sight.trouble = heartbeat.trouble.as_ref().map(|text| text.chars().take(MAX_TROUBLE).collect());
        sight.platforms =
            heartbeat.platforms.iter().take(100).map(|(name, kind)| (name.clone(), kind.clone())).collect();
        sight.links = Some(heartbeat.links);
        let named = |(name, services): (&String, &BTreeMap<String, ServiceState>)| {
            Some((TenantName::new(name.clone()).ok()?, services.clone()))
        };
        sight.all_projects = heartbeat.all_projects && heartbeat.projects.len() <= MAX_PROJECTS;
        sight.projects = heartbeat.projects.iter().take(MAX_PROJECTS).filter_map(named).collect();
        let mut doubled = false;
        if let Some(run) = &instance {
            sight.runs.retain(|(known, _)| known != run);
            sight.runs.push((run.clone(), at));
            let gone = sight.runs.len().saturating_sub(MAX_RUNS);
            sight.runs.drain(..gone);
        }
        // One without a name only looks whether it is let in.
        if instance.is_some() && sight.instance != instance {
            doubled = matches!((&sight.before, &instance), (Some((before, left)), Some(now)) if before == now && at.since(*left) < SAME_TIME);
            if let (true, Some(one), Some(other)) = (doubled, &sight.instance, &instance) {
                sight.doubled = Some((one.clone(), other.clone(), at));
            }
            sight.before = sight.instance.take().map(|instance| (instance, was));
            sight.instance = instance;
        }
        doubled
    }

    /// Whether a run of the node's agent was heard lately: one that goes on is heard more often than that.
    #[must_use]
    pub fn hears(&self, node: &NodeName, run: &str, now: Timestamp) -> bool {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(known, at): &(String, Timestamp)| known == run && now.since(*at) < RUN_SILENT_AFTER;
        sights.get(node).is_some_and(|sight| sight.runs.iter().any(is_it))
    }

    /// What was seen of a node.
    #[must_use]
    pub fn sight(&self, node: &NodeName) -> Option<Sight> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    /// What the nodes that were seen offer: their accounts and the kinds of these, and when they were seen.
    #[must_use]
    pub fn offers(&self) -> Vec<(NodeName, BTreeMap<String, String>, Timestamp)> {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        let offer = |(node, sight): (&NodeName, &Sight)| (node.clone(), sight.platforms.clone(), sight.at);
        sights.iter().filter(|(_, sight)| !sight.platforms.is_empty()).map(offer).collect()
    }

    /// Forgets a node.
    pub fn remove(&self, node: &NodeName) {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }

    /// What is to be stored of it now.
    pub fn due(&self, now: Timestamp) -> Vec<Seen> {
        let mut sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        let due = sights.iter_mut().filter(|(_, sight)| {
            let old = sight.stored.is_none_or(|stored| sight.at > stored && now.since(stored) >= STORE_EVERY);
            old || sight.news
        });
        due.map(|(node, sight)| {
            sight.stored = Some(sight.at);
            sight.news = false;
            Seen {
                node: node.clone(),
                at: sight.at,
                agent_version: sight.agent_version.clone(),
                draining: sight.draining,
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(instance: &str) -> Heartbeat {
        Heartbeat { instance: Some(instance.into()), ..Heartbeat::default() }
    }

    #[test]
    fn an_agent_that_was_restarted_is_one_and_two_that_take_turns_are_two() {
        let board = Board::default();
        let node = NodeName::new("host-1").expect("valid");
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        assert!(!board.heard(&node, at(0), &beat("a")));
        assert!(!board.heard(&node, at(15), &beat("a")));
        assert!(!board.heard(&node, at(30), &beat("b")), "a restart");
        assert!(!board.heard(&node, at(45), &beat("b")));
        assert!(!board.heard(&node, at(45), &Heartbeat::default()), "a check beside it");
        assert!(!board.heard(&node, at(45), &beat("b")));
        assert!(board.heard(&node, at(46), &beat("a")), "the first one is still there");
        assert_eq!(board.sight(&node).expect("seen").doubled(at(50)), Some(("b".into(), "a".into())));
        assert!(board.heard(&node, at(60), &beat("b")));
        let hears = |run: &str, now| board.hears(&node, run, at(now));
        assert!(hears("a", 70) && !hears("a", 71) && hears("b", 71) && !hears("c", 71));
        assert_eq!(board.sight(&node).expect("seen").doubled(at(60 + 120)), None, "that was long ago");
    }

    #[test]
    fn that_a_node_was_seen_is_stored_once_a_minute() {
        let board = Board::default();
        let node = NodeName::new("host-1").expect("valid");
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        board.asked(&node, at(10));
        assert_eq!(board.due(at(10)).len(), 1);
        board.asked(&node, at(20));
        assert_eq!(board.due(at(21)), []);
        assert_eq!(board.due(at(70)).len(), 1);
        assert_eq!(board.due(at(500)), [], "nothing was seen since");
    }
}
