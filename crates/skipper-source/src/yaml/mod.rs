//! YAML in and out: one reader, one writer, for every YAML file of a package and for manifests.
//!
//! The reader builds on the parser's events, not on a general loader, because three things matter here that a loader
//! into JSON values loses: the place of every key (for messages), the text of scalars, and who fills in a template's
//! values ([`Slots`]).
//!
//! Which type a plain scalar has follows YAML 1.2 (`true`, `null`, numbers; `yes`, `no` and `on` are text), with one more
//! rule: **no text is lost**. A plain scalar is a number only if writing the number gives the same text again. So `8080`
//! and `1.5` are numbers, while `1.10`, `017`, `0x1F`, `1e3` and a number of thirty digits stay the text they are. Tags
//! overrule: `!!str 8080` is text and `!!float 1.10` is a number.
//!
//! The writer quotes every string that a reader of YAML 1.1 or 1.2 could take for something else.

mod emit;
mod load;
mod node;
mod scalar;
mod slots;

pub use emit::{emit, scalar_text};
pub use load::{Input, read, read_one};
pub use node::{Content, Entry, Node};
pub use scalar::resolve_plain;
pub use slots::{SlotError, Slots};

pub(crate) use node::{depth_of, kind_of, weight_of};
pub(crate) use scalar::shorten;
pub(crate) use slots::display;
