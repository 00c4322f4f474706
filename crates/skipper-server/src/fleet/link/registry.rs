//! The links that are up, by node.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skipper_core::{name::NodeName, time::Timestamp};
use tokio::sync::watch;

use super::call::{Farewell, Link};

/// A run of an agent that came again so soon after another one had taken its place goes on beside it.
const SAME_TIME: Duration = Duration::from_secs(120);

/// What is known of the links of one node.
#[derive(Debug)]
struct Place {
    live: Option<Arc<Link>>,
    /// The run whose link was replaced last, and when.
    before: Option<(String, Timestamp)>,
    /// Two runs that take turns, and when that was noticed last.
    doubled: Option<(String, String, Timestamp)>,
    /// Somebody wants to ask the node something, and its agent has not been told so.
    wanted: bool,
    /// It was wanted in vain.
    in_vain: bool,
    /// Changes whenever a link of the node comes up or goes.
    turns: watch::Sender<u64>,
}

impl Default for Place {
    fn default() -> Self {
        Self { live: None, before: None, doubled: None, wanted: false, in_vain: false, turns: watch::Sender::new(0) }
    }
}

/// All of them.
#[derive(Debug)]
pub struct Links {
    places: Mutex<HashMap<NodeName, Place>>,
    next: AtomicU64,
}

impl Default for Links {
    fn default() -> Self {
        Self { places: Mutex::default(), next: AtomicU64::new(1) }
    }
}

/// How a link came in.
#[derive(Debug, Default)]
pub(super) struct Entered {
    /// The one that was there, which is to be ended.
    pub(super) older: Option<Arc<Link>>,
    /// The runs of two agents that take turns.
    pub(super) doubled: Option<(String, String)>,
}

impl Links {
    /// A number that no other link has.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The newest wins. What was there is to be ended by whoever brings this one.
    pub(super) fn enter(&self, link: &Arc<Link>) -> Entered {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(link.node.clone()).or_default();
        let older = place.live.replace(Arc::clone(link));
        (place.wanted, place.in_vain) = (false, false);
        let mut doubled = None;
        if let Some(now) = &link.instance {
            if let Some((before, left)) = &place.before
                && before == now
                && link.since.since(*left) < SAME_TIME
                && let Some(other) = older.as_ref().and_then(|older| older.instance.clone())
                && other != *now
            {
                doubled = Some((other.clone(), now.clone()));
                place.doubled = Some((other, now.clone(), link.since));
            }
            let replaced = older.as_ref().and_then(|older| older.instance.clone()).filter(|older| older != now);
            if let Some(replaced) = replaced {
                place.before = Some((replaced, link.since));
            }
        }
        place.turns.send_modify(|turn| *turn += 1);
        Entered { older, doubled }
    }

    /// A link has ended; one that has taken its place stays.
    pub(super) fn leave(&self, link: &Link) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(&link.node)
            && place.live.as_ref().is_some_and(|live| live.number == link.number)
        {
            place.live = None;
            place.turns.send_modify(|turn| *turn += 1);
        }
    }

    /// The link of a node.
    #[must_use]
    pub fn get(&self, node: &NodeName) -> Option<Arc<Link>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).get(node)?.live.clone()
    }

    /// The nodes whose agents have a link.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeName> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nodes: Vec<NodeName> =
            places.iter().filter(|(_, place)| place.live.is_some()).map(|(node, _)| node.clone()).collect();
        nodes.sort();
        nodes
    }

    /// Changes whenever a link of the node comes up or goes.
    pub(super) fn turns(&self, node: &NodeName) -> watch::Receiver<u64> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(node.clone()).or_default().turns.subscribe()
    }

    /// Somebody wants to ask the node something.
    pub(super) fn want(&self, node: &NodeName) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(node.clone()).or_default();
        place.wanted = place.live.is_none();
    }

    /// Nobody has opened one, although somebody wanted it.
    pub(super) fn does_not_come(&self, node: &NodeName) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(node) {
            place.in_vain = place.live.is_none();
        }
    }

    /// Whether a node has a link, or nothing speaks against its having one when somebody wants it; `heard`: its agent was, lately.
    #[must_use]
    pub fn is_within_reach(&self, node: &NodeName, heard: bool) -> bool {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(node).map_or(heard, |place| place.live.is_some() || (heard && !place.in_vain))
    }

    /// Whether the agent is to open a link. Said once for each time that somebody wants it: one that cannot is not asked all the time.
    #[must_use]
    pub fn take_wanted(&self, node: &NodeName) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get_mut(node).is_some_and(|place| std::mem::take(&mut place.wanted))
    }

    /// Two agents that were seen to take turns with the token of this node within the last minutes, by their runs.
    #[must_use]
    pub fn doubled(&self, node: &NodeName, now: Timestamp) -> Option<(String, String)> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let (one, other, at) = places.get(node)?.doubled.as_ref()?;
        (now.since(*at) < SAME_TIME * 5).then(|| (one.clone(), other.clone()))
    }

    /// Ends the link of a node, if there is one.
    pub fn close(&self, node: &NodeName, why: Farewell) {
        if let Some(link) = self.get(node) {
            link.close(why);
        }
    }

    /// Ends all.
    pub fn close_all(&self, why: Farewell) {
        for node in self.nodes() {
            self.close(&node, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_wanted_once_for_each_time_that_somebody_wants_it() {
        let (links, node) = (Links::default(), NodeName::new("host-1").expect("valid"));
        assert!(!links.take_wanted(&node), "nobody wants anything");
        links.want(&node);
        links.want(&node);
        assert!(links.take_wanted(&node));
        assert!(!links.take_wanted(&node), "an agent that cannot open one is not told all the time");
        links.want(&node);
        assert!(links.take_wanted(&node));
    }

    #[test]
    fn a_node_whose_link_did_not_come_is_out_of_reach_although_its_agent_was_heard() {
        let (links, node) = (Links::default(), NodeName::new("host-1").expect("valid"));
        assert!(links.is_within_reach(&node, true) && !links.is_within_reach(&node, false));
        links.want(&node);
        assert!(links.is_within_reach(&node, true), "it may still come");
        links.does_not_come(&node);
        assert!(!links.is_within_reach(&node, true));
    }
}
