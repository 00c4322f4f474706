//! What a change must be to be taken.

use std::collections::HashSet;

use skipper_core::{
    generation::Generation,
    route::{Listener, RouteKey, Service, ServiceId},
};

use super::Registry;
use crate::control::wire::Fault;

pub(super) fn fault(kind: &str, code: &str, message: impl Into<String>) -> Fault {
    Fault { kind: kind.to_owned(), code: code.to_owned(), message: message.into(), hint: None }
}

impl Registry {
    pub(super) fn check_thawed(&self) -> Result<(), Fault> {
        if self.frozen {
            return Err(fault("transient", "handing-over", "this edge hands over to another; ask again"));
        }
        Ok(())
    }

    pub(super) fn check_generation(&self, id: &ServiceId, generation: Generation) -> Result<(), Fault> {
        let seen = self.services.get(id).map(|entry| entry.service.generation);
        match seen.or_else(|| self.tombstones.get(id).copied()) {
            Some(seen) if generation < seen => Err(fault(
                "fenced",
                "stale-generation",
                format!("generation {generation} of {id} is older than {seen}, which the edge has seen"),
            )),
            _ => Ok(()),
        }
    }

    /// All keys with the index of their port, if nobody else has them.
    pub(super) fn check_routes(&self, service: &Service) -> Result<Vec<(RouteKey, usize)>, Fault> {
        let table = self.shared.table.load();
        let mut keys: Vec<(RouteKey, usize)> = Vec::new();
        let mut seen = HashSet::new();
        for (port, key) in
            service.routes.values().enumerate().flat_map(|(port, keys)| keys.iter().map(move |key| (port, key)))
        {
            if key.listener == Listener::Auto {
                return Err(fault("permanent", "auto-port", format!("the route {key} has no port yet")));
            }
            if !seen.insert(key) {
                return Err(fault("permanent", "route-taken", format!("{} has the route {key} twice", service.label)));
            }
            if let Some(owner) = table.owner(key).filter(|owner| owner.cell.id != service.id) {
                let label =
                    self.services.get(&owner.cell.id).map_or_else(String::new, |entry| entry.service.label.clone());
                return Err(Fault {
                    hint: Some("choose another host name, path or port, or delete the release that has it".to_owned()),
                    ..fault("permanent", "route-taken", format!("the route {key} belongs to {label}"))
                });
            }
            keys.push((key.clone(), port));
        }
        Ok(keys)
    }
}
