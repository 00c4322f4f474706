//! The `Date` of an answer that has none (RFC 9110, 6.6.1), formatted once a second for each thread.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

thread_local! {
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Calls `write` with the time as `Sun, 06 Nov 1994 08:49:37 GMT`.
#[expect(
    clippy::disallowed_methods,
    reason = "each answer needs the time, and a thread-local cannot be passed a clock"
)]
pub(crate) fn with(write: impl FnOnce(&str)) {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(of, text)| {
        if *of != seconds {
            *text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            *of = seconds;
        }
        write(text);
    });
}
