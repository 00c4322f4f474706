//! Ports for processes: from a range of our own, never one that is in use or given to another.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use skipper_core::port::{Error, ErrorKind};

/// The range used unless configured. Below Linux' own ephemeral range (32768–60999), so that no outgoing connection
/// takes a port between its choice and the process listening on it.
pub const DEFAULT_RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// Gives ports out. Share one between all accounts of a host.
#[derive(Debug)]
pub struct PortPool {
    ports: Vec<u16>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The next one to try. Going round, rather than taking the lowest, leaves the longest time before a port is used
    /// again: an address that somebody still holds then leads nowhere rather than to a stranger.
    next: u16,
    taken: BTreeMap<u16, String>,
}

impl PortPool {
    /// A pool over `range`, without what the kernel gives to outgoing connections.
    #[must_use]
    pub fn new(range: RangeInclusive<u16>) -> Self {
        let ephemeral = ephemeral_range();
        let ports: Vec<u16> = range.filter(|port| *port != 0 && !ephemeral.contains(port)).collect();
        // A random start keeps two servers on one host from trying the same ports.
        let next = if ports.is_empty() { 0 } else { ports[rand::random_range(0..ports.len())] };
        Self { ports, state: Arc::new(Mutex::new(State { next, taken: BTreeMap::new() })) }
    }

    /// The same pool for those who may only be given ports of `range`: where it has none of them, it may be of those that
    /// are otherwise left alone, since somebody insists.
    #[must_use]
    pub fn within(&self, range: &RangeInclusive<u16>) -> Self {
        let mut ports: Vec<u16> = self.ports.iter().copied().filter(|port| range.contains(port)).collect();
        if ports.is_empty() {
            ports = range.clone().filter(|port| *port != 0).collect();
        }
        Self { ports, state: Arc::clone(&self.state) }
    }

    /// Takes a free port for `owner`: `before` if it can still be had, so that addresses stay.
    ///
    /// # Errors
    ///
    /// `ports-exhausted`.
    pub fn take(&self, owner: &str, before: Option<u16>) -> Result<u16, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = before
            && self.ports.contains(&port)
            && state.taken.get(&port).is_none_or(|holder| holder == owner)
            && is_free(port, Strictness::Strict)
        {
            state.taken.insert(port, owner.to_owned());
            return Ok(port);
        }
        let from = self.ports.partition_point(|port| *port < state.next);
        let round = self.ports[from..].iter().chain(&self.ports[..from]).copied();
        for port in round {
            state.next = port.wrapping_add(1);
            if !state.taken.contains_key(&port) && is_free(port, Strictness::Strict) {
                state.taken.insert(port, owner.to_owned());
                return Ok(port);
            }
        }
        let range = match (self.ports.first(), self.ports.last()) {
            (Some(first), Some(last)) => format!("of {first}-{last} no port"),
            _ => "no port".to_owned(),
        };
        let what = format!(
            "{range} is left to give to a process: `port_range` (Spring's `portRange`) of the account must have room for the \
             old and the new version side by side"
        );
        Err(Error::new(ErrorKind::Transient, "ports-exhausted", what)
            .hint("widen the port range of the local platform, outside net.ipv4.ip_local_port_range"))
    }

    /// Takes a port again for the owner that had it, also while its last connections are still being forgotten by the
    /// kernel: servers that set `SO_REUSEADDR`, as nearly all do, can listen on it.
    pub fn take_again(&self, owner: &str, port: u16) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = self.ports.contains(&port) && state.taken.get(&port).is_none_or(|holder| holder == owner);
        let free = ours && is_free(port, Strictness::Listening);
        if free {
            state.taken.insert(port, owner.to_owned());
        }
        free
    }

    /// Notes ports that `owner` was given in an earlier life of the server.
    pub fn note(&self, owner: &str, ports: impl IntoIterator<Item = u16>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for port in ports {
            state.taken.insert(port, owner.to_owned());
        }
    }

    /// Takes back all that `owner` was given.
    pub fn release(&self, owner: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).taken.retain(|_, holder| holder != owner);
    }

    /// The lowest and highest port it gives out, for people.
    #[must_use]
    pub fn bounds(&self) -> Option<(u16, u16)> {
        Some((*self.ports.first()?, *self.ports.last()?))
    }
}

fn ephemeral_range() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) => low..=high,
        _ => 32_768..=60_999,
    }
}

/// How a port is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// As a program that does not set `SO_REUSEADDR`: connections that have just ended count as use.
    Strict,
    /// As a server that does: only somebody who listens counts.
    Listening,
}

/// Whether a process could listen on the port, on any address. Binds without listening, so that nobody can connect.
pub(crate) fn is_free(port: u16, strictness: Strictness) -> bool {
    let try_bind = |family, address: SocketAddr| -> rustix::io::Result<()> {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, strictness == Strictness::Listening)?;
        if family == AddressFamily::INET6 {
            // Both families at once, as a dual-stack server would.
            sockopt::set_ipv6_v6only(&socket, false)?;
        }
        bind(&socket, &address)
    };
    match try_bind(AddressFamily::INET6, (Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL) => {
            try_bind(AddressFamily::INET, (Ipv4Addr::UNSPECIFIED, port).into()).is_ok()
        }
        outcome => outcome.is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The first of `count` ports in a row that nobody uses; tests that run side by side look at different places.
    fn free_row(from: u16, count: u16) -> u16 {
        let free = |first: &u16| (*first..*first + count).all(|port| is_free(port, Strictness::Strict));
        (from..from + 2000).step_by(usize::from(count)).find(free).expect("a row of free ports")
    }

    #[test]
    fn a_port_is_not_given_out_twice_until_it_is_taken_back() {
        let first = free_row(24_000, 4);
        let pool = PortPool::new(first..=first + 3);
        let mut all: Vec<u16> = (0..4).map(|_| pool.take("a", None).expect("four are there")).collect();
        all.sort_unstable();
        assert_eq!(all, [first, first + 1, first + 2, first + 3]);
        assert_eq!(pool.take("b", None).expect_err("none is left").code(), "ports-exhausted");
        pool.release("a");
        assert!(pool.take("b", Some(first + 2)).is_ok_and(|port| port == first + 2));
    }

    #[test]
    fn a_port_somebody_listens_on_is_passed_over() {
        let first = free_row(27_000, 2);
        let held = TcpListener::bind(("127.0.0.1", first)).expect("the port is free on this machine");
        let pool = PortPool::new(first..=first + 1);
        assert_eq!(pool.take("a", Some(first)).expect("the other is free"), first + 1);
        assert!(!is_free(first, Strictness::Listening));
        drop(held);
        assert!(is_free(first, Strictness::Listening));
    }

    #[test]
    fn a_narrower_range_shares_what_is_taken() {
        let first = free_row(25_900, 4);
        let pool = PortPool::new(first..=first + 3);
        let narrow = pool.within(&(first + 1..=first + 1));
        assert_eq!(narrow.take("a", None).expect("it is free"), first + 1);
        let rest: Vec<u16> = (0..3).map(|_| pool.take("b", None).expect("three are left")).collect();
        assert!(!rest.contains(&(first + 1)), "{rest:?}");
        let none = narrow.take("c", None).expect_err("none is left");
        assert_eq!(none.code(), "ports-exhausted");
        assert!(none.to_string().contains(&format!("of {0}-{0} no port", first + 1)), "{none}");
        assert_eq!(pool.within(&(1..=2)).bounds(), Some((1, 2)), "somebody insists");
    }

    #[test]
    fn ephemeral_ports_are_not_used() {
        let low = *ephemeral_range().start();
        assert_eq!(PortPool::new(low..=low).bounds(), None);
    }
}
