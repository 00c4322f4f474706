//! From text to a tree, character by character, since what is no whole tag is text.

use super::tree::{Segment, Template, Text, trim};

/// Deepest nesting of sections.
const MAX_DEPTH: usize = 50;
/// Longest name, in bytes: it is looked up anew at each turn of a section.
const MAX_NAME: usize = 1000;

/// Reads a template.
///
/// # Errors
///
/// What is wrong with it, as the original says it.
pub fn parse(text: &str) -> Result<Template, String> {
    let mut parser = Parser {
        delimiters: Delimiters::default(),
        text: String::new(),
        state: State::Text,
        line: 1,
        open: Vec::new(),
        segments: Vec::new(),
    };
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        parser.char(c, &mut chars)?;
        if c == '\n' {
            parser.line += 1;
        }
    }
    parser.finish()
}

enum State {
    Text,
    /// The first character of an opening delimiter was seen.
    Opening,
    Tag,
    /// The first character of a closing delimiter was seen.
    Closing,
}

/// The second character is missing where a delimiter has one.
struct Delimiters {
    start: (char, Option<char>),
    end: (char, Option<char>),
}

impl Default for Delimiters {
    fn default() -> Self {
        Self { start: ('{', Some('{')), end: ('}', Some('}')) }
    }
}

impl Delimiters {
    fn are_usual(&self) -> bool {
        self.start == ('{', Some('{')) && self.end == ('}', Some('}'))
    }

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "Invalid delimiter configuration '{text}'. Must be of the form {{{{=1 2=}}}} or {{{{=12 34=}}}} where 1, 2, 3 and 4 \
                 are delimiter chars."
            )
        };
        let (start, end) = text.trim_end_matches(' ').split_once(' ').ok_or_else(wrong)?;
        let one = |text: &str| {
            let mut chars = text.chars();
            match (chars.next(), chars.next(), chars.next()) {
                (Some(first), second, None) => Ok((first, second)),
                _ => Err(wrong()),
            }
        };
        if end.contains(' ') {
            return Err(wrong());
        }
        Ok(Self { start: one(start)?, end: one(end)? })
    }
}

struct Open {
    name: String,
    inverted: bool,
    line: usize,
    /// What stands around it so far.
    around: Vec<Segment>,
}

struct Parser {
    delimiters: Delimiters,
    /// Text, or what is in a tag so far.
    text: String,
    state: State,
    line: usize,
    open: Vec<Open>,
    segments: Vec<Segment>,
}

impl Parser {
    fn char(&mut self, c: char, rest: &mut std::str::Chars<'_>) -> Result<(), String> {
        match self.state {
            State::Text if c == self.delimiters.start.0 => {
                self.state = State::Opening;
                if self.delimiters.start.1.is_none() {
                    self.begin_tag();
                }
            }
            State::Text => self.text.push(c),
            State::Opening if Some(c) == self.delimiters.start.1 => self.begin_tag(),
            State::Opening => {
                self.text.push(self.delimiters.start.0);
                self.state = State::Text;
                return self.char(c, rest);
            }
            State::Tag if c == self.delimiters.end.0 => {
                self.state = State::Closing;
                if self.delimiters.end.1.is_none() {
                    return self.end_tag(rest);
                }
            }
            // A tag that begins within a tag: what was before is text. Comments may hold anything.
            State::Tag if c == self.delimiters.start.0 && !self.text.is_empty() && !self.text.starts_with('!') => {
                self.restore_start();
                self.push_text();
                self.state = if self.delimiters.start.1.is_none() { State::Tag } else { State::Opening };
            }
            State::Tag => self.text.push(c),
            State::Closing if Some(c) == self.delimiters.end.1 => return self.end_tag(rest),
            State::Closing => {
                self.text.push(self.delimiters.end.0);
                self.state = State::Tag;
                return self.char(c, rest);
            }
        }
        Ok(())
    }

    fn begin_tag(&mut self) {
        self.push_text();
        self.state = State::Tag;
    }

    fn end_tag(&mut self, rest: &mut std::str::Chars<'_>) -> Result<(), String> {
        self.state = State::Text;
        let mut tag = std::mem::take(&mut self.text);
        if let Some(delimiters) = tag.strip_prefix('=') {
            // The last character is taken for the second `=`, whatever it is.
            let mut delimiters = delimiters.chars();
            delimiters.next_back().ok_or("a change of delimiters says none")?;
            self.delimiters = Delimiters::read(delimiters.as_str())?;
            self.segments.push(Segment::Silent);
            return Ok(());
        }
        if self.delimiters.are_usual() && tag.starts_with('{') {
            let third = rest.next();
            if third != Some('}') {
                let third = third.map(String::from).unwrap_or_default();
                return self.fault(&format!("Invalid triple-mustache tag: {{{{{tag}}}}}{third}"));
            }
            tag.replace_range(..1, "&");
        }
        self.tag(trim_java(&tag))
    }

    fn tag(&mut self, tag: &str) -> Result<(), String> {
        let Some(sign) = tag.chars().next() else {
            return self.fault("a tag is empty");
        };
        let name = trim_java(&tag[sign.len_utf8()..]).to_owned();
        if !matches!(sign, '!' | '>') && tag.contains(['\n', '\r']) {
            return self.fault(&format!("Invalid tag name: contains newline '{tag}'"));
        }
        if sign != '!' && tag.len() > MAX_NAME {
            return self.fault(&format!("a tag is longer than {MAX_NAME} bytes"));
        }
        let line = self.line;
        match sign {
            '#' | '^' if self.open.len() >= MAX_DEPTH => {
                return self.fault(&format!("sections are nested deeper than {MAX_DEPTH} levels"));
            }
            '#' | '^' => {
                let around = std::mem::take(&mut self.segments);
                self.open.push(Open { name, inverted: sign == '^', line, around });
            }
            '/' => return self.close(name),
            '>' => self.segments.push(Segment::Partial),
            '!' => self.segments.push(Segment::Silent),
            '&' => self.segments.push(Segment::Variable { name, line, raw: true }),
            _ => self.segments.push(Segment::Variable { name: tag.to_owned(), line, raw: false }),
        }
        Ok(())
    }

    fn close(&mut self, name: String) -> Result<(), String> {
        let Some(Open { name: opened, inverted, line, around }) = self.open.pop() else {
            return self.fault(&format!("Section close tag with no open tag '{name}'"));
        };
        if opened != name {
            return self.fault(&format!("Section close tag with mismatched open tag '{name}' != '{opened}'"));
        }
        let mut segments = std::mem::replace(&mut self.segments, around);
        trim(&mut segments, false);
        self.segments.push(Segment::Section { name, line, inverted, segments });
        Ok(())
    }

    fn push_text(&mut self) {
        if !self.text.is_empty() {
            let first = self.segments.is_empty() && self.open.is_empty();
            let text = std::mem::take(&mut self.text);
            self.segments.push(Segment::Text(Text::new(text, first)));
        }
    }

    fn restore_start(&mut self) {
        let (first, second) = self.delimiters.start;
        let start: String = std::iter::once(first).chain(second).collect();
        self.text.insert_str(0, &start);
    }

    fn finish(mut self) -> Result<Template, String> {
        match self.state {
            State::Text => {}
            State::Opening => self.text.push(self.delimiters.start.0),
            State::Tag => self.restore_start(),
            State::Closing => {
                self.restore_start();
                self.text.push(self.delimiters.end.0);
            }
        }
        self.push_text();
        if let Some(open) = self.open.pop() {
            let kind = if open.inverted { "Inverted section" } else { "Section" };
            return Err(format!("{kind} missing close tag '{}' @ line {}", open.name, open.line));
        }
        trim(&mut self.segments, true);
        Ok(Template { segments: self.segments })
    }

    fn fault<T>(&self, message: &str) -> Result<T, String> {
        Err(format!("{message} @ line {}", self.line))
    }
}

/// `String.trim`: everything up to a blank.
fn trim_java(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}
