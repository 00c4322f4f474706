//! Tokens of an issuer in place of a key. The issuer is made here, with keys of its own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use http::Method;
use serde_json::{Value, json};
use skipper_core::port::Clock as _;
use tokio_util::task::TaskTracker;

use crate::{
    deploys::{GLOBAL, app, configured, ended, error, told},
    fixture::{Answer, Ask, Machine, Server},
};

const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "skipper.test";

enum Signer {
    Rsa(Box<rsa::KeyPair>),
    Ec(EcdsaKeyPair),
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(Box::new(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key")))
    }

    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    const fn alg(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                // SEQUENCE { INTEGER n of 257 bytes with its leading zero, INTEGER 65537 }
                let der = key.public_key().as_ref();
                let n = BASE64.encode(&der[9..265]);
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": n, "e": "AQAB"})
            }
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y})
            }
        }
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).expect("signed");
                signature
            }
            Self::Ec(key) => key.sign(&random, text.as_bytes()).expect("signed").as_ref().to_vec(),
        }
    }
}

/// An issuer that answers its keys, and counts how often it was asked.
struct Issuer {
    address: SocketAddr,
    keys: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(keys: Vec<Value>) -> Self {
        let keys = Arc::new(Mutex::new(json!({"keys": keys})));
        let asked = Arc::new(AtomicUsize::new(0));
        let (own, count) = (Arc::clone(&keys), Arc::clone(&asked));
        let answer = axum::routing::get(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let keys = own.lock().expect("nothing panics in here").clone();
            async move { axum::Json(keys) }
        });
        let router = axum::Router::new().route("/jwks", answer);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        Self { address, keys, asked }
    }

    fn machine(&self) -> Machine {
        let keys = format!("jwks_url = \"http://{}/jwks\"", self.address);
        machine(&keys)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn machine(keys: &str) -> Machine {
    let trusted = format!("[auth.oidc]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\n{keys}\n");
    let bound = "oidc = [{ repository = \"acme/web\", ref = \"refs/heads/main\" }, { repository = \"acme/web\", ref = \"refs/tags/v*\" }]";
    configured(&trusted, [app("web", bound, ""), app("shop", "", "")])
}

/// A token, as the issuer gives it.
struct Job<'a> {
    signer: &'a Signer,
    kid: &'a str,
    claims: BTreeMap<&'static str, Value>,
}

impl<'a> Job<'a> {
    fn new(server: &Server, signer: &'a Signer, kid: &'a str, id: &str) -> Self {
        let now = server.machine.clock.now().as_micros() / 1_000_000;
        let claims = BTreeMap::from([
            ("iss", json!(ISSUER)),
            ("aud", json!(AUDIENCE)),
            ("iat", json!(now)),
            ("nbf", json!(now - 5)),
            ("exp", json!(now + 300)),
            ("jti", json!(id)),
            ("sub", json!("repo:acme/web:ref:refs/heads/main")),
            ("repository", json!("acme/web")),
            ("ref", json!("refs/heads/main")),
        ]);
        Self { signer, kid, claims }
    }

    fn with(mut self, name: &'static str, value: Value) -> Self {
        self.claims.insert(name, value);
        self
    }

    fn token(&self) -> String {
        let header = json!({"alg": self.signer.alg(), "typ": "JWT", "kid": self.kid});
        let part = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&json!(self.claims)));
        let signature = BASE64.encode(self.signer.sign(&signed));
        format!("{signed}.{signature}")
    }

    async fn send(&self, server: &Server, app: &str, tag: &str) -> Answer {
        send(server, &self.token(), app, tag).await
    }
}

async fn send(server: &Server, token: &str, app: &str, tag: &str) -> Answer {
    let mut ask = Ask::post("/v1/deploy", &json!({"app": app, "tag": tag})).token(token);
    ask.peer = Some("203.0.113.7:40000".parse().expect("an address"));
    server.send(ask).await
}

#[track_caller]
fn refused(answer: &Answer, why: &str) {
    let (status, text) = error(answer);
    assert!(status == 401 && text.contains(why), "{status} {text}, and not: {why}");
}

#[tokio::test]
async fn a_token_of_the_right_repository_and_branch_deploys() {
    let (first, second) = (Signer::rsa(), Signer::ec());
    let issuer = Issuer::start(vec![first.jwk("one"), second.jwk("two"), json!({"kty": "oct", "kid": "three"})]).await;
    let server = issuer.machine().boot().await;
    let answer = Job::new(&server, &first, "one", "a").send(&server, "web", "v1").await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    assert_eq!(ended(&server, &answer.read()).await["triggered_by"], "oidc");
    let tagged = Job::new(&server, &second, "two", "b").with("ref", json!("refs/tags/v2"));
    let answer = tagged.send(&server, "web", "v2").await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    assert_eq!(issuer.asked(), 1, "keys are kept");
    let claims = "claims are not what";
    for (name, value) in [
        ("repository", json!("acme/webs")),
        ("repository", json!("ACME/web")),
        ("repository", json!(["acme/web"])),
        ("repository", Value::Null),
        ("ref", json!("refs/heads/other")),
        ("ref", json!("refs/tags/v1/x")),
    ] {
        refused(&Job::new(&server, &first, "one", "c").with(name, value).send(&server, "web", "v3").await, claims);
    }
    refused(&Job::new(&server, &first, "one", "c").send(&server, "shop", "v3").await, claims);
    refused(&Job::new(&server, &first, "one", "c").send(&server, "none", "v3").await, claims);
}

#[tokio::test]
async fn a_token_that_is_not_for_us_not_for_now_or_not_whole_is_refused() {
    let (own, foreign) = (Signer::rsa(), Signer::rsa());
    let issuer = Issuer::start(vec![own.jwk("one")]).await;
    let server = issuer.machine().boot().await;
    let now = server.machine.clock.now().as_micros() / 1_000_000;
    let job = |name, value| Job::new(&server, &own, "one", "a").with(name, value);
    for (name, value, why) in [
        ("iss", json!("https://another.test"), "another issuer"),
        ("aud", json!("another"), "another audience"),
        ("exp", json!(now - 120), "expired"),
        ("nbf", json!(now + 120), "not good yet"),
        ("iat", json!(now + 120), "not good yet"),
        ("jti", Value::Null, "no id"),
    ] {
        refused(&job(name, value).send(&server, "web", "v1").await, why);
    }
    assert_eq!(issuer.asked(), 0, "what cannot be good makes nobody ask");
    let good = Job::new(&server, &own, "one", "a").token();
    refused(&Job::new(&server, &foreign, "one", "a").send(&server, "web", "v1").await, "signature is wrong");
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let none = BASE64.encode(json!({"alg": "none", "kid": "one"}).to_string());
    refused(&send(&server, &format!("{none}.{claims}."), "web", "v1").await, "not one of its issuer's");
    let hmac = BASE64.encode(json!({"alg": "HS256", "kid": "one"}).to_string());
    refused(&send(&server, &format!("{hmac}.{claims}.{signature}"), "web", "v1").await, "not one of its issuer's");
    let critical = BASE64.encode(json!({"alg": "RS256", "kid": "one", "crit": ["b64"]}).to_string());
    refused(&send(&server, &format!("{critical}.{claims}.{signature}"), "web", "v1").await, "crit");
    let other = BASE64.encode(json!({"iss": ISSUER}).to_string());
    refused(&send(&server, &format!("{header}.{other}.{signature}"), "web", "v1").await, "audience");
    refused(&send(&server, "eyJ.a.b", "web", "v1").await, "no JWT");
    refused(&send(&server, &format!("eyJ{}..", "a".repeat(20_000)), "web", "v1").await, "longer than");
    assert_eq!(send(&server, &good, "web", "v1").await.status.as_u16(), 202, "it was good all the time");
    // Nor does it open anything else.
    assert_eq!(server.send(Ask::get("/v1/status").token(&good)).await.status.as_u16(), 401);
}

#[tokio::test]
async fn a_token_is_good_for_one_delivery() {
    let own = Signer::ec();
    let issuer = Issuer::start(vec![own.jwk("one")]).await;
    let server = issuer.machine().boot().await;
    let token = Job::new(&server, &own, "one", "a").token();
    let first: Value = send(&server, &token, "web", "v1").await.ok();
    assert_eq!(send(&server, &token, "web", "v1").await.ok::<Value>(), first, "the same delivery");
    refused(&send(&server, &token, "web", "v2").await, "used for another");
    let server = server.reboot().await;
    refused(&send(&server, &token, "web", "v2").await, "used for another");
    server.machine.clock.advance(Duration::from_secs(400));
    refused(&send(&server, &token, "web", "v1").await, "expired");
}

#[tokio::test]
async fn a_token_that_was_issued_earlier_does_not_bring_its_version_back() {
    let own = Signer::ec();
    let issuer = Issuer::start(vec![own.jwk("one")]).await;
    let server = issuer.machine().boot().await;
    let earlier = Job::new(&server, &own, "one", "a");
    server.machine.clock.advance(Duration::from_secs(30));
    let later = Job::new(&server, &own, "one", "b").send(&server, "web", "v2").await;
    ended(&server, &later.ok()).await;
    let (status, text) = error(&earlier.send(&server, "web", "v1").await);
    assert!(status == 409 && text.contains("signed before"), "{status} {text}");
}

#[tokio::test]
async fn an_unknown_key_makes_the_issuer_be_asked_once_a_minute() {
    let (old, new) = (Signer::ec(), Signer::ec());
    let issuer = Issuer::start(vec![old.jwk("old")]).await;
    let server = issuer.machine().boot().await;
    assert_eq!(Job::new(&server, &old, "old", "a").send(&server, "web", "v1").await.status.as_u16(), 202);
    *issuer.keys.lock().expect("nothing panics in here") = json!({"keys": [new.jwk("new")]});
    for _ in 0..5 {
        refused(&Job::new(&server, &new, "new", "b").send(&server, "web", "v2").await, "not one of its issuer's");
    }
    assert_eq!(issuer.asked(), 1);
    server.machine.clock.advance(Duration::from_secs(61));
    assert_eq!(Job::new(&server, &new, "new", "b").send(&server, "web", "v2").await.status.as_u16(), 202);
    for _ in 0..5 {
        refused(&Job::new(&server, &old, "old", "c").send(&server, "web", "v3").await, "not one of its issuer's");
    }
    assert_eq!(issuer.asked(), 2);
    // An issuer that sends nonsense is not believed, and the keys of before count for a while.
    *issuer.keys.lock().expect("nothing panics in here") = json!({"keys": []});
    server.machine.clock.advance(Duration::from_secs(2 * 60 * 60));
    let answer = Job::new(&server, &new, "new", "d").send(&server, "web", "v4").await;
    assert_eq!((answer.status.as_u16(), issuer.asked()), (202, 3), "{}", answer.text());
    server.machine.clock.advance(Duration::from_secs(25 * 60 * 60));
    refused(&Job::new(&server, &new, "new", "e").send(&server, "web", "v5").await, "keys cannot be had");
}

#[tokio::test]
async fn keys_may_be_in_a_file_and_without_an_issuer_no_token_is_taken() {
    let own = Signer::ec();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("jwks.json");
    let server = machine(&format!("jwks_file = \"{}\"", path.display())).boot().await;
    refused(&Job::new(&server, &own, "one", "a").send(&server, "web", "v1").await, "cannot be read");
    std::fs::write(&path, json!({"keys": [own.jwk("one")]}).to_string()).expect("written");
    server.machine.clock.advance(Duration::from_secs(61));
    assert_eq!(Job::new(&server, &own, "one", "b").send(&server, "web", "v1").await.status.as_u16(), 202);

    let server = crate::deploys::machine().boot().await;
    refused(&Job::new(&server, &own, "one", "a").send(&server, "web", "v1").await, "not taken here");
    let missing = told(401, "missing X-Slip-Signature header");
    assert_eq!(error(&send(&server, GLOBAL, "web", "v1").await), missing, "a bearer of the API is none");
    let get = server.send(Ask::new(Method::GET, "/v1/deploy")).await;
    assert_eq!(get.status.as_u16(), 405);
}
