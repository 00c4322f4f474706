//! A template that was read, and which blank lines vanish.

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    pub(super) segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
pub(super) enum Segment {
    Text(Text),
    /// A comment or a change of delimiters.
    Silent,
    Variable {
        name: String,
        line: usize,
        raw: bool,
    },
    Section {
        name: String,
        line: usize,
        inverted: bool,
        segments: Vec<Segment>,
    },
    /// `{{>name}}`, which nobody can load.
    Partial,
}

#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    /// Length of a first line that is blank, with its end.
    lead: Option<usize>,
    /// Where a last line begins that is blank.
    trail: Option<usize>,
}

impl Text {
    /// `first` says that nothing stands before it in the template.
    pub(super) fn new(text: String, first: bool) -> Self {
        let blank = |text: &str| text.chars().all(is_blank);
        let lead = text.find('\n').map(|end| end + 1).filter(|end| blank(&text[..*end]));
        let last = text.rfind('\n').map(|end| end + 1);
        let trail = last.or_else(|| first.then_some(0)).filter(|start| blank(&text[*start..]));
        Self { text, lead, trail }
    }

    fn cut_lead(&mut self) {
        if let Some(end) = self.lead.take() {
            self.text.drain(..end);
            self.trail = self.trail.and_then(|start| start.checked_sub(end));
        }
    }

    fn cut_trail(&mut self) {
        if let Some(start) = self.trail.take() {
            self.text.truncate(start);
            self.lead = self.lead.filter(|end| *end <= start);
        }
    }
}

/// Which characters Java calls white space: no space that keeps words together.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{1c}'..='\u{1f}')
        || (c.is_whitespace() && !matches!(c, '\u{85}' | '\u{a0}' | '\u{2007}' | '\u{202f}'))
}

/// Removes the lines on which a section's tag, a comment or a change of delimiters stands alone. Sections within are done
/// already. `top` says that the template begins and ends with these segments, which counts as a blank line on both sides.
pub(super) fn trim(segments: &mut [Segment], top: bool) {
    for index in 0..segments.len() {
        let (before, rest) = segments.split_at_mut(index);
        let Some((segment, after)) = rest.split_first_mut() else { return };
        let blank_before = before.last().map_or(top, trails_blank);
        let blank_after = after.first().map_or(top, leads_blank);
        match segment {
            Segment::Section { segments, .. } => {
                if blank_before && segments.first().is_some_and(leads_blank) {
                    cut_trail(before);
                    cut_lead(segments);
                }
                if blank_after && segments.last().is_some_and(trails_blank) {
                    cut_trail(segments);
                    cut_lead(after);
                }
            }
            Segment::Silent if blank_before && blank_after => {
                cut_trail(before);
                cut_lead(after);
            }
            _ => {}
        }
    }
}

fn leads_blank(segment: &Segment) -> bool {
    matches!(segment, Segment::Text(Text { lead: Some(_), .. }))
}

fn trails_blank(segment: &Segment) -> bool {
    matches!(segment, Segment::Text(Text { trail: Some(_), .. }))
}

/// Cuts a blank first line off the first of these.
fn cut_lead(segments: &mut [Segment]) {
    if let Some(Segment::Text(text)) = segments.first_mut() {
        text.cut_lead();
    }
}

/// Cuts a blank last line off the last of these.
fn cut_trail(segments: &mut [Segment]) {
    if let Some(Segment::Text(text)) = segments.last_mut() {
        text.cut_trail();
    }
}
