use super::chunked::Chunked;
use crate::net::Buffer;

/// How a request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    None,
    Known(u64),
    Chunked,
}

impl Length {
    /// Whether bytes follow the head.
    pub(crate) const fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Known(0))
    }
}

/// Takes a body out of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoder {
    Known(u64),
    Chunked(Chunked),
    UntilClose,
    Ended,
}

/// What a decoder finds in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes of the body are next. Above 0.
    Data(usize),
    /// Read on.
    More,
    /// The body is over.
    End,
    /// It is malformed.
    Bad,
}

impl From<Length> for Decoder {
    fn from(length: Length) -> Self {
        match length {
            Length::None | Length::Known(0) => Self::Ended,
            Length::Known(length) => Self::Known(length),
            Length::Chunked => Self::Chunked(Chunked::Size),
        }
    }
}

impl Decoder {
    /// Consumes framing, and says what is next.
    pub(crate) fn step(&mut self, buffer: &mut Buffer) -> Step {
        let available = match self {
            Self::Known(0) | Self::Ended | Self::Chunked(Chunked::Done) => return Step::End,
            Self::Known(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len()),
            Self::UntilClose => buffer.len(),
            Self::Chunked(state) => match state.advance(buffer) {
                Err(_) => return Step::Bad,
                Ok(0) if *state == Chunked::Done => return Step::End,
                Ok(count) => count,
            },
        };
        if available == 0 { Step::More } else { Step::Data(available) }
    }

    /// So many bytes of data were consumed.
    pub(crate) fn used(&mut self, count: usize) {
        match self {
            Self::Known(left) => *left = left.saturating_sub(count as u64),
            Self::Chunked(state) => state.used(count),
            Self::UntilClose | Self::Ended => {}
        }
    }

    /// The source ended. Whether that is an end of the body too.
    pub(crate) fn source_ended(&mut self) -> bool {
        let good = matches!(self, Self::UntilClose | Self::Ended | Self::Known(0) | Self::Chunked(Chunked::Done));
        if good {
            *self = Self::Ended;
        }
        good
    }

    /// Whether the body is over, as far as was decoded.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self, Self::Known(0) | Self::Ended | Self::Chunked(Chunked::Done))
    }
}
