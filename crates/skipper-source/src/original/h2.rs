//! Reads the script that H2 writes with `SCRIPT TO`: only its tables' rows, of both major versions of H2.
//!
//! ```text
//! CREATE CACHED TABLE PUBLIC.SKIPPER_INFO(ID BIGINT NOT NULL, DESCRIPTION VARCHAR(255));
//! INSERT INTO SYSTEM_LOB_STREAM VALUES(0, 0, 'the text', NULL);
//! INSERT INTO PUBLIC.SKIPPER_INFO(ID, DESCRIPTION) VALUES (1, STRINGDECODE('a\nb')), (2, SYSTEM_COMBINE_CLOB(0));
//! ```

use std::collections::BTreeMap;

use super::tables::{Cell, Table, Tables, plain_name};

/// Most rows that are taken.
const MAX_ROWS: usize = 2_000_000;
/// Deepest nesting of calls in a value.
const MAX_DEPTH: usize = 16;

/// A script that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct H2Error {
    /// Where, counted from 1.
    pub line: usize,
    /// What was expected.
    pub message: String,
}

/// The rows of every table of a script.
///
/// # Errors
///
/// [`H2Error`] for an unfinished quote, a value that is none, and more than two million rows.
pub fn read(script: &str) -> Result<Tables, H2Error> {
    let mut reader = Reader { text: script, at: 0, lobs: BTreeMap::new(), rows: 0 };
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut tables = Tables::default();
    loop {
        reader.blank()?;
        if reader.rest().is_empty() {
            return Ok(tables);
        }
        if reader.words(&["INSERT", "INTO"]) {
            reader.insert(&columns, &mut tables)?;
        } else if reader.words(&["CREATE"]) {
            reader.create(&mut columns)?;
        }
        reader.skip_statement()?;
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The parts of long values, which come before the rows that use them.
    lobs: BTreeMap<i64, Vec<u8>>,
    rows: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, message: impl Into<String>) -> H2Error {
        let line = self.text[..self.at].matches('\n').count() + 1;
        H2Error { line, message: message.into() }
    }

    /// Skips white space and comments.
    fn blank(&mut self) -> Result<(), H2Error> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("--") || trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let end = trimmed.find("*/").ok_or_else(|| self.error("a comment does not end"))?;
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    /// Takes these words, if they are next.
    fn words(&mut self, words: &[&str]) -> bool {
        let from = self.at;
        for word in words {
            if self.blank().is_err() || !self.word(word) {
                self.at = from;
                return false;
            }
        }
        true
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let fits = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        let ends = !rest[word.len().min(rest.len())..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if fits && ends {
            self.at += word.len();
        }
        fits && ends
    }

    fn sign(&mut self, sign: char) -> Result<bool, H2Error> {
        self.blank()?;
        let there = self.rest().starts_with(sign);
        if there {
            self.at += sign.len_utf8();
        }
        Ok(there)
    }

    fn need(&mut self, sign: char) -> Result<(), H2Error> {
        if self.sign(sign)? { Ok(()) } else { Err(self.error(format!("`{sign}` is expected"))) }
    }

    /// Everything up to the semicolon that ends the statement.
    fn skip_statement(&mut self) -> Result<(), H2Error> {
        loop {
            self.blank()?;
            match self.rest().chars().next() {
                None => return Ok(()),
                Some(';') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(quote @ ('\'' | '"')) => drop(self.quoted(quote)?),
                Some(other) => self.at += other.len_utf8(),
            }
        }
    }

    /// A quoted text whose quotes are doubled within.
    fn quoted(&mut self, quote: char) -> Result<String, H2Error> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let end = rest.find(quote).ok_or_else(|| self.error("a quoted text does not end"))?;
            text.push_str(&rest[..end]);
            self.at += end + 1;
            if !self.rest().starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.at += 1;
        }
    }

    /// `PUBLIC.NAME` or `"PUBLIC"."NAME"`: the last part.
    fn name(&mut self) -> Result<String, H2Error> {
        loop {
            self.blank()?;
            let part = if self.rest().starts_with('"') {
                self.quoted('"')?
            } else {
                let rest = self.rest();
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                if end == 0 {
                    return Err(self.error("a name is expected"));
                }
                self.at += end;
                rest[..end].to_owned()
            };
            if !self.rest().starts_with('.') {
                return Ok(plain_name(&part));
            }
            self.at += 1;
        }
    }

    /// The columns of a table, for rows that do not name theirs.
    fn create(&mut self, columns: &mut BTreeMap<String, Vec<String>>) -> Result<(), H2Error> {
        for word in ["CACHED", "MEMORY", "LOCAL", "GLOBAL", "TEMPORARY"] {
            self.words(&[word]);
        }
        if !self.words(&["TABLE"]) {
            return Ok(());
        }
        self.words(&["IF", "NOT", "EXISTS"]);
        let table = self.name()?;
        if !self.sign('(')? {
            return Ok(());
        }
        let mut names = Vec::new();
        loop {
            self.blank()?;
            let constraint = ["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|word| {
                let from = self.at;
                let is = self.word(word);
                self.at = from;
                is
            });
            if !constraint {
                names.push(self.name()?);
            }
            // The type, with what stands in its own parentheses.
            let mut depth = 0;
            loop {
                self.blank()?;
                match self.rest().chars().next() {
                    None => return Err(self.error("the list of columns does not end")),
                    Some(quote @ ('\'' | '"')) => {
                        self.quoted(quote)?;
                        continue;
                    }
                    Some('(') => depth += 1,
                    Some(')') if depth == 0 => {
                        columns.insert(table, names);
                        return Ok(());
                    }
                    Some(')') => depth -= 1,
                    Some(',') if depth == 0 => {
                        self.at += 1;
                        break;
                    }
                    Some(_) => {}
                }
                self.at += self.rest().chars().next().map_or(0, char::len_utf8);
            }
        }
    }

    fn insert(&mut self, known: &BTreeMap<String, Vec<String>>, tables: &mut Tables) -> Result<(), H2Error> {
        let name = self.name()?;
        let mut columns = known.get(&name).cloned().unwrap_or_default();
        if self.sign('(')? {
            columns.clear();
            loop {
                columns.push(self.name()?);
                if !self.sign(',')? {
                    break;
                }
            }
            self.need(')')?;
        }
        if !self.words(&["VALUES"]) {
            return Ok(());
        }
        let lob = name == "system_lob_stream";
        let mut rows = Vec::new();
        loop {
            self.need('(')?;
            let mut row = Vec::new();
            loop {
                row.push(self.value(0)?);
                if !self.sign(',')? {
                    break;
                }
            }
            self.need(')')?;
            self.rows += 1;
            if self.rows > MAX_ROWS {
                return Err(self.error(format!("there are more than {MAX_ROWS} rows")));
            }
            if lob {
                self.lob(&row)?;
            } else {
                rows.push(row);
            }
            if !self.sign(',')? {
                break;
            }
        }
        if !lob {
            if columns.is_empty() {
                return Err(self.error(format!("the columns of `{name}` are not known")));
            }
            let table = tables.0.entry(name).or_insert_with(|| Table { columns: columns.clone(), rows: Vec::new() });
            for row in rows {
                let named: BTreeMap<_, _> = columns.iter().cloned().zip(row).collect();
                let ordered = table.columns.iter().map(|column| named.get(column).cloned().unwrap_or(Cell::Null));
                table.rows.push(ordered.collect());
            }
        }
        Ok(())
    }

    /// `(id, part, text, bytes)`: one part of a long value.
    fn lob(&mut self, row: &[Cell]) -> Result<(), H2Error> {
        let [id, _, text, bytes] = row else { return Err(self.error("a part of a long value has four columns")) };
        let id = id.number().ok_or_else(|| self.error("a part of a long value has no number"))?;
        let part = match (text, bytes) {
            (_, Cell::Bytes(bytes)) => bytes.clone(),
            // Version 1 writes the bytes as hexadecimal text.
            (_, Cell::Text(hex)) => unhex(hex).ok_or_else(|| self.error("the bytes are not hexadecimal"))?,
            (Cell::Text(text), Cell::Null) => text.clone().into_bytes(),
            _ => Vec::new(),
        };
        self.lobs.entry(id).or_default().extend(part);
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Cell, H2Error> {
        if depth > MAX_DEPTH {
            return Err(self.error("a value is nested too deep"));
        }
        self.blank()?;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Err(self.error("a value is expected")) };
        if first == '\'' {
            return self.quoted('\'').map(Cell::Text);
        }
        if first.is_ascii_digit() || matches!(first, '-' | '+' | '.') {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.')));
            let end = end.unwrap_or(rest.len());
            self.at += end;
            return Ok(Cell::Text(rest[..end].to_owned()));
        }
        if rest.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("U&'")) {
            self.at += 2;
            let text = self.quoted('\'')?;
            return unicode(&text).map(Cell::Text).ok_or_else(|| self.error("a text has an escape that is none"));
        }
        if rest.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("X'")) {
            self.at += 1;
            let hex = self.quoted('\'')?;
            return unhex(&hex).map(Cell::Bytes).ok_or_else(|| self.error("the bytes are not hexadecimal"));
        }
        let word = self.name()?;
        self.named(&word, depth)
    }

    /// A value that begins with a word.
    fn named(&mut self, word: &str, depth: usize) -> Result<Cell, H2Error> {
        match word {
            "null" => return Ok(Cell::Null),
            "true" | "false" => return Ok(Cell::Text(word.to_owned())),
            "timestamp" | "date" | "time" => {
                for more in ["WITH", "TIME", "ZONE"] {
                    self.words(&[more]);
                }
                return self.value(depth + 1);
            }
            _ => {}
        }
        self.need('(')?;
        let argument = self.value(depth + 1)?;
        let result = match word {
            "stringdecode" => {
                let Cell::Text(text) = argument else { return Err(self.error("STRINGDECODE takes a text")) };
                Cell::Text(decoded(&text).ok_or_else(|| self.error("a text has an escape that is none"))?)
            }
            "system_combine_clob" => {
                let bytes = self.long(&argument)?;
                Cell::Text(String::from_utf8(bytes).map_err(|_| self.error("a long text is not UTF-8"))?)
            }
            "system_combine_blob" => Cell::Bytes(self.long(&argument)?),
            "cast" => {
                // CAST(value AS TYPE)
                while !self.rest().starts_with(')') {
                    let next = self.rest().chars().next().ok_or_else(|| self.error("a CAST does not end"))?;
                    self.at += next.len_utf8();
                }
                argument
            }
            other => return Err(self.error(format!("the function `{other}` is not known"))),
        };
        self.need(')')?;
        Ok(result)
    }

    fn long(&mut self, id: &Cell) -> Result<Vec<u8>, H2Error> {
        let id = id.number().ok_or_else(|| self.error("a long value has no number"))?;
        Ok(self.lobs.get(&id).cloned().unwrap_or_default())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

/// `\n`, `\t`, `\u00e9`, `\\` and octal, as Java has them.
fn decoded(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let escaped = match chars.next()? {
            't' => 9,
            'n' => 10,
            'r' => 13,
            'b' => 8,
            'f' => 12,
            'u' => hex_unit(&mut chars, 4)?,
            digit @ '0'..='7' => {
                let mut value = digit.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                    chars.next();
                    value = value * 8 + digit;
                }
                u16::try_from(value).ok()?
            }
            other @ ('"' | '\'' | '\\' | '#') => u16::try_from(u32::from(other)).ok()?,
            _ => return None,
        };
        units.push(escaped);
    }
    String::from_utf16(&units).ok()
}

/// `\00e9` and `\+01f600`, as SQL's `U&` has them.
fn unicode(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek() != Some(&'\\') {
            if chars.peek() == Some(&'+') {
                chars.next();
                let digits: String = chars.by_ref().take(6).collect();
                out.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                continue;
            }
            units.push(hex_unit(&mut chars, 4)?);
            // A pair of surrogates is two escapes.
            match String::from_utf16(&units) {
                Ok(complete) => {
                    out.push_str(&complete);
                    units.clear();
                }
                Err(_) if units.len() < 2 => {}
                Err(_) => return None,
            }
            continue;
        }
        if c == '\\' {
            chars.next();
        }
        out.push(c);
    }
    units.is_empty().then_some(out)
}

fn hex_unit(chars: &mut impl Iterator<Item = char>, digits: usize) -> Option<u16> {
    let text: String = chars.take(digits).collect();
    (text.len() == digits).then(|| u16::from_str_radix(&text, 16).ok()).flatten()
}
