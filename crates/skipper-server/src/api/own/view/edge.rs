use super::time;
use crate::{
    api::own::wire::{CaddyView, LeftHost},
    caddy::{CaddyHealth, CaddyState},
};

pub(crate) fn caddy(state: CaddyState) -> CaddyView {
    let (cause, advice) = match &state.health {
        CaddyHealth::Unknown | CaddyHealth::Ok => (None, None),
        CaddyHealth::Unreachable { cause, advice } | CaddyHealth::Refuses { cause, advice } => {
            (Some(cause.clone()), Some((*advice).to_owned()))
        }
    };
    CaddyView {
        admin: state.admin,
        health: state.health.word().to_owned(),
        since: time(state.since),
        cause,
        advice,
        hosts: state.hosts,
        left: state.left.into_iter().map(|left| LeftHost { host: left.host, why: left.why }).collect(),
        changes: state.changes,
    }
}
