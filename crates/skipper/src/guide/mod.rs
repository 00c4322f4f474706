//! What Spring's shell shows: the tables of Spring Cloud Skipper's guide, from what its clients ask.
//!
//! The answers are those of `/api`, so that states, descriptions and deployment ids are the ones that Spring's people know,
//! worked out in one place. Only what the tables show is read of them.

mod packages;
mod places;
mod releases;
mod table;
mod wire;

pub(crate) use packages::search;
pub(crate) use places::{about, platforms, repositories};
pub(crate) use releases::{history, history_of_second, list, manifest, status};

use crate::{cmd::Context, failure::Done};
use table::Table;

/// Prints tables, an empty line between them.
fn print(context: &Context, tables: &[Table]) -> Done {
    let width = context.out.interactive.then(crate::render::terminal_width);
    let texts: Vec<String> = tables.iter().map(|table| table.render(width)).collect();
    context.out.text(&texts.join("\n"))
}
