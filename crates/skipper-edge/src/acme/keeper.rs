use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use skipper_core::route::Listener;
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, sleep},
};

use super::{Acme, config::ChallengeKind, now, order::Authority, plan::Failure};
use crate::edge::Core;

/// Longest pause between two looks: the clock may have been set meanwhile.
const LOOK: Duration = Duration::from_secs(60);
/// Shortest, unless something happens.
const SOON: Duration = Duration::from_secs(1);
/// How long changes of the table are gathered.
const GATHER: Duration = Duration::from_millis(50);
/// How often the folder is tidied.
const TIDY: Duration = Duration::from_secs(24 * 3600);

/// What became of an order: key and chain as PEM.
type Outcome = Result<String, Failure>;

/// Looks after certificates until it is dropped, which ends what is under way.
pub(crate) async fn keep(core: Arc<Core>, acme: Arc<Acme>) {
    let mut orders: JoinSet<Outcome> = JoinSet::new();
    let mut names: HashMap<Id, String> = HashMap::new();
    // Only while something is ordered: it has the authorities that are trusted, and the account's key.
    let mut authority: Option<Arc<Authority>> = None;
    let mut tidied: Option<Instant> = None;
    loop {
        acme.want(&core.certificates.names_to_order(core.registry().tls_hosts()));
        let due = acme.ledger().due(now());
        for name in due {
            if let Some((authority, way)) = acme.begin(&core, &name, &mut authority) {
                let ordered = name.clone();
                let order = orders.spawn(async move {
                    let outcome = authority.order(&ordered, way.kind).await;
                    outcome.map_err(|failure| way.explain(failure))
                });
                names.insert(order.id(), name);
            }
        }
        if orders.is_empty() {
            authority = None;
            if tidied.is_none_or(|last| last.elapsed() > TIDY) {
                tidied = Some(Instant::now());
                acme.tidy();
            }
        }
        let next = acme.ledger().next_look().map_or(LOOK, |at| Duration::from_secs(at.saturating_sub(now())));
        tokio::select! {
            Some(done) = orders.join_next_with_id() => {
                let (id, outcome) = match done {
                    Ok((id, outcome)) => (id, outcome),
                    Err(error) => (error.id(), Err(Failure::Name(format!("the order died: {error}")))),
                };
                if let Some(name) = names.remove(&id) {
                    acme.settle(&name, outcome);
                }
            }
            () = acme.changed.notified() => {
                // Many routes may come at once.
                sleep(GATHER).await;
            }
            () = sleep(next.clamp(SOON, LOOK)) => {}
        }
    }
}

/// How a name is proven, and where.
#[derive(Debug, Clone, Copy)]
struct Way {
    kind: ChallengeKind,
    /// Of the listener.
    port: u16,
}

impl Way {
    const fn listener(kind: ChallengeKind) -> Listener {
        match kind {
            ChallengeKind::Http01 => Listener::Http,
            ChallengeKind::TlsAlpn01 => Listener::Https,
        }
    }

    /// Names what is most likely wrong where the edge is not where authorities look.
    fn explain(self, failure: Failure) -> Failure {
        let asked = match self.kind {
            ChallengeKind::Http01 => 80,
            ChallengeKind::TlsAlpn01 => 443,
        };
        match failure {
            Failure::Name(error) if self.port != asked => {
                let port = self.port;
                Failure::Name(format!(
                    "{error}; the authority asks port {asked} of the name, the edge listens on {port}"
                ))
            }
            other => other,
        }
    }
}

impl Acme {
    /// Begins an order, unless there is no need for one, or no way.
    fn begin(&self, core: &Core, name: &str, authority: &mut Option<Arc<Authority>>) -> Option<(Arc<Authority>, Way)> {
        // The edge before this one may have got it just before it let go.
        if let Some(kept) = self.vault.certificate(name).filter(|kept| kept.validity.renew_at() > now()) {
            self.serve(name, kept);
            return None;
        }
        let authority = match authority {
            Some(authority) => authority.clone(),
            none => {
                let (vault, proofs) = (self.vault.clone(), self.proofs.clone());
                match Authority::new(self.config.clone(), vault, proofs, self.provider.clone()) {
                    Ok(new) => none.insert(Arc::new(new)).clone(),
                    Err(error) => {
                        self.settle(name, Err(Failure::Authority(error.to_string())));
                        return None;
                    }
                }
            }
        };
        let way = match self.way(core, name) {
            Ok(way) => way,
            Err(why) => {
                self.settle(name, Err(Failure::Name(why)));
                return None;
            }
        };
        self.ledger().begin(name);
        self.begun.fetch_add(1, Relaxed);
        tracing::info!(name, challenge = %way.kind, "ordering a certificate");
        Some((authority, way))
    }

    /// How the name is proven: the preferred way that can be used now, after a failure the next one.
    fn way(&self, core: &Core, name: &str) -> Result<Way, String> {
        let open = core.registry().listeners().infos();
        let way = |kind: &ChallengeKind| {
            let listener = Way::listener(*kind).to_string();
            let port = open.iter().find(|open| open.listener == listener)?.address.port();
            Some(Way { kind: *kind, port })
        };
        let usable: Vec<Way> = self.config.challenges.iter().filter_map(way).collect();
        let ledger = self.ledger();
        let failures =
            ledger.entries.get(name).and_then(|entry| entry.trouble.as_ref()).map_or(0, |past| past.failures);
        let turn = usize::try_from(failures).unwrap_or(0).checked_rem(usable.len());
        turn.and_then(|turn| usable.get(turn).copied())
            .ok_or_else(|| "the listener that the challenge is asked on is not open".to_owned())
    }

    fn settle(&self, name: &str, outcome: Outcome) {
        let failure = match outcome {
            Ok(pem) => match self.vault.keep(name, &pem) {
                Ok(kept) => {
                    tracing::info!(name, "a certificate was issued");
                    let troubled = self.ledger().entries.get(name).is_some_and(|entry| entry.trouble.is_some());
                    self.serve(name, kept);
                    if troubled {
                        self.keep_troubles();
                    }
                    return;
                }
                Err(error) => {
                    Failure::Name(format!("keep the certificate in {}: {error}", self.vault.folder().display()))
                }
            },
            Err(failure) => failure,
        };
        self.failures.fetch_add(1, Relaxed);
        let (Failure::Authority(error) | Failure::Name(error) | Failure::Limited(error)) = &failure;
        let error = error.clone();
        let is_own = !matches!(failure, Failure::Authority(_));
        let next = self.ledger().fail(name, failure, now(), rand::random());
        tracing::warn!(name, error, again_in_s = next.saturating_sub(now()), "no certificate");
        if is_own {
            self.keep_troubles();
        }
    }

    /// Writes down what failed, so that an edge that is started again and again does not ask again and again.
    fn keep_troubles(&self) {
        let ledger = self.ledger();
        let troubles: BTreeMap<_, _> =
            ledger.entries.iter().filter_map(|(name, entry)| Some((name, entry.trouble.as_ref()?))).collect();
        if let Err(error) = self.vault.keep_troubles(&troubles) {
            tracing::error!(%error, "write down which orders failed");
        }
    }

    fn tidy(&self) {
        let wanted = |name: &str| self.ledger().entries.get(name).is_some_and(|entry| entry.wanted);
        if let Err(error) = self.vault.tidy(now(), wanted) {
            tracing::warn!(%error, "look through the certificates that are kept");
        }
    }
}
