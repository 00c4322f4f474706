//! The stable words of errors that come over a wire.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Most words that are learnt. All platforms together have fewer than two hundred.
const MOST: usize = 1024;
/// Longest word.
const LONGEST: usize = 48;
/// What stands for a word that is none, or one too many.
const OTHER: &str = "node-refused";

/// Words are static in core, so that nobody makes them up at run time. Those of a node are made up by its drivers, which may be of
/// another release than this program: each is kept for good when it is first heard, and their number is bounded.
pub(super) fn known(word: &str) -> &'static str {
    static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if word.is_empty() || word.len() > LONGEST || !word.bytes().all(plain) {
        return OTHER;
    }
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = words.get(word) {
        return known;
    }
    if words.len() >= MOST {
        return OTHER;
    }
    let word: &'static str = Box::leak(word.to_owned().into_boxed_str());
    words.insert(word);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_and_what_is_none_is_not() {
        assert_eq!(known("port-taken"), "port-taken");
        assert!(std::ptr::eq(known("port-taken"), known("port-taken")));
        let long = "a".repeat(LONGEST + 1);
        for bad in ["", "Port", "a b", "ä", &long] {
            assert_eq!(known(bad), OTHER, "{bad}");
        }
    }
}
