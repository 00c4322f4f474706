//! In which styles a scalar can be written.

use super::{
    Generation,
    emit::{is_break, is_printable},
};

/// What a scalar allows.
pub(super) struct Analysis {
    pub(super) empty: bool,
    /// It has line breaks.
    pub(super) lines: bool,
    /// Plain within `[]` and `{}`.
    pub(super) flow_plain: bool,
    /// Plain elsewhere.
    pub(super) block_plain: bool,
    pub(super) single_quoted: bool,
    /// As a literal block.
    pub(super) block: bool,
}

impl Analysis {
    pub(super) fn of(text: &str, generation: Generation) -> Self {
        if text.is_empty() {
            return Self {
                empty: true,
                lines: false,
                flow_plain: false,
                block_plain: true,
                single_quoted: true,
                block: false,
            };
        }
        let chars: Vec<char> = text.chars().collect();
        let (flow_indicators, block_indicators) = indicators(text, &chars);
        let lines = chars.iter().any(|c| is_break(*c));
        let special = chars.iter().any(|c| !is_printable(*c) || matches!(c, '\t' | '\r'));
        let edge = |c: char| c == ' ' || is_break(c);
        let (first, last) = (chars[0], chars[chars.len() - 1]);
        let space_break = chars.windows(2).any(|pair| pair[0] == ' ' && is_break(pair[1]));
        let break_space = chars.windows(2).any(|pair| is_break(pair[0]) && pair[1] == ' ');
        let number = generation == Generation::Two && is_leading_zero_number(text);
        let plain = !(edge(first) || edge(last) || number || break_space || space_break || special);
        Self {
            empty: false,
            lines,
            flow_plain: plain && !lines && !flow_indicators,
            block_plain: plain && !block_indicators,
            single_quoted: !(break_space || space_break || special),
            block: last != ' ' && !(space_break || special),
        }
    }
}

/// Whether characters stand where they mean something within `[]` and `{}`, and elsewhere.
fn indicators(text: &str, chars: &[char]) -> (bool, bool) {
    let (mut flow, mut block) = (false, false);
    if text.starts_with("---") || text.starts_with("...") {
        (flow, block) = (true, true);
    }
    let blank = |c: char| matches!(c, '\0' | ' ' | '\t');
    let mut after_blank = true;
    let mut before_blank = chars.get(1).is_none_or(|c| blank(*c) || *c == '\r' || is_break(*c));
    for (index, c) in chars.iter().copied().enumerate() {
        match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                if index == 0 =>
            {
                (flow, block) = (true, true);
            }
            '?' if index == 0 => {
                flow = true;
                block |= before_blank;
            }
            ':' => {
                flow = true;
                block |= before_blank;
            }
            '-' if index == 0 && before_blank => (flow, block) = (true, true),
            ',' | '?' | '[' | ']' | '{' | '}' if index > 0 => flow = true,
            '#' if after_blank => (flow, block) = (true, true),
            _ => {}
        }
        after_blank = blank(c) || is_break(c);
        // What follows the next character; after a line break everything counts as blank.
        before_blank = chars.get(index + 2).is_none_or(|next| blank(*next) || is_break(c));
    }
    (flow, block)
}

/// `0[0-9_]+`, which some readers take for an octal number and others for text.
fn is_leading_zero_number(text: &str) -> bool {
    text.strip_prefix('0').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'_'))
}
