//! Sums that repositories publish beside their files.

use std::fmt::Write as _;

use md5::Md5;
use sha1::{Digest as _, Sha1};
use skipper_core::Sha256;

/// SHA-1 and MD5 of what streams by. They tell damage, not forgery; what is pinned is a SHA-256.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    sha1: Sha1,
    md5: Md5,
}

/// The sums that are asked for, by the ending of the file that holds one, with its number of hexadecimal digits.
pub(super) const KINDS: [(&str, usize); 3] = [("sha256", 64), ("sha1", 40), ("md5", 32)];

impl Sums {
    pub(in super::super) fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.md5.update(bytes);
    }

    /// The sum of that kind as hexadecimal digits.
    pub(super) fn of_kind(&self, kind: &str, sha256: &Sha256) -> String {
        match kind {
            "sha256" => sha256.to_string(),
            "sha1" => hex(&self.sha1.clone().finalize()),
            _ => hex(&self.md5.clone().finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Cannot fail: it is a string.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The sum that such a file tells: alone, before a file's name, or after one.
///
/// `None` for what is no sum at all: nothing, or the page of a server that has one for everything.
pub(super) fn read(text: &str, digits: usize) -> Option<String> {
    let is_sum = |word: &&str| word.len() == digits && word.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(sum) = text.split(|c: char| c.is_whitespace() || c == '=').find(is_sum) {
        return Some(sum.to_ascii_lowercase());
    }
    let first = text.split_whitespace().next()?;
    (!first.starts_with('<')).then(|| first.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_a_text_are_those_everybody_computes() {
        let mut sums = Sums::default();
        sums.update(b"ab");
        sums.update(b"c");
        let sha256 = Sha256::of(b"abc");
        assert_eq!(sums.of_kind("sha1", &sha256), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(sums.of_kind("md5", &sha256), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(sums.of_kind("sha256", &sha256), sha256.to_string());
    }

    #[test]
    fn a_sum_is_found_however_it_was_written() {
        let sum = "a".repeat(40);
        for text in [
            sum.clone(),
            format!("{sum}\n"),
            format!("{sum}  server-1.0.jar\n"),
            format!("SHA1(server-1.0.jar)= {}", sum.to_uppercase()),
            format!("server.jar: {sum}"),
        ] {
            assert_eq!(read(&text, 40).as_deref(), Some(sum.as_str()), "{text}");
        }
        assert_eq!(read("deadbeef", 40).as_deref(), Some("deadbeef"), "a wrong one, and not the right one");
        assert_eq!(read("<html>not found</html>", 40), None);
        assert_eq!(read(" \n", 40), None);
    }
}
