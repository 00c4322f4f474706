//! Certificates from an authority by ACME (RFC 8555): ordered, proven, kept and renewed by the edge itself, so that they go on
//! while no server runs.
//!
//! Only names that routes have on the TLS listener are ordered, and only served while they have; what a stranger asks for never
//! begins anything. `plan` decides, `keeper` does, `order` talks to the authority, `vault` is the disk, `proof` is what the
//! authority is shown. Between two orders there is a timer and the certificates, and nothing else.

mod config;
mod http;
mod keeper;
mod order;
mod plan;
mod proof;
mod vault;
mod x509;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use skipper_core::route::Host;
use tokio::sync::Notify;

pub use self::config::{AcmeConfig, ChallengeKind, ExternalAccount};
pub(crate) use self::keeper::keep;
use self::{
    plan::{Entry, Ledger},
    proof::Proofs,
    vault::{Kept, Vault},
};
use crate::{
    control::{
        handover::unpoisoned,
        wire::{AcmeInfo, CertificateInfo},
    },
    stats::Page,
};

/// The protocol of a handshake that asks for a proof (RFC 8737, 4).
pub(crate) const PROOF_PROTOCOL: &[u8] = b"acme-tls/1";
/// Names that are told in one answer, those in trouble first.
const TOLD: usize = 100;

/// What an edge has of ACME. None is made where it is not configured.
#[derive(Debug)]
pub(crate) struct Acme {
    config: AcmeConfig,
    provider: Arc<CryptoProvider>,
    vault: Arc<Vault>,
    proofs: Arc<Proofs>,
    ledger: Mutex<Ledger>,
    /// Certificates of wanted names.
    serving: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    /// Answers a probe of this machine while there is no certificate yet.
    stand_in: OnceLock<Option<Arc<CertifiedKey>>>,
    changed: Notify,
    begun: AtomicU64,
    failures: AtomicU64,
}

impl Acme {
    /// Opens the folder. Nothing is ordered before [`keep`].
    pub(crate) fn open(config: AcmeConfig, folder: PathBuf) -> io::Result<Arc<Self>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let vault = Arc::new(Vault::open(folder, provider.clone())?);
        let mut ledger = Ledger::default();
        for (name, trouble) in vault.troubles() {
            ledger.entries.insert(name, Entry { trouble: Some(trouble), ..Entry::default() });
        }
        Ok(Arc::new(Self {
            config,
            provider,
            vault,
            proofs: Arc::default(),
            ledger: Mutex::new(ledger),
            serving: ArcSwap::default(),
            stand_in: OnceLock::new(),
            changed: Notify::new(),
            begun: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        unpoisoned(self.ledger.lock())
    }

    /// Says that the table changed.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Everything that failed may be tried again at once.
    pub(crate) fn retry(&self) {
        self.ledger().retry();
        self.wake();
    }

    pub(crate) fn uses(&self, kind: ChallengeKind) -> bool {
        self.config.challenges.contains(&kind)
    }

    /// Whether a certificate would be ordered for a route with that host.
    pub(crate) fn orders(&self, host: Option<&Host>) -> bool {
        host.is_some_and(Host::is_certifiable)
    }

    /// The certificate of a name that a route has.
    pub(crate) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.serving.load().get(name).cloned()
    }

    /// The certificate that proves to the authority that the name is ours, while it is asked for.
    pub(crate) fn proof(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.proofs.certificate(name)
    }

    /// The answer to a request of the authority for that path, if the token is known.
    pub(crate) fn token_at(&self, path: &str) -> Option<String> {
        self.proofs.token_at(path)
    }

    /// A certificate that proves nothing.
    pub(crate) fn stand_in(&self) -> Option<Arc<CertifiedKey>> {
        let make = || {
            let params = rcgen::CertificateParams::new(["skipper-verify.invalid".to_owned()]).ok()?;
            order::self_signed(&params, &self.provider).ok().map(Arc::new)
        };
        self.stand_in.get_or_init(make).clone()
    }

    /// Makes these the names that are looked after and served. Those that a route has anew get the certificate that was kept.
    pub(crate) fn want(&self, wanted: &BTreeSet<String>) {
        let new = self.ledger().want(wanted, now());
        let kept: Vec<(String, Kept)> =
            new.into_iter().filter_map(|name| self.vault.certificate(&name).map(|kept| (name, kept))).collect();
        let mut ledger = self.ledger();
        for (name, kept) in &kept {
            if let Some(entry) = ledger.entries.get_mut(name) {
                entry.validity = Some(kept.validity);
            }
        }
        drop(ledger);
        let before = self.serving.load();
        if kept.is_empty() && before.keys().all(|name| wanted.contains(name)) {
            return;
        }
        let mut serving: HashMap<_, _> = before
            .iter()
            .filter(|(name, _)| wanted.contains(*name))
            .map(|(name, key)| (name.clone(), key.clone()))
            .collect();
        serving.extend(kept.into_iter().map(|(name, kept)| (name, kept.key)));
        self.serving.store(Arc::new(serving));
    }

    /// Serves a new certificate. Connections that are open go on with the one they began with.
    fn serve(&self, name: &str, kept: Kept) {
        self.ledger().succeed(name, kept.validity);
        let mut serving = HashMap::clone(&self.serving.load());
        serving.insert(name.to_owned(), kept.key);
        self.serving.store(Arc::new(serving));
    }

    /// What there is to tell.
    pub(crate) fn info(&self) -> AcmeInfo {
        let ledger = self.ledger();
        let authority = ledger.authority.as_ref();
        let mut info = AcmeInfo {
            directory: self.config.directory.clone(),
            problem: authority.map(|trouble| trouble.error.clone()),
            next_try: authority.map(|trouble| trouble.next_try),
            ..AcmeInfo::default()
        };
        let mut names: Vec<CertificateInfo> = Vec::new();
        for (name, entry) in ledger.entries.iter().filter(|(_, entry)| entry.wanted) {
            let (state, count) = match (&entry.trouble, entry.validity) {
                (Some(_), _) => ("failing", &mut info.failing),
                (None, Some(validity)) if validity.renew_at() > now() => ("valid", &mut info.valid),
                // It should have been renewed, and the authority does not answer.
                (None, Some(_)) if authority.is_some() => ("failing", &mut info.failing),
                (None, Some(_)) => ("renewing", &mut info.valid),
                (None, None) if authority.is_some() => ("failing", &mut info.failing),
                (None, None) => ("pending", &mut info.pending),
            };
            *count += 1;
            let trouble = entry.trouble.as_ref();
            names.push(CertificateInfo {
                host: name.clone(),
                state: state.to_owned(),
                expires: entry.validity.map(|validity| validity.until),
                error: trouble.map(|trouble| trouble.error.clone()),
                failures: trouble.map_or(0, |trouble| trouble.failures),
                next_try: trouble.map(|trouble| trouble.next_try),
            });
        }
        names.sort_by_key(|name| (name.state == "valid", name.expires));
        names.truncate(TOLD);
        info.certificates = names;
        info
    }

    /// Writes the figures.
    pub(crate) fn metrics(&self, page: &mut Page) {
        page.number("acme_orders_total", "Orders of certificates that were begun.", self.begun.load(Relaxed));
        page.number("acme_failures_total", "Orders of certificates that failed.", self.failures.load(Relaxed));
        let info = self.info();
        page.number("acme_failing", "Names whose certificate cannot be had or renewed now.", info.failing);
        page.number("acme_pending", "Names whose certificate is awaited.", info.pending);
        let ledger = self.ledger();
        let ends = ledger.entries.iter().filter(|(_, entry)| entry.wanted);
        page.certificates(ends.filter_map(|(name, entry)| Some((name.as_str(), entry.validity?.until))));
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "what is decided by the time is decided in `plan`, which is given it")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{plan::Trouble, *};

    #[test]
    fn a_certificate_whose_renewal_fails_is_served_again_after_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let open =
            || Acme::open(AcmeConfig::new("https://ca.example/dir"), folder.path().join("acme")).expect("opened");
        let pair = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a pair");
        let acme = open();
        acme.vault
            .keep("a.example", &format!("{}{}", pair.signing_key.serialize_pem(), pair.cert.pem()))
            .expect("kept");
        let trouble = Trouble { failures: 3, error: "no".to_owned(), next_try: u64::MAX };
        acme.vault.keep_troubles(&[(&"a.example".to_owned(), &trouble)].into()).expect("kept");
        let again = open();
        assert!(again.certificate("a.example").is_none(), "no route has it");
        again.want(&["a.example".to_owned()].into());
        assert!(again.certificate("a.example").is_some());
        assert_eq!((again.info().failing, again.info().certificates[0].failures), (1, 3));
        again.want(&BTreeSet::new());
        assert!(again.certificate("a.example").is_none() && again.info().certificates.is_empty());
    }
}
