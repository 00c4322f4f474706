//! The issuer's keys: read when they are first needed, kept, and read again within bounds.

use std::{path::Path, sync::Arc, time::Duration};

use aws_lc_rs::{
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters, UnparsedPublicKey,
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use futures::StreamExt as _;
use serde::Deserialize;
use skipper_core::time::Timestamp;
use skipper_platform::artifact::{self, FetchLimits};
use skipper_source::app::JwksAt;
use tokio::{io::AsyncReadExt as _, sync::Mutex, time::timeout};
use tracing::{info, warn};

use super::jwt::Token;
use crate::app::App;

/// Longest set of keys; GitHub's has some 5 KiB.
const MAX_SET: usize = 256 << 10;
/// Most keys of a set.
const MAX_KEYS: usize = 64;
/// Longest that an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long keys are taken as they are: an issuer that takes one back is heard within that time.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long they are used while the issuer does not answer.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Tokens with unknown keys, which anybody can send, make us ask no more often than this; nor does an issuer that is down.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// The keys of the one issuer that is configured.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    /// Where they are from: another configuration has others.
    from: Option<JwksAt>,
    keys: Option<(Arc<KeySet>, Timestamp)>,
    asked: Option<Timestamp>,
    problem: String,
}

impl KeyCache {
    /// The keys; `anew`: those that are kept were no good, and `None` where it is too early to ask again.
    ///
    /// # Errors
    ///
    /// A sentence: they cannot be had.
    pub(super) async fn of(&self, app: &App, from: &JwksAt, anew: bool) -> Result<Option<Arc<KeySet>>, String> {
        // Whoever comes meanwhile waits for the same answer.
        let mut cached = self.0.lock().await;
        if cached.from.as_ref() != Some(from) {
            *cached = Cached { from: Some(from.clone()), ..Cached::default() };
        }
        let now = app.clock.now();
        let age = |at: Timestamp| now.since(at);
        let fresh = cached.keys.as_ref().filter(|(_, at)| age(*at) < FRESH).map(|(keys, _)| Arc::clone(keys));
        if let Some(keys) = fresh.filter(|_| !anew) {
            return Ok(Some(keys));
        }
        let early = cached.asked.is_some_and(|at| age(at) < ASK_EVERY);
        if !early {
            cached.asked = Some(now);
            match read(from).await {
                Ok(keys) => {
                    info!(keys = keys.0.len(), "the keys of the issuer of tokens were read");
                    cached.keys = Some((Arc::new(keys), now));
                    return Ok(cached.keys.as_ref().map(|(keys, _)| Arc::clone(keys)));
                }
                Err(problem) => {
                    warn!("the keys of the issuer of tokens cannot be had: {problem}");
                    cached.problem = problem;
                }
            }
        }
        if anew {
            return Ok(None);
        }
        match cached.keys.as_ref().filter(|(_, at)| age(*at) < STALE) {
            Some((keys, _)) => Ok(Some(Arc::clone(keys))),
            None => Err(format!("the issuer's keys cannot be had: {}", cached.problem)),
        }
    }
}

/// Keys that can be used.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    alg: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(PublicKeyComponents<Vec<u8>>),
    P256(Vec<u8>),
    P384(Vec<u8>),
}

impl KeySet {
    /// Whether the token's own key made its signature; `None` where that key is not here.
    pub(super) fn verify(&self, token: &Token<'_>) -> Option<bool> {
        let alg = token.header.alg.as_str();
        let fits = |key: &&Key| key.alg.as_deref().is_none_or(|own| own == alg) && key.is_for(alg);
        let mut keys = self.0.iter().filter(fits).filter(|key| match (&token.header.kid, &key.id) {
            (Some(asked), Some(own)) => asked == own,
            (Some(_), None) => false,
            (None, _) => true,
        });
        let key = keys.next()?;
        // A token that names no key is good where there is no choice.
        if token.header.kid.is_none() && keys.next().is_some() {
            return None;
        }
        Some(key.verify(alg, token.signed, &token.signature))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let set: Set = serde_json::from_slice(bytes).map_err(|cause| format!("no set of keys: {cause}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("has {} keys, and at most {MAX_KEYS} are allowed", set.keys.len()));
        }
        // Keys of a kind that is not known here are not ours to judge.
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err("has no key that can be used".to_owned()) } else { Ok(Self(keys)) }
    }
}

/// What a signature may be made with; nothing else is, `none` and HMAC least of all.
fn rsa(alg: &str) -> Option<&'static RsaParameters> {
    match alg {
        "RS256" => Some(&RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Some(&RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Some(&RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| BASE64.decode(text.as_deref()?).ok();
        let point = |size: usize| {
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            (x.len() == size && y.len() == size).then(|| [&[4][..], &x, &y].concat())
        };
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let plain = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
                Material::Rsa(PublicKeyComponents { n: plain(bytes(&jwk.n)?), e: plain(bytes(&jwk.e)?) })
            }
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            _ => return None,
        };
        Some(Self { id: jwk.kid, alg: jwk.alg, material })
    }

    fn is_for(&self, alg: &str) -> bool {
        match self.material {
            Material::Rsa(_) => rsa(alg).is_some(),
            Material::P256(_) => alg == "ES256",
            Material::P384(_) => alg == "ES384",
        }
    }

    fn verify(&self, alg: &str, signed: &[u8], signature: &[u8]) -> bool {
        let on_curve = |algorithm: &'static EcdsaVerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(algorithm, point).verify(signed, signature).is_ok()
        };
        match &self.material {
            Material::Rsa(key) => rsa(alg).is_some_and(|alg| key.verify(alg, signed, signature).is_ok()),
            Material::P256(point) => on_curve(&ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => on_curve(&ECDSA_P384_SHA384_FIXED, point),
        }
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

async fn read(from: &JwksAt) -> Result<KeySet, String> {
    let bytes = async {
        match from {
            JwksAt::Url(url) => fetch(url).await,
            JwksAt::File(path) => file(Path::new(path)).await,
        }
    };
    let at = match from {
        JwksAt::Url(at) | JwksAt::File(at) => at,
    };
    let bytes = timeout(PATIENCE, bytes).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
    bytes.and_then(|bytes| KeySet::parse(&bytes)).map_err(|problem| format!("{at}: {problem}"))
}

async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    // Once an hour: a client that is kept would cost more than it saves.
    let limits = FetchLimits { max_redirects: 0, ..FetchLimits::default() };
    let client = artifact::http_client(&limits, None).map_err(|error| error.to_string())?;
    let failed = |cause: reqwest::Error| cause.without_url().to_string();
    let answer = client.get(url).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(format!("was answered with {}", answer.status()));
    }
    let mut bytes = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await.transpose().map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_SET {
            return Err(too_large());
        }
    }
    Ok(bytes)
}

async fn file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |cause: std::io::Error| format!("cannot be read: {cause}");
    // Before it is opened: opening a pipe waits for somebody to write.
    if !tokio::fs::metadata(path).await.map_err(failed)?.is_file() {
        return Err("is not a plain file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    file.take(MAX_SET as u64 + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() > MAX_SET { Err(too_large()) } else { Ok(bytes) }
}

fn too_large() -> String {
    format!("is larger than {} KiB", MAX_SET >> 10)
}
