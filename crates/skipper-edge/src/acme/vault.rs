//! What is kept on disk: the account's key, certificates with their keys, and what went wrong. All of it is readable by this user
//! alone, and written aside, synced and renamed, so that a crash leaves the old or the new.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use instant_acme::AccountCredentials;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use skipper_core::Sha256;

use super::{
    plan::{Trouble, Validity},
    x509,
};

const TROUBLES: &str = "troubles.json";
/// Nothing of ours is larger; a chain takes some 5 KiB.
const FILE_MAX: u64 = 1024 * 1024;

/// The folder.
#[derive(Debug)]
pub(super) struct Vault {
    folder: PathBuf,
    provider: Arc<CryptoProvider>,
}

/// A certificate with its key, ready to be served.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) validity: Validity,
}

impl Vault {
    /// Makes the folder, and removes what a crash left half written.
    pub(super) fn open(folder: PathBuf, provider: Arc<CryptoProvider>) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "new") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder, provider })
    }

    /// The certificate of a name; `None` where there is none that could be used.
    pub(super) fn certificate(&self, name: &str) -> Option<Kept> {
        match self.read(&pem_of(name)).and_then(|pem| pem.map(|pem| self.understand(&pem)).transpose()) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(%error, name, "a certificate that was kept cannot be used; another one is ordered");
                None
            }
        }
    }

    /// Keeps a certificate with its key, both PEM in one text.
    pub(super) fn keep(&self, name: &str, pem: &str) -> io::Result<Kept> {
        let kept = self.understand(pem.as_bytes())?;
        self.write(&pem_of(name), pem.as_bytes())?;
        Ok(kept)
    }

    fn understand(&self, pem: &[u8]) -> io::Result<Kept> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(io::Error::other)?;
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(io::Error::other)?;
        let validity = chain.first().and_then(x509::validity);
        let validity = validity.ok_or_else(|| io::Error::other("it does not say how long it is valid"))?;
        // Refused where certificate and key do not belong together.
        let key = CertifiedKey::from_der(chain, key, &self.provider).map_err(io::Error::other)?;
        Ok(Kept { key: Arc::new(key), validity })
    }

    /// Removes certificates that have ended and that nobody wants.
    pub(super) fn tidy(&self, now: u64, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_pem = path.extension().is_some_and(|extension| extension == "pem");
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).filter(|name| is_pem && !wanted(name))
            else {
                continue;
            };
            if self.certificate(name).is_none_or(|kept| kept.validity.until <= now) {
                fs::remove_file(&path)?;
                tracing::info!(name, "removed the certificate of a name that has no route, which had ended");
            }
        }
        Ok(())
    }

    /// The account at that directory.
    pub(super) fn account(&self, directory: &str) -> io::Result<Option<AccountCredentials>> {
        let bytes = self.read(&account_of(directory))?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other)).transpose()
    }

    pub(super) fn keep_account(&self, directory: &str, account: &AccountCredentials) -> io::Result<()> {
        self.write(&account_of(directory), &serde_json::to_vec(account).map_err(io::Error::other)?)
    }

    /// Forgets an account that the authority does not know any more.
    pub(super) fn forget_account(&self, directory: &str) -> io::Result<()> {
        let path = self.folder.join(account_of(directory));
        fs::rename(&path, path.with_extension("json.unknown"))
    }

    /// What went wrong before this edge started.
    pub(super) fn troubles(&self) -> BTreeMap<String, Trouble> {
        let read = self.read(TROUBLES).and_then(|bytes| {
            bytes.map_or_else(|| Ok(BTreeMap::new()), |bytes| serde_json::from_slice(&bytes).map_err(io::Error::other))
        });
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known which orders failed before");
            BTreeMap::new()
        })
    }

    pub(super) fn keep_troubles(&self, troubles: &BTreeMap<&String, &Trouble>) -> io::Result<()> {
        self.write(TROUBLES, &serde_json::to_vec(troubles).map_err(io::Error::other)?)
    }

    fn read(&self, file: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.folder.join(file);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(metadata) if metadata.len() > FILE_MAX => {
                return Err(io::Error::other(format!("{} is larger than anything kept here", path.display())));
            }
            Ok(_) => {}
        }
        fs::read(&path).map(Some)
    }

    fn write(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let (target, aside) = (self.folder.join(file), self.folder.join(format!("{file}.new")));
        let mut new = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
        new.write_all(bytes)?;
        new.sync_all()?;
        fs::rename(&aside, &target)?;
        File::open(&self.folder)?.sync_all()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn pem_of(name: &str) -> String {
    format!("{name}.pem")
}

fn account_of(directory: &str) -> String {
    format!("account-{}.json", Sha256::of(directory.as_bytes()).short())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn vault(folder: &Path) -> Vault {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Vault::open(folder.join("acme"), provider).expect("a vault")
    }

    fn pem() -> String {
        let pair = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a pair");
        format!("{}{}", pair.signing_key.serialize_pem(), pair.cert.pem())
    }

    #[test]
    fn what_is_kept_is_there_again_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().expect("folder");
        vault(folder.path()).keep("a.example", &pem()).expect("kept");
        let path = folder.path().join("acme/a.example.pem");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("acme"))), (0o600, 0o700));
        fs::write(path.with_extension("pem.new"), "half").expect("write");
        let again = vault(folder.path());
        assert!(!path.with_extension("pem.new").exists(), "what a crash left is gone");
        assert!(again.certificate("a.example").is_some() && again.certificate("b.example").is_none());
        let other = pem();
        let mixed = format!(
            "{}{}",
            &pem()[..pem().find("-----BEGIN CERT").expect("one")],
            &other[other.find("-----BEGIN CERT").expect("one")..]
        );
        again.keep("a.example", &mixed).expect_err("a certificate with the key of another");
        fs::write(&path, "damaged").expect("write");
        assert!(again.certificate("a.example").is_none());
        again.keep("a.example", &pem()).expect("kept");
        again.tidy(0, |_| false).expect("tidied");
        assert!(path.exists(), "it holds: its name may come back");
        again.tidy(u64::MAX, |name| name == "a.example").expect("tidied");
        assert!(path.exists(), "it is wanted");
        again.tidy(u64::MAX, |_| false).expect("tidied");
        assert!(!path.exists());
    }
}
