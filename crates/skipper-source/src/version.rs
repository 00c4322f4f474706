//! The order of versions: Maven's, which is semver's where a version is one by semver's rules.
//!
//! A version is turned into a key of ASCII and UTF-8 text whose byte order is the versions' order, so that a database sorts
//! by it and any two versions can be compared. The key is a sequence of tokens; the letter that begins each of them says
//! what it is, and the letters are in this order:
//!
//! | letter | token | example |
//! |---|---|---|
//! | `a` | a number where semver has its first pre-release identifier | `1.0.0-7` |
//! | `b` | a word before the release | `1.0.M1`, `1.0.0-dev` |
//! | `c` | nothing more: the release itself, `RELEASE`, `GA`, `FINAL` | `1.0.0` |
//! | `d` | a service pack | `1.0-sp1` |
//! | `e` | a word that Maven does not know | `1.0-jre` |
//! | `f` | a number after a hyphen or a word | `1.0-2`, `rc2` |
//! | `g` | a number after a dot | `1.1` |
//! | `h` | a word after semver's first pre-release identifier | `1.0.0-alpha.beta` |
//!
//! The two orders disagree in a few places. A version that is one by semver.org's rules and has a pre-release comes before
//! its release, whatever the word is (Maven: only words it knows), and `-sp`, `-ga`, `-final` and `-release` mean what they mean to
//! Maven. A known word with its number (`M2`, `rc10`) is ordered by the number, as Maven does (semver compares the
//! characters). `BUILD-SNAPSHOT` is a snapshot.

use std::cmp::Ordering;

/// Longest part of a version that is looked at, in bytes; longer ones are stored nowhere.
const MAX: usize = 255;

/// Compares two versions; versions that mean the same (`1.0` and `1.0.0.RELEASE`) are equal.
#[must_use]
pub fn maven_cmp(a: &str, b: &str) -> Ordering {
    maven_key(a).cmp(&maven_key(b))
}

/// A text whose byte order is the order of versions. Never empty, without control characters, at most four times as long
/// as the version and a few bytes.
#[must_use]
pub fn maven_key(version: &str) -> String {
    let version = version.trim();
    let version = &version[..version.floor_char_boundary(MAX)];
    let mut key = String::with_capacity(version.len() * 2);
    match semver::Version::parse(version) {
        Ok(parsed) => {
            let mut core = vec![parsed.major, parsed.minor, parsed.patch];
            while core.last() == Some(&0) {
                core.pop();
            }
            core.iter().for_each(|number| push_number(&mut key, 'g', &number.to_string()));
            pre_release(&mut key, parsed.pre.as_str());
        }
        Err(_) => maven(&mut key, &version.to_lowercase()),
    }
    key.push('c');
    key
}

/// A pre-release by semver's rules: identifiers with dots between them.
fn pre_release(key: &mut String, pre: &str) {
    for (index, identifier) in pre.split('.').filter(|identifier| !identifier.is_empty()).enumerate() {
        let lower = identifier.to_lowercase();
        let tokens = tokens(&lower);
        let known = tokens.iter().all(|token| token.is_number() || rank(token) != Rank::Unknown);
        if !known {
            push_word(key, if index == 0 { 'b' } else { 'h' }, identifier);
            continue;
        }
        for (place, token) in tokens.iter().enumerate() {
            let first = index == 0 && place == 0;
            match rank(token) {
                Rank::Before(word) if first || word == SNAPSHOT => push_word(key, 'b', word),
                Rank::Before(word) => push_word(key, 'h', word),
                Rank::Release => {}
                Rank::ServicePack => key.push('d'),
                Rank::Unknown => push_number(key, if first { 'a' } else { 'f' }, token.text),
            }
        }
    }
}

/// A version by Maven's rules, in lower case.
fn maven(key: &mut String, version: &str) {
    let mut tokens = tokens(version);
    trim(&mut tokens);
    for token in &tokens {
        match rank(token) {
            Rank::Before(word) => push_word(key, 'b', word),
            Rank::Release => key.push('c'),
            Rank::ServicePack => key.push('d'),
            Rank::Unknown if token.is_number() => push_number(key, if token.hyphen { 'f' } else { 'g' }, token.text),
            Rank::Unknown => push_word(key, 'e', token.text),
        }
    }
}

/// A number or a word, with what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a> {
    text: &'a str,
    /// Begins after a hyphen, or where letters and digits meet, which counts as one.
    hyphen: bool,
    /// A digit follows at once: `m` is a milestone only then.
    glued: bool,
}

impl Token<'_> {
    fn is_number(&self) -> bool {
        self.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Says the same as nothing: zero, and the names of the release itself.
    fn is_null(&self) -> bool {
        self.text.bytes().all(|byte| byte == b'0') || rank(self) == Rank::Release
    }
}

/// Splits at dots, hyphens and wherever digits and other characters meet. An empty token is zero.
fn tokens(version: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut start, mut hyphen, mut digits) = (0, false, None);
    for (at, c) in version.char_indices() {
        if matches!(c, '.' | '-') {
            let text = if at == start { "0" } else { &version[start..at] };
            tokens.push(Token { text, hyphen, glued: false });
            (start, hyphen, digits) = (at + 1, c == '-', None);
        } else if digits.replace(c.is_ascii_digit()).is_some_and(|before| before != c.is_ascii_digit()) {
            tokens.push(Token { text: &version[start..at], hyphen, glued: c.is_ascii_digit() });
            (start, hyphen) = (at, true);
        }
    }
    let text = if start == version.len() { "0" } else { &version[start..] };
    tokens.push(Token { text, hyphen, glued: false });
    join_build_snapshot(&mut tokens);
    tokens
}

/// `BUILD-SNAPSHOT` is how Spring called a snapshot.
fn join_build_snapshot(tokens: &mut Vec<Token<'_>>) {
    let [.., build, snapshot] = tokens.as_slice() else { return };
    if build.text.eq_ignore_ascii_case("build") && snapshot.text.eq_ignore_ascii_case(SNAPSHOT) {
        tokens.remove(tokens.len() - 2);
    }
}

/// Leaves out what says nothing at the end of each part, parts being what hyphens and words separate.
fn trim(tokens: &mut Vec<Token<'_>>) {
    for index in (0..tokens.len()).rev() {
        let ends_part = tokens.get(index + 1).is_none_or(|next| next.hyphen || !next.is_number());
        if ends_part && tokens[index].is_null() {
            tokens.remove(index);
        }
    }
}

const SNAPSHOT: &str = "snapshot";

/// Where a word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// Before the release; the alphabet is their order.
    Before(&'static str),
    Release,
    ServicePack,
    /// A number, or a word without a place.
    Unknown,
}

fn rank(token: &Token<'_>) -> Rank {
    match (token.text, token.glued) {
        ("alpha", _) | ("a", true) => Rank::Before("alpha"),
        ("beta", _) | ("b", true) => Rank::Before("beta"),
        ("milestone", _) | ("m", true) => Rank::Before("milestone"),
        ("rc" | "cr", _) => Rank::Before("rc"),
        (SNAPSHOT, _) => Rank::Before(SNAPSHOT),
        ("ga" | "final" | "release", _) => Rank::Release,
        ("sp", _) => Rank::ServicePack,
        _ => Rank::Unknown,
    }
}

/// The number of digits first: more digits, without leading zeros, are a larger number.
fn push_number(key: &mut String, letter: char, digits: &str) {
    let digits = digits.trim_start_matches('0');
    key.push(letter);
    key.push_str(&format!("{:03}", digits.len()));
    key.push_str(digits);
}

/// The word, ended by a character that is before all others, so that a word is before every longer one.
fn push_word(key: &mut String, letter: char, word: &str) {
    const END: char = ' ';
    key.push(letter);
    key.extend(word.chars().map(|c| if c <= END { '!' } else { c }));
    key.push(END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ascending(groups: &[&[&str]]) {
        for (index, group) in groups.iter().enumerate() {
            for version in *group {
                for same in *group {
                    assert_eq!(maven_cmp(version, same), Ordering::Equal, "{version} = {same}");
                }
                for later in groups[index + 1..].iter().copied().flatten() {
                    assert_eq!(
                        maven_cmp(version, later),
                        Ordering::Less,
                        "{version} < {later}: {} {}",
                        maven_key(version),
                        maven_key(later)
                    );
                    assert_eq!(maven_cmp(later, version), Ordering::Greater, "{later} > {version}");
                }
            }
        }
    }

    #[test]
    fn numbers_count_as_numbers() {
        ascending(&[
            &["", "0", "0.0.0"],
            &["0.1"],
            &["0.9.9"],
            &["1", "1.0", "1.0.0", "01.00"],
            &["1.0.1"],
            &["1.9.0"],
            &["1.10.0", "1.10"],
            &["2.0.0"],
            &["10.0.0"],
            &["123456789012345678901234567890.0.0"],
        ]);
    }

    #[test]
    fn the_example_of_semver_org_is_in_order() {
        ascending(&[
            &["1.0.0-alpha"],
            &["1.0.0-alpha.1"],
            &["1.0.0-alpha.beta"],
            &["1.0.0-beta"],
            &["1.0.0-beta.2"],
            &["1.0.0-beta.11"],
            &["1.0.0-rc.1"],
            &["1.0.0", "1.0.0+build.7"],
            &["1.0.1-0"],
            &["1.0.1-dev"],
            &["1.0.1"],
        ]);
    }

    #[test]
    fn the_names_of_spring_are_in_order() {
        ascending(&[
            &["1.2.0.M1", "1.2.0-M1"],
            &["1.2.0.M2", "1.2.0-M2"],
            &["1.2.0.M10", "1.2.0-M10"],
            &["1.2.0.RC1", "1.2.0-rc.1", "1.2.0-RC1", "1.2.0.CR1"],
            &["1.2.0.RC2"],
            &["1.2.0.BUILD-SNAPSHOT", "1.2.0-SNAPSHOT", "1.2.0.BUILD-SNAPSHOT"],
            &["1.2.0.RELEASE", "1.2.0", "1.2", "1.2.0.GA", "1.2.0.Final"],
            &["1.2.0.SP1", "1.2-sp-1"],
            &["1.2.0.SP10"],
            &["1.2.1.RELEASE"],
        ]);
    }

    #[test]
    fn what_is_no_semantic_version_is_ordered_as_maven_does() {
        ascending(&[
            &["1-alpha2-snapshot", "1-alpha2snapshot"],
            &["1-alpha2", "1-a2"],
            &["1-alpha-123"],
            &["1-beta-2", "1.b2"],
            &["1-beta123"],
            &["1-m2"],
            &["1-m11", "1-milestone-11"],
            &["1-rc", "1-cr"],
            &["1-rc2", "1-cr2"],
            &["1-rc123"],
            &["1-SNAPSHOT"],
            &["1", "1-ga", "1.0.0-final"],
            &["1-sp"],
            &["1-sp2"],
            &["1-sp123"],
            &["1-abc"],
            &["1-def"],
            &["1-pom-1"],
            &["1-1-snapshot"],
            &["1-1"],
            &["1-2"],
            &["1-123"],
            &["1.0.1"],
            &["1.1"],
        ]);
        ascending(&[
            &["2.0.a"],
            &["2-1", "2.0-1"],
            &["2.0.2"],
            &["2.1-a"],
            &["2.1b"],
            &["2.1-c"],
            &["2.1-1"],
            &["2.1.0.1"],
        ]);
    }

    #[test]
    fn snapshots_of_a_candidate_come_before_it() {
        ascending(&[
            &["1.0.0-RC1-SNAPSHOT", "1.0.0-rc.1-SNAPSHOT"],
            &["1.0.0-RC1"],
            &["1.0.0-RC2-SNAPSHOT"],
            &["1.0.0-SNAPSHOT"],
        ]);
    }

    #[test]
    fn oddities_are_ordered_too() {
        for version in
            ["...", "-", "--1", "é.1", "\u{1}\n x", "v1.0", &"9".repeat(400), &"1.".repeat(400), &"é".repeat(400)]
        {
            let key = maven_key(version);
            assert!(!key.contains(char::is_control), "{key}");
            assert!(key.len() <= 4 * MAX + 8, "{}", key.len());
            assert_eq!(maven_cmp(version, version), Ordering::Equal);
        }
    }
}
