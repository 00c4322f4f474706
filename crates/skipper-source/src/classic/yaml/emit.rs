//! From values to text, laid out as the libraries of the field do it.
//!
//! Three layouts are known: lists and maps of nothing but plain scalars in one line ([`Layout::Auto`]), everything in blocks
//! ([`Layout::Block`]), and blocks with every key and scalar in double quotes ([`Layout::Quoted`]), which manifests of the second
//! generation are in.

use super::{Generation, analyze::Analysis, resolve};
use crate::classic::{
    java::Moment,
    value::{Map, Value},
};

/// How a text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In one line where there are only plain scalars, else in blocks.
    Auto,
    /// In blocks.
    Block,
    /// In blocks, with double quotes around everything, and long lines kept.
    Quoted,
}

/// Column after which a line is broken at the next blank.
const WIDTH: usize = 80;
/// Longest key, with its tag, that stands on the line of its value.
const SIMPLE_KEY: usize = 128;
const INDENT: usize = 2;

/// One document.
#[must_use]
pub fn dump(value: &Value, layout: Layout, generation: Generation) -> String {
    dump_all(std::slice::from_ref(value), layout, generation)
}

/// All documents, with a `---` between them.
#[must_use]
pub fn dump_all(documents: &[Value], layout: Layout, generation: Generation) -> String {
    let mut emitter = Emitter {
        out: String::new(),
        layout,
        generation,
        column: 0,
        blank: true,
        indention: true,
        indent: None,
        flow: 0,
    };
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            emitter.write_indent();
            emitter.indicator("---", true, false, false);
        }
        emitter.node(document, false);
        emitter.write_indent();
    }
    emitter.out
}

/// A scalar with all that decides how it is written.
struct Scalar {
    text: String,
    tag: &'static str,
    style: Style,
    /// The tag can be left out when it is written plain, and when it is quoted.
    implicit: (bool, bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

struct Emitter {
    out: String,
    layout: Layout,
    generation: Generation,
    /// In UTF-16 units, which is how Java counts.
    column: usize,
    /// White space was written last.
    blank: bool,
    /// Nothing but indention and `-` stands on the line.
    indention: bool,
    indent: Option<usize>,
    /// How many lists and maps in one line are open.
    flow: usize,
}

impl Emitter {
    /// `mapping` says that it is the value of a key.
    fn node(&mut self, value: &Value, mapping: bool) {
        match value {
            Value::List(items) if self.is_flow(value) => self.flow_list(items),
            Value::List(items) => self.block_list(items, mapping),
            Value::Map(map) if self.is_flow(value) => self.flow_map(map),
            Value::Map(map) => self.block_map(map),
            scalar => {
                let scalar = self.scalar_of(scalar);
                self.scalar(&scalar, false);
            }
        }
    }

    fn is_flow(&self, value: &Value) -> bool {
        let (empty, plain) = match value {
            Value::List(items) => (items.is_empty(), items.iter().all(|item| self.is_plain(item))),
            Value::Map(map) => {
                (map.is_empty(), map.iter().all(|(key, value)| self.is_plain(&key.to_value()) && self.is_plain(value)))
            }
            _ => return false,
        };
        self.flow > 0 || empty || (plain && self.layout != Layout::Block)
    }

    /// Whether a value is a scalar whose style nobody has fixed.
    fn is_plain(&self, value: &Value) -> bool {
        match value {
            Value::List(_) | Value::Map(_) => false,
            scalar => self.scalar_of(scalar).style == Style::Plain,
        }
    }

    fn scalar_of(&self, value: &Value) -> Scalar {
        let own = if self.layout == Layout::Quoted { Style::Double } else { Style::Plain };
        let (text, tag, style) = match value {
            Value::Text(text) if !text.chars().all(is_printable) => (encode(text.as_bytes()), "binary", Style::Literal),
            Value::Bytes(bytes) => (encode(bytes), "binary", Style::Literal),
            Value::Text(text) => {
                let lines = own == Style::Plain && text.contains(is_break);
                (text.clone(), "str", if lines { Style::Literal } else { own })
            }
            Value::Null => ("null".to_owned(), "null", own),
            // Dates alone are never quoted.
            Value::Date(millis) => (timestamp(*millis), "timestamp", Style::Plain),
            // Manifests hold texts alone: numbers and the like are written as the text of what they are.
            other => {
                let (text, tag) = typed(other);
                (text, if self.layout == Layout::Quoted { "str" } else { tag }, own)
            }
        };
        let detected = detected(&text, self.generation);
        Scalar { implicit: (tag == detected, tag == "str"), text, tag, style }
    }

    fn increase_indent(&mut self, flow: bool, indentless: bool) -> Option<usize> {
        let before = self.indent;
        self.indent = match self.indent {
            None if flow => Some(INDENT),
            None => Some(0),
            Some(indent) if indentless => Some(indent),
            Some(indent) => Some(indent + INDENT),
        };
        before
    }

    fn is_pretty(&self) -> bool {
        self.layout == Layout::Quoted
    }

    fn is_split(&self) -> bool {
        self.layout != Layout::Quoted
    }

    fn flow_list(&mut self, items: &[Value]) {
        self.indicator("[", true, true, false);
        self.flow += 1;
        let before = self.increase_indent(true, false);
        if self.is_pretty() {
            self.write_indent();
        }
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.indicator(",", false, false, false);
            }
            self.break_flow();
            self.node(item, false);
        }
        self.indent = before;
        self.flow -= 1;
        if self.is_pretty() && !items.is_empty() {
            self.write_indent();
        }
        self.indicator("]", false, false, false);
        if self.is_pretty() && !items.is_empty() {
            self.write_indent();
        }
    }

    fn flow_map(&mut self, map: &Map) {
        self.indicator("{", true, true, false);
        self.flow += 1;
        let before = self.increase_indent(true, false);
        if self.is_pretty() {
            self.write_indent();
        }
        for (index, (key, value)) in map.iter().enumerate() {
            if index > 0 {
                self.indicator(",", false, false, false);
            }
            self.break_flow();
            let key = self.scalar_of(&key.to_value());
            if is_simple_key(&key) {
                self.scalar(&key, true);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, false);
                self.scalar(&key, false);
                if self.column > WIDTH || self.is_pretty() {
                    self.write_indent();
                }
                self.indicator(":", true, false, false);
            }
            self.node(value, true);
        }
        self.indent = before;
        self.flow -= 1;
        if self.is_pretty() && !map.is_empty() {
            self.write_indent();
        }
        self.indicator("}", false, false, false);
    }

    fn break_flow(&mut self) {
        if (self.column > WIDTH && self.is_split()) || self.is_pretty() {
            self.write_indent();
        }
    }

    fn block_list(&mut self, items: &[Value], mapping: bool) {
        let indentless = mapping && !self.indention;
        let before = self.increase_indent(false, indentless);
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.node(item, false);
        }
        self.indent = before;
    }

    fn block_map(&mut self, map: &Map) {
        let before = self.increase_indent(false, false);
        for (key, value) in map {
            self.write_indent();
            let key = self.scalar_of(&key.to_value());
            if is_simple_key(&key) {
                self.scalar(&key, true);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.scalar(&key, false);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.node(value, true);
        }
        self.indent = before;
    }

    fn scalar(&mut self, scalar: &Scalar, simple_key: bool) {
        let analysis = Analysis::of(&scalar.text, self.generation);
        let style = self.choose(scalar, &analysis, simple_key);
        let omitted = if style == Style::Plain { scalar.implicit.0 } else { scalar.implicit.1 };
        if !omitted {
            self.indicator(&format!("!!{}", scalar.tag), true, false, false);
        }
        let before = self.increase_indent(true, false);
        let split = !simple_key && self.is_split();
        let text: Vec<char> = scalar.text.chars().collect();
        match style {
            Style::Plain => self.plain(&text, split),
            Style::Single => self.single_quoted(&text, split),
            Style::Double => self.double_quoted(&text, split),
            Style::Literal => self.literal(&text),
        }
        self.indent = before;
    }

    fn choose(&self, scalar: &Scalar, analysis: &Analysis, simple_key: bool) -> Style {
        match scalar.style {
            Style::Double => return Style::Double,
            Style::Plain => {
                let impossible = simple_key && (analysis.empty || analysis.lines);
                let allowed = if self.flow > 0 { analysis.flow_plain } else { analysis.block_plain };
                if scalar.implicit.0 && !impossible && allowed {
                    return Style::Plain;
                }
            }
            Style::Literal => {
                let allowed = self.flow == 0 && !simple_key && analysis.block;
                return if allowed { Style::Literal } else { Style::Double };
            }
            Style::Single => {}
        }
        if analysis.single_quoted && !(simple_key && analysis.lines) { Style::Single } else { Style::Double }
    }

    fn indicator(&mut self, indicator: &str, needs_blank: bool, blank: bool, indention: bool) {
        if !self.blank && needs_blank {
            self.write(" ");
        }
        self.blank = blank;
        self.indention = self.indention && indention;
        self.write(indicator);
    }

    fn write(&mut self, text: &str) {
        self.column += text.encode_utf16().count();
        self.out.push_str(text);
    }

    fn write_chars(&mut self, text: &[char]) {
        self.column += text.iter().map(|c| c.len_utf16()).sum::<usize>();
        self.out.extend(text);
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.blank) {
            self.line_break('\n');
        }
        if self.column < indent {
            self.blank = true;
            let missing = indent - self.column;
            self.write(&" ".repeat(missing));
        }
    }

    fn line_break(&mut self, c: char) {
        self.blank = true;
        self.indention = true;
        self.column = 0;
        self.out.push(c);
    }

    /// Indention within a scalar: what follows is text.
    fn write_inner_indent(&mut self) {
        self.write_indent();
        self.blank = false;
        self.indention = false;
    }

    fn plain(&mut self, text: &[char], split: bool) {
        if text.is_empty() {
            return;
        }
        if !self.blank {
            self.write(" ");
        }
        self.blank = false;
        self.indention = false;
        for run in runs(text) {
            match run[0] {
                ' ' => {
                    if run.len() == 1 && self.column > WIDTH && split {
                        self.write_inner_indent();
                    } else {
                        self.write_chars(run);
                    }
                }
                c if is_break(c) => {
                    self.breaks(run);
                    self.write_inner_indent();
                }
                _ => self.write_chars(run),
            }
        }
    }

    /// Breaks of a scalar; a line feed at their start needs one more, since one is taken for a blank.
    fn breaks(&mut self, run: &[char]) {
        if run[0] == '\n' {
            self.line_break('\n');
        }
        for c in run {
            self.line_break(*c);
        }
    }

    fn single_quoted(&mut self, text: &[char], split: bool) {
        self.indicator("'", true, false, false);
        for run in runs(text) {
            match run[0] {
                ' ' => {
                    let outer = is_first(text, run) || is_last(text, run);
                    if run.len() == 1 && self.column > WIDTH && split && !outer {
                        self.write_indent();
                    } else {
                        self.write_chars(run);
                    }
                }
                c if is_break(c) => {
                    self.breaks(run);
                    self.write_indent();
                }
                _ => {
                    let doubled: String =
                        run.iter().flat_map(|c| std::iter::repeat_n(*c, if *c == '\'' { 2 } else { 1 })).collect();
                    self.write(&doubled);
                }
            }
        }
        self.indicator("'", false, false, false);
    }

    fn double_quoted(&mut self, text: &[char], split: bool) {
        self.indicator("\"", true, false, false);
        let (mut start, mut end) = (0, 0);
        while end <= text.len() {
            let c = text.get(end).copied();
            if c.is_none_or(|c| !matches!(c, ' '..='~') || matches!(c, '"' | '\\')) {
                if start < end {
                    self.write_chars(&text[start..end]);
                    start = end;
                }
                if let Some(c) = c {
                    let escaped = escape(c, self.generation);
                    self.write(&escaped);
                    start = end + 1;
                }
            }
            let inner = 0 < end && end + 1 < text.len();
            if inner && (c == Some(' ') || start >= end) && self.column + end > WIDTH + start && split {
                if start < end {
                    self.write_chars(&text[start..end]);
                    start = end;
                }
                self.write("\\");
                self.write_inner_indent();
                if text.get(start) == Some(&' ') {
                    self.write("\\");
                }
            }
            end += 1;
        }
        self.indicator("\"", false, false, false);
    }

    fn literal(&mut self, text: &[char]) {
        let mut header = "|".to_owned();
        if text.first().is_some_and(|c| is_break(*c) || *c == ' ') {
            header.push('2');
        }
        match text {
            [.., last] if !is_break(*last) => header.push('-'),
            [_] => header.push('+'),
            [.., before, _] if is_break(*before) => header.push('+'),
            _ => {}
        }
        self.indicator(&header, true, false, false);
        self.line_break('\n');
        let mut at_start = true;
        for run in literal_runs(text) {
            if is_break(run[0]) {
                for c in run {
                    self.line_break(*c);
                }
                if !is_last(text, run) {
                    self.write_indent();
                }
            } else {
                if at_start {
                    self.write_indent();
                }
                // The column stays where it was, as in the original: the line ends here in any case.
                self.out.extend(run);
                if is_last(text, run) {
                    self.line_break('\n');
                }
            }
            at_start = false;
        }
    }
}

fn is_simple_key(key: &Scalar) -> bool {
    let length = key.tag.len() + 2 + key.text.encode_utf16().count();
    length < SIMPLE_KEY && !key.text.is_empty() && !key.text.contains(is_break)
}

/// Text and tag of what is neither text nor nothing.
fn typed(value: &Value) -> (String, &'static str) {
    match value {
        Value::Bool(_) => (value.to_string(), "bool"),
        Value::Int(_) | Value::Big(_) => (value.to_string(), "int"),
        Value::Float(number) => {
            let text = match number {
                number if number.is_nan() => ".NaN".to_owned(),
                number if number.is_infinite() => if *number > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
                _ => value.to_string(),
            };
            (text, "float")
        }
        other => (other.to_string(), "str"),
    }
}

fn timestamp(millis: i64) -> String {
    let Moment { year, month, day, hour, minute, second, millis } = Moment::of(millis);
    // Years before the first one are counted backwards, and it is not said.
    let year = if year <= 0 { 1 - year } else { year };
    let fraction = if millis > 0 { format!(".{millis:03}") } else { String::new() };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// The tag that a reader would give a plain scalar.
fn detected(text: &str, generation: Generation) -> &'static str {
    if matches!(text, "<<" | "!" | "&" | "*") {
        return "merge";
    }
    if text == " " {
        return "null";
    }
    match resolve::plain(text, generation) {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Big(_) => "int",
        Value::Float(_) => "float",
        Value::Date(_) => "timestamp",
        _ => "str",
    }
}

/// Runs of blanks, of line breaks, and of everything else.
fn runs(text: &[char]) -> impl Iterator<Item = &[char]> {
    let class = |c: &char| if *c == ' ' { 0 } else { 1 + u8::from(is_break(*c)) };
    text.chunk_by(move |a, b| class(a) == class(b))
}

/// Runs of line breaks and of everything else.
fn literal_runs(text: &[char]) -> impl Iterator<Item = &[char]> {
    text.chunk_by(|a, b| is_break(*a) == is_break(*b))
}

/// Whether a run is the first of its text.
fn is_first(text: &[char], run: &[char]) -> bool {
    std::ptr::eq(text.as_ptr(), run.as_ptr())
}

/// Whether a run is the last of its text.
fn is_last(text: &[char], run: &[char]) -> bool {
    std::ptr::eq(text.as_ptr_range().end, run.as_ptr_range().end)
}

fn encode(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

pub(super) const fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What may stand in YAML 1.1.
pub(super) const fn is_printable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// How a character stands in double quotes that cannot stand there as it is.
fn escape(c: char, generation: Generation) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        // The first generation looks at halves of characters beyond 16 bits, which are not printable.
        '\u{10000}'.. if generation == Generation::One => return format!("\\U{:08x}", u32::from(c)),
        c if is_printable(c) => return c.to_string(),
        c if u32::from(c) <= 0xff => return format!("\\x{:02x}", u32::from(c)),
        c => return format!("\\u{:04x}", u32::from(c)),
    };
    format!("\\{short}")
}
