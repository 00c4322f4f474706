use std::{fmt, path::PathBuf, str::FromStr};

/// How certificates are had from an authority by ACME. That there is one of these means that its terms were agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    /// URL of the authority's directory, `https` only.
    pub directory: String,
    /// Addresses of e-mail that the authority may write to.
    pub contact: Vec<String>,
    /// Ways to prove that a name is ours, the preferred one first. Never empty.
    pub challenges: Vec<ChallengeKind>,
    /// Certificates (PEM) of authorities to trust for the directory itself, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// An account elsewhere that the authority wants this one bound to.
    pub external_account: Option<ExternalAccount>,
}

impl AcmeConfig {
    /// The directory of Let's Encrypt.
    pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

    /// Every kind of challenge, no contact, the system's authorities.
    #[must_use]
    pub fn new(directory: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            contact: Vec::new(),
            challenges: ChallengeKind::ALL.to_vec(),
            ca_file: None,
            external_account: None,
        }
    }
}

/// A binding to an external account (RFC 8555, 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's id.
    pub key_id: String,
    /// File that holds the MAC key, as the authority gave it: base64 for URLs. Never an argument or a variable: both are seen
    /// by others.
    pub key_file: PathBuf,
}

/// A way to prove that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    /// A token on port 80 (RFC 8555, 8.3).
    Http01,
    /// A certificate on port 443 (RFC 8737).
    TlsAlpn01,
}

impl ChallengeKind {
    /// All, the one that most networks let through first.
    pub const ALL: [Self; 2] = [Self::Http01, Self::TlsAlpn01];
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        })
    }
}

impl FromStr for ChallengeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        known.ok_or_else(|| format!("`{text}` is not a challenge; write http-01 or tls-alpn-01"))
    }
}
