//! What lets the agent in: a token that was given, or one in a file that may be exchanged while the agent runs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use skipper_core::{port::Ids as _, secret::SecretValue};

use super::{disk, settings::is_printable};
use crate::world::RandomIds;

/// What a token for enrolment begins with: it is good once, for a token of the node's own.
const ENROLMENT: &str = "ske_";

/// Where it comes from.
#[derive(Debug, Clone)]
pub(super) enum TokenSource {
    /// It was handed over.
    Given(SecretValue),
    /// It is read, and read again when the server refuses it.
    File(PathBuf),
}

impl TokenSource {
    fn read(&self) -> Result<SecretValue, String> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::File(path) => read(path).map_err(|error| {
                format!(
                    "the token file {} cannot be used: {error}; put the node's token there, mode 0600",
                    path.display()
                )
            }),
        }
    }
}

fn read(path: &Path) -> io::Result<SecretValue> {
    let text = fs::read_to_string(path)?;
    let token = text.trim();
    if is_printable(token) {
        return Ok(SecretValue::new(token.to_owned()));
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it does not hold one word of printable ASCII"))
}

/// The token in use.
#[derive(Debug)]
pub(super) struct Token {
    source: TokenSource,
    enrolled: PathBuf,
    enrolling: PathBuf,
    now: Mutex<SecretValue>,
}

impl Token {
    /// Reads it; `dir` is where one that came by enrolment is kept.
    ///
    /// # Errors
    ///
    /// A sentence that says what to do.
    pub(super) fn open(source: TokenSource, dir: &Path) -> Result<Self, String> {
        let now = source.read()?;
        let token =
            Self { source, enrolled: dir.join("token"), enrolling: dir.join("enrolling"), now: Mutex::new(now) };
        token.take_enrolled();
        Ok(token)
    }

    /// The token to be sent now.
    pub(super) fn current(&self) -> SecretValue {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is to be exchanged for one of the node's own first.
    pub(super) fn is_for_enrolment(&self) -> bool {
        self.current().expose().starts_with(ENROLMENT)
    }

    /// Looks at the file again. Whether there is another token now.
    pub(super) fn reread(&self) -> bool {
        let before = self.current();
        match self.source.read() {
            Ok(token) => {
                self.set(token);
                self.take_enrolled();
                self.current() != before
            }
            Err(fault) => {
                tracing::warn!("{fault}");
                false
            }
        }
    }

    /// The idempotency key under which the token at hand is exchanged: the same until that has succeeded, so that an answer that was
    /// lost is given again.
    ///
    /// # Errors
    ///
    /// It cannot be kept.
    pub(super) fn exchanged_under(&self) -> io::Result<String> {
        let mark = disk::digest(self.current().expose().as_bytes());
        let text = fs::read_to_string(&self.enrolling).unwrap_or_default();
        if let Some((_, key)) = text.trim().split_once(' ').filter(|(of, key)| *of == mark && is_printable(key)) {
            return Ok(key.to_owned());
        }
        let key = RandomIds.next().to_string();
        disk::write_private(&self.enrolling, format!("{mark} {key}\n").as_bytes())?;
        Ok(key)
    }

    /// Keeps what enrolment gave, beside what it was given for.
    ///
    /// # Errors
    ///
    /// It cannot be written; it is used all the same.
    pub(super) fn enrolled(&self, token: SecretValue) -> io::Result<()> {
        let mark = disk::digest(self.current().expose().as_bytes());
        let text = format!("{mark} {}\n", token.expose());
        self.set(token);
        disk::write_private(&self.enrolled, text.as_bytes())?;
        // Left behind it is of no use to anybody.
        let _ = fs::remove_file(&self.enrolling);
        Ok(())
    }

    /// The token that the one at hand was exchanged for, if it was.
    fn take_enrolled(&self) {
        let current = self.current();
        if !current.expose().starts_with(ENROLMENT) {
            return;
        }
        let text = fs::read_to_string(&self.enrolled).unwrap_or_default();
        let kept = text.trim().split_once(' ').filter(|(mark, _)| *mark == disk::digest(current.expose().as_bytes()));
        if let Some((_, token)) = kept.filter(|(_, token)| is_printable(token)) {
            self.set(SecretValue::new(token.to_owned()));
        }
    }

    fn set(&self, token: SecretValue) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_was_exchanged_in_its_file_is_found() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("t");
        fs::write(&path, "skn_one\n").expect("written");
        let token = Token::open(TokenSource::File(path.clone()), dir.path()).expect("read");
        assert_eq!(token.current().expose(), "skn_one");
        assert!(!token.reread());
        fs::write(&path, "skn_two").expect("written");
        assert!(token.reread());
        assert_eq!(token.current().expose(), "skn_two");
        fs::write(&path, "two words").expect("written");
        assert!(!token.reread(), "what cannot be a token leaves the one that was");
        assert_eq!(token.current().expose(), "skn_two");
    }

    #[test]
    fn an_exchange_has_one_key_until_it_has_succeeded() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let open =
            |word: &str| Token::open(TokenSource::Given(SecretValue::new(word.to_owned())), dir.path()).expect("given");
        let key = open("ske_a").exchanged_under().expect("kept");
        assert_eq!(open("ske_a").exchanged_under().expect("kept"), key, "also after the agent was killed");
        assert_ne!(open("ske_b").exchanged_under().expect("kept"), key, "another enrolment is another request");
        open("ske_b").enrolled(SecretValue::new("skn_own".to_owned())).expect("kept");
        let left: Vec<_> =
            fs::read_dir(dir.path()).expect("a folder").map(|one| one.expect("an entry").file_name()).collect();
        assert_eq!(left, ["token"]);
    }

    #[test]
    fn what_enrolment_gave_is_used_again_and_a_new_enrolment_replaces_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let given = |word: &str| TokenSource::Given(SecretValue::new(word.to_owned()));
        let token = Token::open(given("ske_a"), dir.path()).expect("given");
        assert!(token.is_for_enrolment());
        token.enrolled(SecretValue::new("skn_own".to_owned())).expect("kept");
        assert_eq!(token.current().expose(), "skn_own");
        let again = Token::open(given("ske_a"), dir.path()).expect("given");
        assert_eq!(again.current().expose(), "skn_own");
        assert!(Token::open(given("ske_b"), dir.path()).expect("given").is_for_enrolment());
        assert_eq!(Token::open(given("skn_x"), dir.path()).expect("given").current().expose(), "skn_x");
    }
}
