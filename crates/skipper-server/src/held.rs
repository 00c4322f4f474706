//! Answers of the store that were read lately: dashboards and shells ask for the same ones again and again. They hold for as
//! long as nothing is committed, and not at all where other processes commit as well (several servers on one PostgreSQL).
//!
//! What depends on who asks is decided before anything here is asked, and tenants are part of the question.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use skipper_store::Store;

/// Most bytes that the answers of one kind hold together, roughly.
const HELD: usize = 4 << 20;
/// How long: should ever another process write into the same file, it is seen within this time.
const HELD_FOR: Duration = Duration::from_secs(1);

/// Answers by what was asked.
#[derive(Debug)]
pub struct Held<K, V>(Mutex<Option<Since<K, V>>>);

/// Everything that was read since a commit, and before the next one.
#[derive(Debug)]
struct Since<K, V> {
    commits: u64,
    began: Instant,
    bytes: usize,
    answers: HashMap<K, V>,
}

impl<K, V> Since<K, V> {
    fn holds(&self, commits: u64) -> bool {
        self.commits == commits && self.began.elapsed() < HELD_FOR
    }
}

impl<K, V> Default for Held<K, V> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<K: Eq + Hash, V: Clone> Held<K, V> {
    /// What is held for `asked`; otherwise what `read` reads, whose `size` in bytes need be no more than roughly right.
    pub(crate) async fn or_read<E>(
        &self,
        store: &Store,
        asked: K,
        size: impl FnOnce(&V) -> usize,
        read: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let Some(commits) = store.commits() else { return read.await };
        if let Some(answer) = self.get(commits, &asked) {
            return Ok(answer);
        }
        // Both from before it is read: what is committed meanwhile makes the answer one of yesterday.
        let began = Instant::now();
        let answer = read.await?;
        self.put(commits, began, asked, answer.clone(), size(&answer));
        Ok(answer)
    }

    fn get(&self, commits: u64, asked: &K) -> Option<V> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| held.holds(commits))?.answers.get(asked).cloned()
    }

    fn put(&self, commits: u64, began: Instant, asked: K, answer: V, bytes: usize) {
        if bytes > HELD {
            return;
        }
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match place.as_mut() {
            // Something newer is there already.
            Some(held) if held.commits > commits => {}
            Some(held) if held.holds(commits) && held.bytes + bytes <= HELD => {
                held.bytes += bytes;
                held.answers.insert(asked, answer);
            }
            _ => *place = Some(Since { commits, began, bytes, answers: HashMap::from([(asked, answer)]) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(held: &Held<u8, u8>, commits: u64, asked: u8, bytes: usize) {
        held.put(commits, Instant::now(), asked, asked, bytes);
    }

    #[test]
    fn an_answer_holds_until_the_next_commit() {
        let held = Held::default();
        put(&held, 1, 7, 10);
        assert_eq!((held.get(1, &7), held.get(1, &8), held.get(2, &7)), (Some(7), None, None));
        put(&held, 2, 8, 10);
        assert_eq!((held.get(2, &7), held.get(2, &8)), (None, Some(8)));
    }

    #[test]
    fn what_was_read_before_a_commit_and_comes_late_replaces_nothing() {
        let held = Held::default();
        put(&held, 2, 7, 10);
        put(&held, 1, 8, 10);
        assert_eq!((held.get(2, &7), held.get(2, &8), held.get(1, &8)), (Some(7), None, None));
    }

    #[test]
    fn an_answer_grows_old_by_itself_from_before_it_was_read() {
        let held = Held::default();
        let long_ago = Instant::now().checked_sub(HELD_FOR).expect("the machine runs for longer");
        held.put(1, long_ago, 7, 7, 10);
        assert_eq!(held.get(1, &7), None);
        put(&held, 1, 8, 10);
        assert_eq!((held.get(1, &7), held.get(1, &8)), (None, Some(8)));
    }

    #[test]
    fn no_more_is_held_than_the_bound() {
        let held = Held::default();
        put(&held, 1, 1, HELD + 1);
        assert_eq!(held.get(1, &1), None);
        put(&held, 1, 2, HELD / 2);
        put(&held, 1, 3, HELD / 2);
        assert_eq!((held.get(1, &2), held.get(1, &3)), (Some(2), Some(3)));
        put(&held, 1, 4, 1);
        assert_eq!((held.get(1, &2), held.get(1, &3), held.get(1, &4)), (None, None, Some(4)));
    }
}
