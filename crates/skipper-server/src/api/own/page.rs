//! Pages: how many, and from where.

use crate::error::{Code, Error};

/// What a page holds where nobody says.
const USUAL: u32 = 50;
/// Most that a page holds: the store gives no more.
const MOST: u32 = 500;

/// The number of items of a page.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Error> {
    match asked {
        None => Ok(USUAL),
        Some(0) => Err(Error::new(Code::Invalid, format!("`limit` = 0: a page has 1 to {MOST} items"))),
        Some(more) => Ok(more.min(MOST)),
    }
}

/// A cursor of ours, as a number.
pub(super) fn cursor<T: std::str::FromStr>(after: Option<&String>) -> Result<Option<T>, Error> {
    after
        .map(|text| {
            text.parse().map_err(|_| {
                Error::new(Code::Invalid, "`after` is not a cursor of an earlier page")
                    .hint("give the `next` of the page before, or nothing")
            })
        })
        .transpose()
}

/// Splits what was read with one item more than the page holds.
pub(super) fn split<T>(mut items: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    (items, more)
}
