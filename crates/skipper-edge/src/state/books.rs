//! Which deployments and addresses the data plane knows, and which of them the table has now.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use skipper_core::route::Backend;

use crate::table::{Deployment, Target};

/// Deployments that left the table and whose counters can still be asked for, at some 2 KB each; more where requests last.
const RETIRED: usize = 256;
/// How long counters of a deployment that left the table are still among the metrics: some scrapes, so that none is lost,
/// and not for ever, since every upgrade makes new ones.
const LINGER: Duration = Duration::from_secs(300);

/// The deployments.
#[derive(Debug, Default)]
pub(crate) struct Books {
    records: HashMap<String, Entry>,
    retired: VecDeque<String>,
    next_key: u64,
}

#[derive(Debug)]
struct Entry {
    deployment: Arc<Deployment>,
    targets: HashMap<SocketAddr, Arc<Target>>,
    /// Addresses that are in the table.
    present: HashSet<SocketAddr>,
    weight: u8,
    /// When it left the table.
    left: Option<Instant>,
}

impl Entry {
    fn in_flight(&self, counts: impl Fn(&SocketAddr) -> bool) -> u64 {
        self.targets.values().filter(|target| counts(&target.address)).map(|target| target.in_flight()).sum()
    }
}

impl Books {
    /// The target of an address, the one that is known already if there is one.
    pub(crate) fn target(&mut self, backend: &Backend, address: SocketAddr) -> Arc<Target> {
        let id = backend.deployment.as_str();
        let entry = self.records.entry(id.to_owned()).or_insert_with(|| Entry {
            deployment: Arc::new(Deployment::new(id, backend.revision)),
            targets: HashMap::new(),
            present: HashSet::new(),
            weight: 0,
            left: None,
        });
        let next_key = &mut self.next_key;
        let target = entry.targets.entry(address).or_insert_with(|| {
            *next_key += 1;
            Arc::new(Target::new(*next_key, address, entry.deployment.clone()))
        });
        target.clone()
    }

    /// The table changed for a service: notes what it has now, wakes the drains that look at it, and forgets targets that
    /// neither the table nor a request has any more.
    pub(crate) fn settle(&mut self, before: &[Backend], after: &[Backend]) {
        for backend in before {
            if let Some(entry) = self.records.get_mut(backend.deployment.as_str()) {
                entry.present.clear();
                entry.weight = 0;
            }
        }
        for backend in after {
            // A backend without addresses is known too, so that its counters can be asked for.
            if !self.records.contains_key(backend.deployment.as_str()) {
                let deployment = Arc::new(Deployment::new(backend.deployment.as_str(), backend.revision));
                let entry =
                    Entry { deployment, targets: HashMap::new(), present: HashSet::new(), weight: 0, left: None };
                self.records.insert(backend.deployment.as_str().to_owned(), entry);
            }
            if let Some(entry) = self.records.get_mut(backend.deployment.as_str()) {
                entry.present = backend.addresses.values().flatten().copied().collect();
                entry.weight = backend.weight;
                entry.left = None;
            }
        }
        for backend in before.iter().chain(after) {
            let Some(entry) = self.records.get_mut(backend.deployment.as_str()) else { continue };
            let present = &entry.present;
            entry.targets.retain(|address, target| present.contains(address) || target.in_flight() > 0);
            entry.deployment.wake();
            if !after.iter().any(|kept| kept.deployment == backend.deployment) {
                entry.left = Some(Instant::now());
                self.retired.push_back(backend.deployment.as_str().to_owned());
            }
        }
        for _ in RETIRED..self.retired.len() {
            let Some(id) = self.retired.pop_front() else { break };
            let Some(entry) = self.records.get(&id) else { continue };
            if entry.in_flight(|_| true) > 0 {
                self.retired.push_back(id);
            } else if entry.present.is_empty() && entry.weight == 0 {
                self.records.remove(&id);
            }
        }
    }

    pub(crate) fn deployment(&self, id: &str) -> Option<&Arc<Deployment>> {
        self.records.get(id).map(|entry| &entry.deployment)
    }

    /// Requests in flight at a deployment.
    pub(crate) fn in_flight(&self, id: &str) -> u64 {
        self.records.get(id).map_or(0, |entry| entry.in_flight(|_| true))
    }

    /// Requests in flight at a deployment, but for those addresses.
    pub(crate) fn in_flight_except(&self, id: &str, keep: &[SocketAddr]) -> u64 {
        self.records.get(id).map_or(0, |entry| entry.in_flight(|address| !keep.contains(address)))
    }

    /// The addresses that a drain leaves out: those that still get requests. A deployment without weight gets none, so all
    /// its requests must end.
    pub(crate) fn serving(&self, id: &str) -> Vec<SocketAddr> {
        let serving = self.records.get(id).filter(|entry| entry.weight > 0);
        serving.map_or_else(Vec::new, |entry| entry.present.iter().copied().collect())
    }

    /// Those that are in the table, busy, or have left it so recently that their last counts may not have been read yet;
    /// each with its requests in flight.
    pub(crate) fn current(&self) -> Vec<(Arc<Deployment>, u64)> {
        let counted = self.records.values().map(|entry| (entry, entry.in_flight(|_| true)));
        let current =
            counted.filter(|(entry, busy)| *busy > 0 || entry.left.is_none_or(|left| left.elapsed() < LINGER));
        current.map(|(entry, busy)| (entry.deployment.clone(), busy)).collect()
    }

    /// Requests in flight at all of them.
    pub(crate) fn total_in_flight(&self) -> u64 {
        self.records.values().map(|entry| entry.in_flight(|_| true)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use skipper_core::deployment::DeploymentId;

    use super::*;

    fn address(number: u16) -> SocketAddr {
        ([127, 0, 0, 1], 1000 + number).into()
    }

    fn backend(number: u16) -> Backend {
        Backend {
            deployment: DeploymentId::from_stored(format!("web-r{number}")),
            revision: number.into(),
            weight: 100,
            addresses: BTreeMap::from([("http".to_owned(), vec![address(number)])]),
        }
    }

    #[test]
    fn what_left_is_forgotten_in_the_end_also_what_was_busy_when_its_turn_came() {
        let mut books = Books::default();
        let redeploy = |books: &mut Books, numbers: std::ops::RangeInclusive<u16>| {
            for number in numbers {
                let before = number.checked_sub(1).map(backend);
                books.settle(before.as_slice(), &[backend(number)]);
            }
        };
        redeploy(&mut books, 0..=0);
        let request = books.target(&backend(0), address(0)).count_in(Instant::now().into());
        redeploy(&mut books, 1..=600);
        assert_eq!(books.in_flight("web-r0"), 1, "a request is still there");
        assert!(books.deployment("web-r600").is_some() && books.deployment("web-r1").is_none());
        assert!(books.records.len() <= RETIRED + 2, "{}", books.records.len());
        drop(request);
        redeploy(&mut books, 601..=1200);
        assert!(books.deployment("web-r0").is_none());
        assert!(books.records.len() <= RETIRED + 2, "{}", books.records.len());
    }
}
