use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use skipper_core::route::Host;
use tokio_rustls::TlsAcceptor;

use crate::{
    acme::{Acme, ChallengeKind, PROOF_PROTOCOL},
    config::Certificates,
    error::Error,
    proxy::same,
};

/// Certificate pairs by host name; the empty name is for everybody else.
type Keys = HashMap<String, Arc<CertifiedKey>>;

/// The certificates, read from files and read again when they change.
#[derive(Debug)]
pub(crate) struct CertificateStore {
    places: Vec<Certificates>,
    /// Those that this edge orders itself, where it does.
    acme: Option<Arc<Acme>>,
    /// What an ALPN protocol must be called for a handshake to be this machine's own probe.
    token: String,
    provider: Arc<CryptoProvider>,
    keys: ArcSwap<Keys>,
    /// What the files looked like when they were read last.
    seen: Mutex<Vec<(PathBuf, Option<SystemTime>, u64)>>,
}

/// One pair of files and the name they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    name: String,
    certificate: PathBuf,
    key: PathBuf,
}

impl CertificateStore {
    /// Reads what is there. A pair that cannot be read is logged and missing.
    pub(crate) fn new(places: Vec<Certificates>, acme: Option<Arc<Acme>>, token: String) -> Arc<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (keys, seen) = (ArcSwap::from_pointee(Keys::new()), Mutex::new(Vec::new()));
        let store = Self { places, acme, token, provider, keys, seen };
        store.reload();
        Arc::new(store)
    }

    /// TLS with these certificates, HTTP/2 preferred.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, Error> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|cause| Error::System { what: "TLS", cause: io::Error::other(cause) })?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if self.acme.as_ref().is_some_and(|acme| acme.uses(ChallengeKind::TlsAlpn01)) {
            config.alpn_protocols.push(PROOF_PROTOCOL.to_vec());
        }
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Whether TLS could be spoken for a route's host, now or once a certificate is ordered for it; `None` stands for any.
    pub(crate) fn could_have(&self, host: Option<&Host>) -> bool {
        self.has(host) || self.acme.as_ref().is_some_and(|acme| acme.orders(host))
    }

    /// Whether a handshake for that very name gets a certificate.
    pub(crate) fn serves(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The names among these hosts that a certificate is to be ordered for: whoever put one into the files means it.
    pub(crate) fn names_to_order(&self, hosts: BTreeSet<Host>) -> BTreeSet<String> {
        let Some(acme) = &self.acme else { return BTreeSet::new() };
        let keys = self.keys.load();
        let filed =
            |name: &str| keys.contains_key(name) || wildcard_of(name).is_some_and(|name| keys.contains_key(&name));
        let hosts = hosts.into_iter().filter(|host| acme.orders(Some(host)) && !filed(host.as_str()));
        hosts.map(String::from).collect()
    }

    /// The certificate of a name: from the files, then the one that was ordered, then the files' for every other name.
    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let keys = self.keys.load();
        let exact = keys.get(name).filter(|_| !name.is_empty());
        let filed = exact.or_else(|| keys.get(&wildcard_of(name)?)).cloned();
        let ordered = || self.acme.as_ref().and_then(|acme| acme.certificate(name));
        filed.or_else(ordered).or_else(|| keys.get("").cloned())
    }

    fn has(&self, host: Option<&Host>) -> bool {
        let keys = self.keys.load();
        let name = host.map_or("", |host| host.as_str());
        let wildcard = || wildcard_of(name).is_some_and(|name| keys.contains_key(&name));
        // A route for many hosts is reached by those of its names that there is a certificate for.
        let some = || match name.strip_prefix('*') {
            Some(domain) => keys.keys().any(|key| key.ends_with(domain)),
            None => host.is_none() && !keys.is_empty(),
        };
        keys.contains_key(name) || keys.contains_key("") || wildcard() || some()
    }

    /// Where to put what [`Self::has`] misses.
    pub(crate) fn advice(&self, host: Option<&Host>) -> String {
        let name = host.map_or_else(|| "default".to_owned(), |host| host.as_str().replacen("*.", "_.", 1));
        let folder = self.places.iter().find_map(|place| match place {
            Certificates::Folder(folder) => Some(folder),
            Certificates::Pair { .. } => None,
        });
        match folder {
            Some(folder) if self.acme.is_some() => format!(
                "put {name}.crt and {name}.key (PEM) into {}: only a full host name can be ordered by ACME here",
                folder.display()
            ),
            Some(folder) => format!(
                "put {name}.crt and {name}.key (PEM) into {}, or switch `edge.acme.enabled` on",
                folder.display()
            ),
            None => "give the edge a certificate for it".to_owned(),
        }
    }

    /// Reads everything again if a file has changed.
    pub(crate) fn reload_if_changed(&self) {
        let now = self.look();
        let changed = *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != now;
        if changed {
            self.reload();
        }
    }

    /// Reads everything again. A pair that cannot be read keeps its last good one.
    pub(crate) fn reload(&self) {
        // Looked at before they are read, so that a change in between is seen the next time.
        let seen = self.look();
        let before = self.keys.load();
        let mut keys = Keys::new();
        for pair in self.pairs() {
            match load(&pair, &self.provider) {
                Ok(key) => {
                    keys.insert(pair.name, key);
                }
                Err(error) => {
                    tracing::error!(error = %error.chain(), "a certificate cannot be used");
                    if let Some(last_good) = before.get(&pair.name) {
                        keys.insert(pair.name, last_good.clone());
                    }
                }
            }
        }
        if !keys.is_empty() || !before.is_empty() {
            tracing::info!(certificates = keys.len(), "certificates are loaded");
        }
        self.keys.store(Arc::new(keys));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn look(&self) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
        let files = self.pairs().into_iter().flat_map(|pair| [pair.certificate, pair.key]);
        files
            .map(|path| {
                let metadata = fs::metadata(&path).ok();
                let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
                (path, modified, metadata.map_or(0, |metadata| metadata.len()))
            })
            .collect()
    }

    fn pairs(&self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for place in &self.places {
            match place {
                Certificates::Pair { host, certificate, key } => pairs.push(Pair {
                    name: host.as_ref().map_or_else(String::new, |host| host.as_str().to_owned()),
                    certificate: certificate.clone(),
                    key: key.clone(),
                }),
                Certificates::Folder(folder) => match pairs_in(folder) {
                    Ok(found) => pairs.extend(found),
                    Err(error) => tracing::error!(%error, folder = %folder.display(), "read the certificates' folder"),
                },
            }
        }
        pairs
    }
}

fn load(pair: &Pair, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let failed = |path: &Path, cause: Box<dyn std::error::Error + Send + Sync>| Error::Certificate {
        path: path.to_owned(),
        cause,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&pair.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| failed(&pair.certificate, error.into()))?;
    let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| failed(&pair.key, error.into()))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| failed(&pair.certificate, error.into()))?;
    Ok(Arc::new(key))
}

/// The names that an edge has certificates for which reads them from this folder: hosts, `*.DOMAIN` for those right below it, and the
/// empty name where every other one has one too. Pairs that it could not use are left out. Blocking.
#[must_use]
pub fn certificate_names(folder: &Path) -> BTreeSet<String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let pairs = pairs_in(folder).unwrap_or_default();
    pairs.into_iter().filter(|pair| load(pair, &provider).is_ok()).map(|pair| pair.name).collect()
}

/// The pattern that a name falls under.
fn wildcard_of(name: &str) -> Option<String> {
    name.split_once('.').map(|(_, rest)| format!("*.{rest}"))
}

/// `<host>.crt` with `<host>.key`; `_.` in front stands for `*.`; `default` is for every other name.
fn pairs_in(folder: &Path) -> io::Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    let entries = match fs::read_dir(folder) {
        // As a rule nobody has made it: there are no certificates yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(pairs),
        entries => entries?,
    };
    for entry in entries {
        let certificate = entry?.path();
        let is_certificate = certificate.extension().is_some_and(|extension| extension == "crt");
        let Some(stem) = certificate.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_certificate) else {
            continue;
        };
        let name = match stem.strip_prefix("_.") {
            _ if stem == "default" => Ok(String::new()),
            Some(rest) => Host::new(&format!("*.{rest}")).map(String::from),
            None => Host::new(stem).map(String::from),
        };
        match name {
            Ok(name) => pairs.push(Pair { name, key: certificate.with_extension("key"), certificate }),
            Err(error) => tracing::error!(%error, file = %certificate.display(), "a certificate's name is no host"),
        }
    }
    pairs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pairs)
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase).unwrap_or_default();
        let Some(acme) = &self.acme else { return self.find(&name) };
        let protocols = || hello.alpn().into_iter().flatten();
        // The authority offers nothing else (RFC 8737, 3), and nobody else gets that certificate.
        if protocols().all(|protocol| protocol == PROOF_PROTOCOL) && protocols().next().is_some() {
            return acme.proof(&name);
        }
        self.find(&name).or_else(|| {
            // A rollout proves that its deployment answers; it does not wait for the authority.
            let is_probe = protocols().any(|protocol| same(protocol, self.token.as_bytes()));
            is_probe.then(|| acme.stand_in()).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_nobody_has_made_yet_holds_no_certificates_and_is_no_error() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(pairs_in(&folder.path().join("tls")).expect("no error").is_empty());
    }
}
