//! YAML 1.1 in and out, as the libraries of the field read and write it.
//!
//! Skipper's own reader ([`crate::yaml`]) keeps the text of scalars; what was written for Spring is read by the rules that it was
//! written for: `010` is eight, `yes` is a truth value, `2017-10-30` a date, and of two equal keys the last one wins. The
//! bounds are the same as there, and no tag makes anything but a plain value.

mod analyze;
mod emit;
mod load;
mod resolve;

pub use emit::{Layout, dump, dump_all};
pub use load::{Typing, load, load_all};

pub(super) use load::METADATA_TAG;
pub(super) use resolve::plain as resolve_plain;

/// Which generation's library is meant, where the two disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// That of 1.0.
    One,
    /// That of 2.x.
    Two,
}
