//! One order, from the name to the certificate (RFC 8555, 7.4).

use std::{fs, io, sync::Arc, time::Duration};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    config::{AcmeConfig, ChallengeKind},
    http::{Client, Unreachable},
    plan::Failure,
    proof::{Proofs, Shown},
    vault::Vault,
};

/// Time for a whole order.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the authority may take to look at a proof, and then to sign.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(120));
/// Longest text of an authority that is shown.
const TEXT_MAX: usize = 400;
/// Longest key of an external account, in bytes.
const EAB_MAX: usize = 4096;

/// The authority, as long as there is something to order.
pub(super) struct Authority {
    config: AcmeConfig,
    client: Client,
    vault: Arc<Vault>,
    proofs: Arc<Proofs>,
    provider: Arc<CryptoProvider>,
    account: Mutex<Option<Account>>,
}

impl Authority {
    pub(super) fn new(
        config: AcmeConfig,
        vault: Arc<Vault>,
        proofs: Arc<Proofs>,
        provider: Arc<CryptoProvider>,
    ) -> io::Result<Self> {
        let client = Client::new(config.ca_file.as_deref(), provider.clone())?;
        Ok(Self { config, client, vault, proofs, provider, account: Mutex::new(None) })
    }

    /// Gets a certificate: its key and chain as PEM.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: the authority forgets an order that is not finished.
    pub(super) async fn order(&self, name: &str, kind: ChallengeKind) -> Result<String, Failure> {
        let ordering = async {
            let account = self.account().await?;
            match self.fulfil(&account, name, kind).await {
                // One that was deactivated, or an authority that began anew.
                Err(Trouble::Unknown) => {
                    self.forget(&account).await;
                    let account = self.account().await?;
                    self.fulfil(&account, name, kind).await.map_err(Failure::from)
                }
                done => done.map_err(Failure::from),
            }
        };
        let late = || Failure::Name(format!("the order took longer than {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, ordering).await.unwrap_or_else(|_| Err(late()))
    }

    /// The account, made when there is none. One at a time: two orders must not make two.
    async fn account(&self) -> Result<Account, Failure> {
        let mut known = self.account.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let directory = &self.config.directory;
        let failed = |what: &str, error: String| Failure::Authority(format!("{what}: {error}"));
        let kept = self.vault.account(directory).unwrap_or_else(|error| {
            tracing::error!(%error, "the account at the authority cannot be read; another one is made");
            None
        });
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let account = match kept {
            Some(credentials) => builder
                .from_credentials(credentials)
                .await
                .map_err(|error| failed("ask the authority", told(&error)))?,
            None => {
                let external = self.external().map_err(|error| failed("bind the account", error.to_string()))?;
                let contact: Vec<String> =
                    self.config.contact.iter().map(|address| format!("mailto:{address}")).collect();
                let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
                let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
                let made = builder.create(&new, directory.clone(), external.as_ref()).await;
                let (account, credentials) =
                    made.map_err(|error| failed("make an account at the authority", told(&error)))?;
                self.vault
                    .keep_account(directory, &credentials)
                    .map_err(|error| failed("keep the account's key", error.to_string()))?;
                tracing::info!(directory, account = account.id(), "made an account at the certificate authority");
                account
            }
        };
        Ok(known.insert(account).clone())
    }

    async fn forget(&self, unknown: &Account) {
        let mut known = self.account.lock().await;
        if known.as_ref().is_some_and(|account| account.id() == unknown.id()) {
            tracing::warn!(
                account = unknown.id(),
                "the certificate authority does not know the account; making another"
            );
            *known = None;
            if let Err(error) = self.vault.forget_account(&self.config.directory) {
                tracing::error!(%error, "forget the account");
            }
        }
    }

    fn external(&self) -> io::Result<Option<ExternalAccountKey>> {
        let Some(external) = &self.config.external_account else { return Ok(None) };
        let named = |error: &str| io::Error::other(format!("{}: {error}", external.key_file.display()));
        let text = fs::read_to_string(&external.key_file).map_err(|error| named(&error.to_string()))?;
        let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).ok();
        let key = key.filter(|key| (1..=EAB_MAX).contains(&key.len()));
        let key = key.ok_or_else(|| named("this is no key in base64 for URLs"))?;
        Ok(Some(ExternalAccountKey::new(external.key_id.clone(), &key)))
    }

    async fn fulfil(&self, account: &Account, name: &str, kind: ChallengeKind) -> Result<String, Trouble> {
        let identifiers = [Identifier::Dns(name.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let shown = self.prove(&mut order, name, kind).await?;
        if order.state().status != OrderStatus::Ready {
            let status = order.poll_ready(&POLL).await;
            if !matches!(status, Ok(OrderStatus::Ready)) {
                let why = refusal(&mut order).await;
                return Err(match (why, status) {
                    (Some(why), _) => Trouble::Name(format!("the proof by {kind} was refused: {why}")),
                    (None, Err(error)) => error.into(),
                    (None, Ok(status)) => Trouble::Name(format!("the order is {status:?}, not ready")),
                });
            }
        }
        drop(shown);
        let key = KeyPair::generate().map_err(|error| Trouble::Name(error.to_string()))?;
        let request = request(name, &key).map_err(|error| Trouble::Name(error.to_string()))?;
        order.finalize_csr(&request).await?;
        let chain = order.poll_certificate(&POLL).await?;
        check(&chain, name).map_err(|why| Trouble::Name(format!("the authority gave a useless certificate: {why}")))?;
        Ok(format!("{}{chain}", key.serialize_pem()))
    }

    /// Shows what is asked for, and says so. Nothing has to be shown where an earlier proof still counts.
    async fn prove(&self, order: &mut Order, name: &str, kind: ChallengeKind) -> Result<Vec<Shown>, Trouble> {
        let mut shown = Vec::new();
        let mut authorisations = order.authorizations();
        while let Some(authorisation) = authorisations.next().await {
            let mut authorisation = authorisation?;
            match authorisation.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                ref other => return Err(Trouble::Name(format!("the authorisation is {other:?}"))),
            }
            let wanted = match kind {
                ChallengeKind::Http01 => ChallengeType::Http01,
                ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let Some(mut challenge) = authorisation.challenge(wanted) else {
                return Err(Trouble::Name(format!("the authority takes no {kind} for this name")));
            };
            let proof = challenge.key_authorization();
            shown.push(match kind {
                ChallengeKind::Http01 => self.proofs.show_token(&challenge.token, proof.as_str()),
                ChallengeKind::TlsAlpn01 => {
                    let certificate = self.proving_certificate(name, proof.digest().as_ref());
                    let certificate = certificate.map_err(|error| Trouble::Name(error.to_string()))?;
                    self.proofs.show_certificate(name, certificate)
                }
            });
            challenge.set_ready().await?;
        }
        Ok(shown)
    }

    /// The certificate that is the proof (RFC 8737, 3).
    fn proving_certificate(&self, name: &str, digest: &[u8]) -> io::Result<CertifiedKey> {
        if digest.len() != 32 {
            return Err(io::Error::other("the digest of a key authorisation has 32 bytes"));
        }
        let mut params = CertificateParams::new([name.to_owned()]).map_err(io::Error::other)?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        self_signed(&params, &self.provider)
    }
}

/// A certificate that nobody has signed but its own key.
pub(super) fn self_signed(params: &CertificateParams, provider: &CryptoProvider) -> io::Result<CertifiedKey> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    let key = provider.key_provider.load_private_key(key).map_err(io::Error::other)?;
    // Not compared with the key: the comparison refuses an extension that it does not know, as the proof has one.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

fn request(name: &str, key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// Whether it is for the name at all: an authority that errs must not replace a certificate that is good.
fn check(chain: &str, name: &str) -> Result<(), String> {
    let first = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|error| error.to_string())?;
    let parsed = ParsedCertificate::try_from(&first).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    verify_server_name(&parsed, &name).map_err(|error| error.to_string())
}

/// What the authority found when it looked.
async fn refusal(order: &mut Order) -> Option<String> {
    let mut authorisations = order.authorizations();
    while let Some(Ok(mut authorisation)) = authorisations.next().await {
        let Ok(state) = authorisation.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(problem_text(problem));
        }
    }
    None
}

/// Why an order does not go on.
enum Trouble {
    /// The authority does not know the account.
    Unknown,
    Authority(String),
    Limited(String),
    Name(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let text = told(&error);
        let kind = match &error {
            Error::Api(problem) => problem.r#type.as_deref().unwrap_or_default(),
            Error::Other(inner) if inner.is::<Unreachable>() => return Self::Authority(text),
            // It answered, but not as an authority does.
            Error::Json(_) => return Self::Authority(text),
            _ => "",
        };
        match kind.strip_prefix("urn:ietf:params:acme:error:") {
            Some("accountDoesNotExist") => Self::Unknown,
            Some("rateLimited") => Self::Limited(text),
            // Refused nonces in a row are bad luck, and nothing that this name did.
            Some("badNonce" | "serverInternal" | "unauthorized" | "userActionRequired" | "externalAccountRequired") => {
                Self::Authority(text)
            }
            _ => Self::Name(text),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unknown => Self::Authority("it does not know the account that it has just made".to_owned()),
            Trouble::Authority(text) => Self::Authority(text),
            Trouble::Limited(text) => Self::Limited(text),
            Trouble::Name(text) => Self::Name(text),
        }
    }
}

/// An error in one line of bounded length: part of it comes from outside.
fn told(error: &Error) -> String {
    match error {
        Error::Api(problem) => problem_text(problem),
        other => one_line(&other.to_string()),
    }
}

fn problem_text(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    for detail in problem.subproblems.iter().filter_map(|sub| sub.detail.as_deref()) {
        text.push_str("; ");
        text.push_str(detail);
    }
    let kind = problem.r#type.as_deref().unwrap_or("no type given");
    one_line(&format!("{text} ({})", kind.trim_start_matches("urn:ietf:params:acme:error:")))
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_authority_says_is_one_line_and_short() {
        let problem = Problem {
            r#type: Some("urn:ietf:params:acme:error:dns".to_owned()),
            detail: Some(format!("no such\nname {}", "x".repeat(1000))),
            status: Some(400),
            subproblems: Vec::new(),
        };
        let text = problem_text(&problem);
        assert!(text.starts_with("no such name xxx") && text.len() <= TEXT_MAX, "{text}");
        let limited = Problem { r#type: Some("urn:ietf:params:acme:error:rateLimited".to_owned()), ..problem };
        assert!(matches!(Failure::from(Trouble::from(Error::Api(limited))), Failure::Limited(_)));
        let gone = Error::Other(Box::new(Unreachable("ca.example: refused".to_owned())));
        assert!(matches!(Failure::from(Trouble::from(gone)), Failure::Authority(_)));
    }

    #[test]
    fn a_certificate_for_another_name_is_not_taken() {
        let pair = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a pair");
        assert_eq!(check(&pair.cert.pem(), "a.example"), Ok(()));
        assert!(check(&pair.cert.pem(), "b.example").is_err() && check("nothing", "a.example").is_err());
    }
}
