//! Sealing secrets: the key, and XChaCha20-Poly1305 around each value.
//!
//! The sealed bytes are bound to tenant, name, version and key by the associated data, so that one secret's bytes put in
//! another's place do not open. The key is never in the database.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use skipper_core::{
    Sha256,
    name::{SecretName, TenantName},
    secret::SecretValue,
};
use zeroize::Zeroizing;

use crate::Error;

/// Where the sealing key comes from.
#[derive(Clone)]
pub enum KeySource {
    /// A file that only its owner may read; made with a new key when the first secret is sealed.
    File(PathBuf),
    /// The text of `SKIPPER_SECRET_KEY`: 32 bytes as 64 hex digits or as base64.
    Text(Zeroizing<String>),
}

impl KeySource {
    /// The key as given in the environment.
    #[must_use]
    pub fn text(key: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(key.into()))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text([secret])"),
        }
    }
}

/// A key and the short name by which sealed values remember it.
#[derive(Clone)]
pub(crate) struct Key {
    bytes: Zeroizing<[u8; 32]>,
    pub(crate) id: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// What a value is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bond<'a> {
    pub(crate) tenant: &'a TenantName,
    pub(crate) name: &'a SecretName,
    pub(crate) version: u64,
}

/// Sealed bytes with what opens them again, the key excepted.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// Reads the key when it is first needed, and keeps it.
#[derive(Debug)]
pub(crate) struct KeyRing {
    source: KeySource,
    key: Mutex<Option<Key>>,
}

impl KeyRing {
    pub(crate) const fn new(source: KeySource) -> Self {
        Self { source, key: Mutex::new(None) }
    }

    /// The key. `create`: make one when there is no file yet.
    pub(crate) fn key(&self, create: bool) -> Result<Key, Error> {
        let mut cached = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*cached {
            return Ok(key.clone());
        }
        let key = match &self.source {
            KeySource::Text(text) => Key::parse(text, "SKIPPER_SECRET_KEY")?,
            KeySource::File(path) => read_file(path, create)?,
        };
        *cached = Some(key.clone());
        Ok(key)
    }
}

impl Key {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mut named = Zeroizing::new(b"skipper secret key id\0".to_vec());
        named.extend_from_slice(&*bytes);
        Self { id: Sha256::of(&named).short(), bytes }
    }

    fn parse(text: &str, origin: &str) -> Result<Self, Error> {
        let text = text.trim();
        let mut bytes = Zeroizing::new([0_u8; 32]);
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("two hex digits were just checked");
            }
            return Ok(Self::new(bytes));
        }
        match STANDARD.decode(text).map(Zeroizing::new) {
            Ok(decoded) if decoded.len() == 32 => {
                bytes.copy_from_slice(&decoded);
                Ok(Self::new(bytes))
            }
            _ => Err(Error::Key {
                problem: format!("the secret key in {origin} is not a key"),
                hint: "a key is 32 bytes, written as 64 hex digits or as base64; `openssl rand -hex 32` makes one"
                    .into(),
            }),
        }
    }

    pub(crate) fn seal(&self, bond: Bond<'_>, value: &SecretValue) -> Sealed {
        let mut nonce = [0_u8; 24];
        rand::fill(&mut nonce[..]);
        let aad = self.associated(bond);
        let payload = Payload { msg: value.expose().as_bytes(), aad: &aad };
        let bytes =
            self.cipher().encrypt(&XNonce::from(nonce), payload).expect("a value of at most 1 MiB can be sealed");
        Sealed { key_id: self.id.clone(), nonce: nonce.to_vec(), bytes }
    }

    pub(crate) fn open(&self, bond: Bond<'_>, sealed: &Sealed) -> Result<SecretValue, Error> {
        let Bond { name, version, .. } = bond;
        if sealed.key_id != self.id {
            return Err(Error::Key {
                problem: format!(
                    "secret `{name}` was sealed with key {}, and the key here is {}",
                    sealed.key_id, self.id
                ),
                hint: "put the key file of that time back (it is not part of a backup), or set the secret again".into(),
            });
        }
        let broken = || Error::corrupt(format!("the sealed bytes of secret `{name}` version {version} do not open"));
        let nonce: [u8; 24] = sealed.nonce.as_slice().try_into().map_err(|_| broken())?;
        let aad = self.associated(bond);
        let payload = Payload { msg: &sealed.bytes, aad: &aad };
        let clear = self.cipher().decrypt(&XNonce::from(nonce), payload).map_err(|_| broken())?;
        String::from_utf8(clear).map(SecretValue::new).map_err(|_| broken())
    }

    /// Seals bytes that are no tenant's secret, bound to what they are. Begins with the nonce.
    pub(crate) fn seal_bytes(&self, what: &[u8], clear: &[u8]) -> Vec<u8> {
        let mut nonce = [0_u8; 24];
        rand::fill(&mut nonce[..]);
        let payload = Payload { msg: clear, aad: what };
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload).expect("what fits into memory can be sealed");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens them; `None` where they were sealed with another key, as something else, or were changed.
    pub(crate) fn open_bytes(&self, what: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<24>()?;
        self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: what }).ok()
    }

    /// A key for another purpose, from which this one cannot be had back.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&*self.bytes).expect("HMAC takes keys of any length");
        mac.update(b"skipper derived key\0");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.bytes).into())
    }

    /// Names hold no NUL, so the parts cannot be shifted into one another.
    fn associated(&self, bond: Bond<'_>) -> Vec<u8> {
        format!("{}\0{}\0{}\0{}", bond.tenant, bond.name, bond.version, self.id).into_bytes()
    }
}

fn read_file(path: &Path, create: bool) -> Result<Key, Error> {
    let failed = |doing| move |source| Error::file(doing, path, source);
    match File::open(path) {
        Ok(file) => {
            let mode = file.metadata().map_err(failed("look at the secret key"))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(Error::Key {
                    problem: format!("others may read the secret key {} (mode {:o})", path.display(), mode & 0o777),
                    hint: format!("run `chmod 600 {}`; if others had access, set every secret anew", path.display()),
                });
            }
            let mut text = Zeroizing::new(String::new());
            file.take(4096).read_to_string(&mut text).map_err(failed("read the secret key"))?;
            Key::parse(&text, &path.display().to_string())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            create_file(path).map_err(failed("write the secret key"))?;
            read_file(path, false)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Key {
            problem: format!("secrets are sealed in the database, and their key {} is missing", path.display()),
            hint: "put the key file back, or set SKIPPER_SECRET_KEY; without it the secrets must be set anew \
                   (force their removal first)"
                .into(),
        }),
        Err(error) => Err(failed("open the secret key")(error)),
    }
}

/// Durable before it is used: a secret sealed with a key that a power cut takes away is lost.
fn create_file(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(&mut bytes[..]);
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in bytes.iter() {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    // Written aside and linked into place, so that of two processes one wins and both read a whole key.
    let aside = folder.join(format!(".secret-key-{}", std::process::id()));
    let _ = std::fs::remove_file(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let linked =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| {
            match std::fs::hard_link(&aside, path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            }
        });
    let _ = std::fs::remove_file(&aside);
    linked?;
    File::open(folder)?.sync_all()
}
