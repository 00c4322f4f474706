//! Where each part of a rendered text was written.

use crate::finding::Position;

/// Tells the place in the template for a place in the rendered text.
#[derive(Debug, Default)]
pub struct SourceMap {
    /// In the order of the rendered text.
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    rendered: Position,
    written: Position,
    /// Copied as it was written, so that columns go on alike.
    copied: bool,
}

impl SourceMap {
    pub(super) fn push(&mut self, rendered: Position, written: Position, copied: bool) {
        self.segments.push(Segment { rendered, written, copied });
    }

    /// Where the text at `rendered` was written.
    #[must_use]
    pub fn written(&self, rendered: Position) -> Position {
        let after = self.segments.partition_point(|segment| segment.rendered <= rendered);
        let Some(segment) = after.checked_sub(1).and_then(|index| self.segments.get(index)) else {
            return rendered;
        };
        if segment.copied && segment.rendered.line == rendered.line {
            let column = segment.written.column + (rendered.column - segment.rendered.column);
            return Position { column, ..segment.written };
        }
        segment.written
    }
}
