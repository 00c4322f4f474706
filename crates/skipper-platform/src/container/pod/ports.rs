//! Ports of the host for pods: free ones, of which none is given out twice within a short time.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::super::config::ContainerConfig;

/// The engine has taken a port by then, or never will.
const HELD: Duration = Duration::from_secs(60);
/// Above those that Linux gives to outgoing connections; processes of ours and the edge have theirs below.
const RANGE: RangeInclusive<u16> = 61_000..=65_535;
const TRIES: u32 = 200;

static GIVEN: Mutex<Option<HashMap<u16, Instant>>> = Mutex::new(None);

/// The address of the engine's host that ports are published at.
pub(super) fn address(config: &ContainerConfig) -> IpAddr {
    config.settings.publish.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// A port that seems free. Somebody may be faster: then the engine says so, and another one is chosen. `None` when there
/// seems to be none.
pub(super) fn free(config: &ContainerConfig) -> Option<u16> {
    let address = address(config);
    let now = Instant::now();
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    given.retain(|_, at| now.duration_since(*at) < HELD);
    let bound = |port: u16| TcpListener::bind((address, port)).ok()?.local_addr().ok().map(|bound| bound.port());
    for attempt in 0..TRIES {
        let wanted = rand::random_range(RANGE);
        let found = match (config.is_here(), attempt < TRIES / 2) {
            // Only the engine can tell.
            (false, _) => Some(wanted),
            (true, true) => bound(wanted),
            // Crowded: whatever the kernel has.
            (true, false) => bound(0),
        };
        if let Some(port) = found.filter(|port| !given.contains_key(port)) {
            given.insert(port, now);
            return Some(port);
        }
    }
    None
}
