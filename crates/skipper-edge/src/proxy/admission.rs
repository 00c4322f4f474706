use std::{net::SocketAddr, pin::pin};

use tokio::time::{Instant, timeout_at};

use super::{Reply, Shared};
use crate::{
    stats::count,
    table::{Admission, Ticket, Wanted, admit},
};
use skipper_core::route::Listener;

/// A request that asks to be let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) listener: Listener,
    /// Normalised, without port. `None` where an HTTP/1.0 client named none.
    pub(crate) host: Option<&'a str>,
    /// Without query.
    pub(crate) path: &'a str,
    pub(crate) arrived: Instant,
    pub(crate) probe: bool,
}

/// Finds where a request goes, waiting while its service is held. The ticket counts it in there.
///
/// # Cancel safety
///
/// Safe to drop: the request then is neither waiting nor in flight.
pub(crate) async fn enter(shared: &Shared, entry: Entry<'_>, avoid: &[SocketAddr]) -> Result<Ticket, Reply> {
    let wanted = Wanted {
        listener: entry.listener,
        host: entry.host,
        path: entry.path,
        arrived: entry.arrived,
        probe: entry.probe,
        avoid,
    };
    let mut place = None;
    loop {
        match admit(&shared.table, wanted) {
            Admission::Go(ticket) => return Ok(ticket),
            Admission::Unrouted => {
                count(&shared.counters.unrouted);
                return Err(Reply::not_found());
            }
            Admission::NoBackend => {
                count(&shared.counters.no_backend);
                return Err(Reply::no_backend());
            }
            Admission::Maintenance(message) => {
                count(&shared.counters.maintenance);
                return Err(Reply::maintenance(&message));
            }
            Admission::Wait(cell, bound) => {
                if place.is_none() {
                    count(&shared.counters.held);
                    place = shared.wait();
                }
                let mut changed = pin!(cell.changed());
                changed.as_mut().enable();
                if !cell.is_held() {
                    continue;
                }
                let until = entry.arrived + bound;
                if place.is_none() || timeout_at(until, changed).await.is_err() {
                    count(&shared.counters.held_expired);
                    return Err(Reply::held_too_long());
                }
            }
        }
    }
}
