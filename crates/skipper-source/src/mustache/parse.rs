//! From text to a tree.

use super::ast::{Name, Node, Template};
use crate::finding::{Faults, Finding, Position};

/// Longest template. A manifest of that size is beyond reading.
const MAX_BYTES: usize = 1 << 20;
/// Most tags in a template.
const MAX_TAGS: usize = 20_000;
/// Deepest nesting of sections.
const MAX_DEPTH: usize = 32;
/// Longest pair of delimiters.
const MAX_DELIMITER: usize = 16;

/// Reads a template.
///
/// # Errors
///
/// The first fault with its place: a tag or section that is not closed, a name that is none, a partial, a bound.
pub fn parse(file: &str, text: &str) -> Result<Template, Faults> {
    let tokens = Scanner::new(text).run().and_then(build);
    tokens
        .map(|nodes| Template { file: file.to_owned(), nodes })
        .map_err(|Fault(at, message)| Finding::error("template-syntax", message).in_file(file).at(at).into())
}

struct Fault(Position, String);

enum Token {
    /// At most one line with its line break.
    Text(Position, String),
    Variable(Position, Name, bool),
    Open(Position, Name, bool),
    Close(Position, String),
    /// A comment or a change of delimiters: nothing, but it counts when a line is judged.
    Nothing,
}

impl Token {
    const fn is_standalone(&self) -> bool {
        matches!(self, Self::Open(..) | Self::Close(..) | Self::Nothing)
    }
}

struct Scanner<'a> {
    rest: &'a str,
    at: Position,
    open: String,
    close: String,
    tokens: Vec<Token>,
    /// Index of the first token of the line that is being read.
    line_start: usize,
    /// Bytes up to the end of the line, its break included; 0 when that is not known.
    line_left: usize,
    tags: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let (open, close) = ("{{".to_owned(), "}}".to_owned());
        Self {
            rest: text,
            at: Position { line: 1, column: 1 },
            open,
            close,
            tokens: Vec::new(),
            line_start: 0,
            line_left: 0,
            tags: 0,
        }
    }

    fn run(mut self) -> Result<Vec<Token>, Fault> {
        if self.rest.len() > MAX_BYTES {
            return Err(Fault(self.at, format!("the template is longer than {} KiB", MAX_BYTES >> 10)));
        }
        while !self.rest.is_empty() {
            // Looked for within the line only, and its end only once, so that a long text is gone through once.
            if self.line_left == 0 {
                self.line_left = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
            }
            let line = self.line_left;
            match self.rest[..line].find(&self.open) {
                Some(0) => self.tag()?,
                Some(tag) => self.text(tag),
                None => {
                    self.text(line);
                    self.end_line();
                }
            }
        }
        self.end_line();
        Ok(self.tokens)
    }

    fn text(&mut self, length: usize) {
        let at = self.at;
        let text = self.advance(length).to_owned();
        self.tokens.push(Token::Text(at, text));
    }

    /// A line of nothing but white space and tags that print nothing disappears.
    fn end_line(&mut self) {
        let line = &self.tokens[self.line_start..];
        let blank = line.iter().all(|token| match token {
            Token::Text(_, text) => text.trim().is_empty(),
            other => other.is_standalone(),
        });
        if blank && line.iter().any(Token::is_standalone) {
            let start = self.line_start;
            let kept: Vec<Token> = self.tokens.drain(start..).filter(|t| !matches!(t, Token::Text(..))).collect();
            self.tokens.extend(kept);
        }
        self.line_start = self.tokens.len();
    }

    fn tag(&mut self) -> Result<(), Fault> {
        let at = self.at;
        self.tags += 1;
        if self.tags > MAX_TAGS {
            return Err(Fault(at, format!("more than {MAX_TAGS} tags")));
        }
        let after_open = &self.rest[self.open.len()..];
        let sigil = after_open.chars().next().unwrap_or(' ');
        let triple = sigil == '{' && self.open == "{{" && self.close == "}}";
        let end_mark = match sigil {
            '{' if triple => "}}}".to_owned(),
            '=' => format!("={}", self.close),
            _ => self.close.clone(),
        };
        let is_sigil = triple || matches!(sigil, '#' | '^' | '/' | '!' | '&' | '=' | '>' | '<' | '$');
        let body_start = self.open.len() + usize::from(is_sigil);
        let mut searched = &self.rest[body_start..];
        if sigil != '!' {
            let line = self.rest[..self.line_left].trim_end_matches('\n');
            searched = line.get(body_start..).unwrap_or_default();
        }
        let Some(length) = searched.find(&end_mark) else {
            let line = if sigil == '!' { "" } else { " in its line" };
            return Err(Fault(at, format!("this tag is not closed{line}; `{end_mark}` is missing")));
        };
        let body = &searched[..length];
        let body = body.trim().to_owned();
        self.advance(body_start + length + end_mark.len());
        let token = match sigil {
            '!' => Token::Nothing,
            '=' => {
                self.delimiters(at, &body)?;
                Token::Nothing
            }
            '#' | '^' => Token::Open(at, name(at, &body)?, sigil == '^'),
            '/' => Token::Close(at, body),
            '&' => Token::Variable(at, name(at, &body)?, true),
            '{' if triple => Token::Variable(at, name(at, &body)?, true),
            '>' => {
                return Err(Fault(
                    at,
                    format!("`{body}`: partials are not supported; templates of a package stand alone"),
                ));
            }
            '<' | '$' => return Err(Fault(at, format!("`{sigil}{body}`: blocks and parents are not supported"))),
            _ => Token::Variable(at, name(at, &body)?, false),
        };
        self.tokens.push(token);
        Ok(())
    }

    fn delimiters(&mut self, at: Position, body: &str) -> Result<(), Fault> {
        let mut words = body.split_whitespace();
        let (open, close) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let good = |word: &str| !word.is_empty() && word.len() <= MAX_DELIMITER && !word.contains('=');
        if !good(open) || !good(close) || words.next().is_some() {
            return Err(Fault(at, "delimiters are changed with `{{=<% %>=}}`: two words without `=`".to_owned()));
        }
        open.clone_into(&mut self.open);
        close.clone_into(&mut self.close);
        Ok(())
    }

    fn advance(&mut self, length: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(length);
        for c in passed.chars() {
            if c == '\n' {
                self.at = Position { line: self.at.line + 1, column: 1 };
            } else {
                self.at.column += 1;
            }
        }
        self.rest = rest;
        // A comment may go on beyond its line.
        self.line_left = self.line_left.saturating_sub(length);
        passed
    }
}

fn name(at: Position, body: &str) -> Result<Name, Fault> {
    Name::new(body).ok_or_else(|| {
        let shown: String = body.chars().take(60).collect();
        Fault(at, format!("`{shown}` is not a name: use parts without white space, joined by single dots"))
    })
}

fn build(tokens: Vec<Token>) -> Result<Vec<Node>, Fault> {
    let mut open: Vec<(Position, Name, bool, Vec<Node>)> = Vec::new();
    let mut nodes = Vec::new();
    for token in tokens {
        match token {
            Token::Text(at, text) => nodes.push(Node::Text { at, text }),
            Token::Variable(at, name, raw) => nodes.push(Node::Variable { at, name, raw }),
            Token::Nothing => {}
            Token::Open(at, name, inverted) => {
                if open.len() == MAX_DEPTH {
                    return Err(Fault(at, format!("sections are nested deeper than {MAX_DEPTH} levels")));
                }
                open.push((at, name, inverted, std::mem::take(&mut nodes)));
            }
            Token::Close(at, closing) => {
                let Some((opened_at, name, inverted, outer)) = open.pop() else {
                    return Err(Fault(at, format!("`{closing}` is closed here but was never opened")));
                };
                if name.as_str() != closing {
                    let message = format!(
                        "`{closing}` is closed here, but `{name}` from line {} is open",
                        opened_at.line,
                        name = name.as_str()
                    );
                    return Err(Fault(at, message));
                }
                let inner = std::mem::replace(&mut nodes, outer);
                nodes.push(Node::Section { at: opened_at, name, inverted, nodes: inner });
            }
        }
    }
    match open.pop() {
        Some((at, name, ..)) => Err(Fault(at, format!("the section `{}` is never closed", name.as_str()))),
        None => Ok(nodes),
    }
}
