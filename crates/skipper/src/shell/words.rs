//! A line of the shell as words.
//!
//! Words are separated by blanks. `'…'` takes everything as it is; in `"…"` a backslash keeps the special meaning of `"` and
//! `\` away; outside of quotes it does so for blanks, quotes and itself. Anywhere else a backslash is a letter, so that
//! patterns and Windows paths survive.

/// A word, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// What it means.
    pub(crate) text: String,
    /// Where its first letter or quote stands, in bytes.
    pub(crate) start: usize,
}

/// A line that was taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The words.
    pub(crate) words: Vec<Word>,
    /// The quote that was opened and not closed.
    pub(crate) open: Option<char>,
    /// It ends with a backslash, which asks for another line.
    pub(crate) goes_on: bool,
    /// The last word goes to the end of the line: more letters would belong to it.
    pub(crate) touches_end: bool,
}

impl Words {
    /// Takes a line apart. Every line can be.
    pub(crate) fn of(line: &str) -> Self {
        let mut all = Self::default();
        let mut word: Option<Word> = None;
        let mut letters = line.char_indices().peekable();
        while let Some((at, c)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let escaped = |next: char| match all.open {
                Some('"') => matches!(next, '"' | '\\'),
                Some(_) => false,
                None => next.is_whitespace() || matches!(next, '"' | '\'' | '\\'),
            };
            if c == '\\' && next == Some('\n') && all.open.is_none() {
                // The line goes on in the next one.
                letters.next();
                all.words.extend(word.take());
            } else if c == '\\' && next.is_some_and(escaped) {
                let word = word.get_or_insert_with(|| Word { text: String::new(), start: at });
                word.text.extend(letters.next().map(|(_, next)| next));
            } else if c == '\\' && next.is_none() && all.open.is_none() {
                all.goes_on = true;
            } else if all.open == Some(c) {
                all.open = None;
            } else if all.open.is_none() && matches!(c, '"' | '\'') {
                all.open = Some(c);
                word.get_or_insert_with(|| Word { text: String::new(), start: at });
            } else if all.open.is_none() && c.is_whitespace() {
                all.words.extend(word.take());
            } else {
                word.get_or_insert_with(|| Word { text: String::new(), start: at }).text.push(c);
            }
        }
        all.touches_end = word.is_some();
        all.words.extend(word);
        all
    }

    /// Whether no other line belongs to it.
    pub(crate) const fn is_whole(&self) -> bool {
        self.open.is_none() && !self.goes_on
    }

    /// The words alone.
    pub(crate) fn texts(self) -> Vec<String> {
        self.words.into_iter().map(|word| word.text).collect()
    }
}

/// Whether a line says nothing: blank, or a comment (`//`, `#`).
pub(crate) fn says_nothing(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#') || line.starts_with("//")
}

/// The word written so that it is read as one again.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\');
    // A comment would begin where a word is the first one.
    if !word.is_empty() && word.chars().all(plain) && !says_nothing(word) {
        return word.to_owned();
    }
    if !word.contains('\'') {
        return format!("'{word}'");
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let words = Words::of(line);
        assert_eq!((words.open, words.goes_on), (None, false), "{line}");
        assert_eq!(words.texts(), expected, "{line}");
    }

    #[test]
    fn blanks_separate_and_quotes_keep_together() {
        check("", &[]);
        check("  list  ", &["list"]);
        check("install --release-name a  --file b.yml", &["install", "--release-name", "a", "--file", "b.yml"]);
        check("a 'b c' \"d  e\" f", &["a", "b c", "d  e", "f"]);
        check("--properties=\"a=b c\",d=e", &["--properties=a=b c,d=e"]);
        check("'' \"\"", &["", ""]);
        check("it\\'s \"it's\" 'say \"x\"'", &["it's", "it's", "say \"x\""]);
    }

    #[test]
    fn a_backslash_is_a_letter_where_it_has_nothing_to_do() {
        check("LC_\\.* c:\\temp\\x", &["LC_\\.*", "c:\\temp\\x"]);
        check("a\\ b \"q\\\"q \\n\" 'x\\'", &["a b", "q\"q \\n", "x\\"]);
        check("a\\\\b", &["a\\b"]);
        check("a \\\n b\\\nc", &["a", "b", "c"]);
    }

    #[test]
    fn what_is_not_finished_is_told() {
        assert_eq!(Words::of("a \"b").open, Some('"'));
        assert_eq!(Words::of("a 'it").open, Some('\''));
        assert!(Words::of("install x \\").goes_on);
        assert!(!Words::of("install x \\\\").goes_on);
        assert!(Words::of("list --na").touches_end && !Words::of("list ").touches_end);
        assert_eq!(Words::of("a  'b").words[1].start, 3);
    }

    #[test]
    fn comments_and_blanks_say_nothing() {
        for line in ["", "  ", "# x", "// x", "  //x"] {
            assert!(says_nothing(line), "{line}");
        }
        assert!(!says_nothing("list # x"));
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in prop::collection::vec(any::<String>(), 0..6)) {
            let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            let read = Words::of(&line);
            prop_assert_eq!((read.open, read.goes_on), (None, false));
            prop_assert_eq!(read.texts(), words);
        }

        #[test]
        fn any_line_can_be_taken_apart(line in any::<String>()) {
            let words = Words::of(&line);
            for pair in words.words.windows(2) {
                prop_assert!(pair[0].start < pair[1].start);
            }
            prop_assert!(words.words.iter().all(|word| line.is_char_boundary(word.start)));
        }
    }
}
