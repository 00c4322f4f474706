//! What is to be done, and when: decided from what is wanted, what there is and what went wrong. Nothing is done here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Orders at a time.
pub(super) const AT_ONCE: usize = 4;
/// Troubles that are remembered of names which nobody wants now.
const REMEMBERED: usize = 1000;
/// Pauses after a failed order, in seconds; the last one is for all further ones. Authorities take five failed proofs of a name
/// in an hour.
const PAUSES: [u64; 7] = [60, 5 * 60, 20 * 60, 3600, 3 * 3600, 6 * 3600, 12 * 3600];
/// Pauses while the authority itself does not answer, which costs it nothing.
const AUTHORITY_PAUSES: [u64; 6] = [5, 15, 60, 5 * 60, 15 * 60, 3600];
/// Shortest pause after the authority said that it was asked too often.
const LIMITED: u64 = 3600;

/// When a certificate holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Validity {
    /// When two thirds of it are over.
    pub(super) const fn renew_at(self) -> u64 {
        self.from + self.until.saturating_sub(self.from) / 3 * 2
    }
}

/// What went wrong lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// In a row.
    pub(super) failures: u32,
    pub(super) error: String,
    /// Seconds since 1970.
    pub(super) next_try: u64,
}

impl Trouble {
    fn again(before: Option<&Self>, error: String, now: u64, pauses: &[u64], jitter: f64) -> Self {
        let failures = before.map_or(0, |trouble| trouble.failures).saturating_add(1);
        let step = usize::try_from(failures - 1).unwrap_or(usize::MAX).min(pauses.len() - 1);
        Self { failures, error, next_try: now + spread(pauses[step], jitter) }
    }
}

/// A pause, up to a quarter longer, so that those who failed together do not come back together. `jitter` is from 0 to 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "pauses are hours at most, and jitter is clamped"
)]
fn spread(pause: u64, jitter: f64) -> u64 {
    pause + (pause as f64 * 0.25 * jitter.clamp(0.0, 1.0)) as u64
}

/// Why an order came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The authority does not answer, or has no account for us: no other name would fare better.
    Authority(String),
    /// This name.
    Name(String),
    /// The authority was asked too often.
    Limited(String),
}

/// One name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of the certificate that is here.
    pub(super) validity: Option<Validity>,
    pub(super) trouble: Option<Trouble>,
    /// An order is under way.
    pub(super) ordering: bool,
    /// A route has it.
    pub(super) wanted: bool,
}

impl Entry {
    /// From when it may be ordered.
    fn due_at(&self) -> u64 {
        let asked = self.validity.map_or(0, Validity::renew_at);
        self.trouble.as_ref().map_or(asked, |trouble| trouble.next_try.max(asked))
    }
}

/// Everything known about every name.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) entries: BTreeMap<String, Entry>,
    /// The authority's own trouble.
    pub(super) authority: Option<Trouble>,
}

impl Ledger {
    /// Makes exactly these names wanted, and tells those that are new.
    pub(super) fn want(&mut self, wanted: &BTreeSet<String>, now: u64) -> Vec<String> {
        let (mut remembered, mut new) = (0, Vec::new());
        self.entries.retain(|name, entry| {
            let was_wanted = std::mem::replace(&mut entry.wanted, wanted.contains(name));
            if entry.wanted && !was_wanted {
                new.push(name.clone());
            }
            // One that comes back soon must not be tried sooner than if it had stayed.
            let waits = entry.trouble.as_ref().is_some_and(|trouble| trouble.next_try > now);
            remembered += usize::from(!entry.wanted && waits);
            entry.wanted || entry.ordering || (waits && remembered <= REMEMBERED)
        });
        for name in wanted {
            self.entries.entry(name.clone()).or_insert_with(|| {
                new.push(name.clone());
                Entry { wanted: true, ..Entry::default() }
            });
        }
        new
    }

    /// The names to order now: those without certificate first, then those whose certificate ends first.
    pub(super) fn due(&self, now: u64) -> Vec<String> {
        if self.authority.as_ref().is_some_and(|trouble| trouble.next_try > now) {
            return Vec::new();
        }
        let busy = self.entries.values().filter(|entry| entry.ordering).count();
        // After a failure of its own, the authority is asked for one name, not for all.
        let most = if self.authority.is_some() { 1 } else { AT_ONCE };
        let is_due = |entry: &Entry| entry.wanted && !entry.ordering && entry.due_at() <= now;
        let mut due: Vec<(u64, &String)> = self
            .entries
            .iter()
            .filter(|(_, entry)| is_due(entry))
            .map(|(name, entry)| (entry.validity.map_or(0, |validity| validity.until), name))
            .collect();
        due.sort_unstable();
        due.into_iter().take(most.saturating_sub(busy)).map(|(_, name)| name.clone()).collect()
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Option<u64> {
        let idle = self.entries.values().filter(|entry| entry.wanted && !entry.ordering);
        let next = idle.map(Entry::due_at).min()?;
        Some(self.authority.as_ref().map_or(next, |trouble| trouble.next_try.max(next)))
    }

    pub(super) fn begin(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.ordering = true;
        }
    }

    /// There is a certificate now.
    pub(super) fn succeed(&mut self, name: &str, validity: Validity) {
        self.authority = None;
        let entry = self.entries.entry(name.to_owned()).or_default();
        *entry = Entry { validity: Some(validity), wanted: entry.wanted, ..Entry::default() };
    }

    /// There is none; until when nothing is tried.
    pub(super) fn fail(&mut self, name: &str, failure: Failure, now: u64, jitter: f64) -> u64 {
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.ordering = false;
        let (error, least) = match failure {
            Failure::Authority(error) => {
                let trouble = Trouble::again(self.authority.as_ref(), error, now, &AUTHORITY_PAUSES, jitter);
                let next = trouble.next_try;
                self.authority = Some(trouble);
                return next;
            }
            Failure::Name(error) => (error, 0),
            Failure::Limited(error) => (error, spread(LIMITED, jitter)),
        };
        // It answered.
        self.authority = None;
        let mut trouble = Trouble::again(entry.trouble.as_ref(), error, now, &PAUSES, jitter);
        // One that ends soon is tried more often.
        if let Some(left) = entry.validity.map(|validity| validity.until.saturating_sub(now)) {
            trouble.next_try = trouble.next_try.min(now + (left / 4).max(PAUSES[0]));
        }
        trouble.next_try = trouble.next_try.max(now + least);
        let next = trouble.next_try;
        entry.trouble = Some(trouble);
        next
    }

    /// Everything may be tried at once: somebody says that the cause is gone.
    pub(super) fn retry(&mut self) {
        let troubles = self.entries.values_mut().filter_map(|entry| entry.trouble.as_mut());
        troubles.chain(self.authority.as_mut()).for_each(|trouble| trouble.next_try = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn wanting(of: &[&str]) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.want(&names(of), 0);
        ledger
    }

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_it_are_over() {
        let mut ledger = wanting(&["a.example"]);
        assert_eq!(ledger.due(1000), ["a.example"]);
        ledger.begin("a.example");
        assert!(ledger.due(1000).is_empty(), "it is under way");
        ledger.succeed("a.example", Validity { from: 1000, until: 1000 + 90 * DAY });
        assert!(ledger.due(999 + 60 * DAY).is_empty());
        assert_eq!(ledger.due(1000 + 60 * DAY), ["a.example"]);
        assert_eq!(ledger.next_look(), Some(1000 + 60 * DAY));
        ledger.want(&names(&[]), 0);
        assert!(ledger.due(u64::MAX).is_empty() && ledger.next_look().is_none(), "nobody wants it any more");
    }

    #[test]
    fn a_few_at_a_time_and_the_most_urgent_first() {
        let mut ledger = wanting(&["a.x", "b.x", "c.x", "d.x", "e.x", "f.x"]);
        ledger.succeed("a.x", Validity { from: 0, until: 300 });
        ledger.succeed("b.x", Validity { from: 0, until: 200 });
        assert_eq!(ledger.due(290), ["c.x", "d.x", "e.x", "f.x"]);
        ["c.x", "d.x", "e.x"].iter().for_each(|name| ledger.begin(name));
        assert_eq!(ledger.due(290), ["f.x"]);
        ledger.succeed("f.x", Validity { from: 0, until: 3000 });
        assert_eq!(ledger.due(290), ["b.x"]);
    }

    #[test]
    fn failures_are_tried_again_later_and_later_and_remembered_for_a_name_that_comes_back() {
        let mut ledger = wanting(&["a.x"]);
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..9 {
            let next = ledger.fail("a.x", Failure::Name("no".to_owned()), now, 0.0);
            assert!(ledger.due(next - 1).is_empty());
            assert_eq!(ledger.due(next), ["a.x"]);
            pauses.push(next - now);
            now = next;
        }
        assert_eq!(pauses, [60, 300, 1200, 3600, 10_800, 21_600, 43_200, 43_200, 43_200]);
        let within_an_hour = pauses.iter().scan(0, |sum, pause| Some(std::mem::replace(sum, *sum + pause)));
        assert!(within_an_hour.filter(|at| *at < 3600).count() < 5, "more than authorities take");
        let next = ledger.fail("a.x", Failure::Name("no".to_owned()), now, 1.0);
        assert_eq!(next - now, 54_000, "with all the jitter");
        assert!(ledger.want(&names(&[]), now).is_empty());
        assert_eq!(ledger.want(&names(&["a.x", "b.x"]), now), ["a.x", "b.x"], "both may have a certificate already");
        ledger.want(&names(&["a.x"]), now);
        assert!(ledger.due(next - 1).is_empty(), "it went and came back");
        ledger.retry();
        assert_eq!(ledger.due(now), ["a.x"]);
    }

    #[test]
    fn an_authority_that_does_not_answer_is_asked_for_one_name_until_it_does() {
        let mut ledger = wanting(&["a.x", "b.x", "c.x"]);
        ["a.x", "b.x", "c.x"].iter().for_each(|name| ledger.begin(name));
        let next = ledger.fail("a.x", Failure::Authority("down".to_owned()), 100, 0.0);
        assert_eq!(next, 105);
        assert!(ledger.due(104).is_empty());
        ledger.fail("b.x", Failure::Authority("down".to_owned()), 100, 0.0);
        let next = ledger.fail("c.x", Failure::Authority("down".to_owned()), 100, 0.0);
        assert_eq!(ledger.due(next).len(), 1);
        assert!(ledger.entries.values().all(|entry| entry.trouble.is_none()), "the names did nothing wrong");
        ledger.begin("a.x");
        ledger.succeed("a.x", Validity { from: next, until: next + DAY });
        assert_eq!(ledger.due(next), ["b.x", "c.x"]);
    }

    #[test]
    fn a_limit_is_waited_for_and_one_that_ends_soon_is_tried_more_often() {
        let mut ledger = wanting(&["a.x"]);
        assert!(ledger.fail("a.x", Failure::Limited("often".to_owned()), 0, 0.0) >= 3600);
        ledger.succeed("a.x", Validity { from: 0, until: 10 * DAY });
        for _ in 0..10 {
            ledger.fail("a.x", Failure::Name("no".to_owned()), 9 * DAY, 0.0);
        }
        assert_eq!(ledger.entries["a.x"].trouble.as_ref().expect("trouble").next_try, 9 * DAY + DAY / 4);
    }
}
