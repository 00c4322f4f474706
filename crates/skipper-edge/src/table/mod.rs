//! The routing table: from (listener, host, path) to a service. Immutable; a change makes a new one that shares almost
//! everything with the old.

mod map;
mod service;
mod target;

use std::sync::Arc;

use skipper_core::route::{Host, Listener, RouteKey};

use self::map::{Hash, Map};
pub(crate) use self::{
    service::{Admission, Cell, Choice, Choices, Mode, Serving, State, Wanted, admit},
    target::{Deployment, Target, Ticket},
};

/// Every route of this edge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    routes: Map<Route>,
    /// Which path depths have routes, by (listener, host), so that a lookup tries only those.
    hosts: Map<Depths>,
}

/// One route: its key, the service it leads to, and the index of the application's port in the service's state.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    key: Arc<RouteKey>,
    pub(crate) cell: Arc<Cell>,
    pub(crate) port: usize,
}

#[derive(Debug, Clone)]
struct Depths {
    listener: Listener,
    host: Option<Host>,
    /// (depth of a prefix, how many routes have it), the deepest first. `/` has depth 0, `/a/b` has 2.
    depths: Arc<[(usize, u32)]>,
}

/// The host of a request, as it is looked up.
#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Exact(&'a str),
    /// What follows the first label, with its dot.
    Wild(&'a str),
    Any,
}

impl Name<'_> {
    fn is(self, host: Option<&Host>) -> bool {
        match (self, host) {
            (Name::Any, None) => true,
            (Name::Exact(name), Some(host)) => host.as_str() == name,
            (Name::Wild(rest), Some(host)) => host.as_str().strip_prefix('*') == Some(rest),
            _ => false,
        }
    }

    fn hash(self, listener: Listener) -> Hash {
        let number = match listener {
            Listener::Port(port) => u32::from(port),
            Listener::Http => 0x1_0000,
            Listener::Https => 0x2_0000,
            Listener::Auto => 0x3_0000,
        };
        let hash = Hash::new().number(number);
        match self {
            // 0xff is in no host name, so that no host and path together look like another pair.
            Name::Any => hash.bytes(b"\xff"),
            Name::Exact(name) => hash.bytes(name.as_bytes()).bytes(b"\xff"),
            Name::Wild(rest) => hash.bytes(b"*").bytes(rest.as_bytes()).bytes(b"\xff"),
        }
    }
}

fn name_of(key: &RouteKey) -> Name<'_> {
    key.host.as_ref().map_or(Name::Any, |host| Name::Exact(host.as_str()))
}

fn hash_of(key: &RouteKey) -> u64 {
    name_of(key).hash(key.listener).bytes(key.path.as_str().as_bytes()).finish()
}

fn depth_of(prefix: &str) -> usize {
    if prefix == "/" { 0 } else { prefix.bytes().filter(|byte| *byte == b'/').count() }
}

/// The first `depth` segments of a path, if it has as many.
fn prefix_at(path: &str, depth: usize) -> Option<&str> {
    if depth == 0 {
        return Some("/");
    }
    let mut slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
    slashes.nth(depth - 1)?;
    Some(slashes.next().map_or(path, |end| &path[..end]))
}

impl Table {
    /// The route with the most specific host (exact, then wildcard, then any) and then the longest prefix.
    ///
    /// `host` is normalised and without port; `path` starts with `/` and has no query.
    pub(crate) fn find(&self, listener: Listener, host: Option<&str>, path: &str) -> Option<&Route> {
        if let Some(host) = host {
            if let Some(found) = self.find_by_name(listener, Name::Exact(host), path) {
                return Some(found);
            }
            if let Some(dot) = host.find('.').filter(|dot| *dot > 0)
                && let Some(found) = self.find_by_name(listener, Name::Wild(&host[dot..]), path)
            {
                return Some(found);
            }
        }
        self.find_by_name(listener, Name::Any, path)
    }

    fn find_by_name(&self, listener: Listener, name: Name<'_>, path: &str) -> Option<&Route> {
        let hash = name.hash(listener);
        let depths =
            self.hosts.get(hash.finish(), |entry| entry.listener == listener && name.is(entry.host.as_ref()))?;
        depths.depths.iter().find_map(|(depth, _)| {
            let prefix = prefix_at(path, *depth)?;
            self.routes.get(hash.bytes(prefix.as_bytes()).finish(), |route| {
                route.key.listener == listener && route.key.path.as_str() == prefix && name.is(route.key.host.as_ref())
            })
        })
    }

    /// Who has exactly this key.
    pub(crate) fn owner(&self, key: &RouteKey) -> Option<&Route> {
        self.routes.get(hash_of(key), |route| *route.key == *key)
    }

    pub(crate) const fn len(&self) -> usize {
        self.routes.len()
    }

    pub(crate) fn insert(&mut self, key: &RouteKey, cell: Arc<Cell>, port: usize) {
        let before = self.routes.len();
        self.routes.insert(hash_of(key), Route { key: Arc::new(key.clone()), cell, port }, |route| *route.key == *key);
        if self.routes.len() > before {
            self.count(key, 1);
        }
    }

    pub(crate) fn remove(&mut self, key: &RouteKey) {
        if self.routes.remove(hash_of(key), |route| *route.key == *key) {
            self.count(key, -1);
        }
    }

    fn count(&mut self, key: &RouteKey, by: i32) {
        let hash = name_of(key).hash(key.listener).finish();
        let same = |entry: &Depths| entry.listener == key.listener && entry.host == key.host;
        let mut depths: Vec<(usize, u32)> =
            self.hosts.get(hash, same).map_or_else(Vec::new, |entry| entry.depths.to_vec());
        let depth = depth_of(key.path.as_str());
        match depths.iter_mut().find(|(at, _)| *at == depth) {
            Some((_, count)) => *count = count.saturating_add_signed(by),
            None => depths.push((depth, 1)),
        }
        depths.retain(|(_, count)| *count > 0);
        depths.sort_unstable_by_key(|(depth, _)| std::cmp::Reverse(*depth));
        if depths.is_empty() {
            self.hosts.remove(hash, same);
        } else {
            let entry = Depths { listener: key.listener, host: key.host.clone(), depths: depths.into() };
            self.hosts.insert(hash, entry, same);
        }
    }
}

#[cfg(test)]
mod tests;
