//! What proves to an authority that a name is ours, while it asks.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::sign::CertifiedKey;

/// Where tokens are asked for.
const PATH: &str = "/.well-known/acme-challenge/";

/// The proofs of the orders under way; a handful at most.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Key authorisations by token.
    tokens: RwLock<HashMap<String, String>>,
    /// Certificates by name.
    certificates: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

/// A proof that can be asked for until this is dropped.
#[derive(Debug)]
pub(super) struct Shown {
    proofs: Arc<Proofs>,
    what: What,
}

#[derive(Debug)]
enum What {
    Token(String),
    Certificate(String),
}

impl Proofs {
    pub(super) fn show_token(self: &Arc<Self>, token: &str, authorisation: &str) -> Shown {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(token.to_owned(), authorisation.to_owned());
        Shown { proofs: self.clone(), what: What::Token(token.to_owned()) }
    }

    pub(super) fn show_certificate(self: &Arc<Self>, name: &str, key: CertifiedKey) -> Shown {
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        certificates.insert(name.to_owned(), Arc::new(key));
        Shown { proofs: self.clone(), what: What::Certificate(name.to_owned()) }
    }

    /// The answer to a request for that path, if it asks for a token that is known.
    pub(super) fn token_at(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(PATH)?;
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    pub(super) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.certificates.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        match &self.what {
            What::Token(token) => {
                self.proofs.tokens.write().unwrap_or_else(PoisonError::into_inner).remove(token);
            }
            What::Certificate(name) => {
                self.proofs.certificates.write().unwrap_or_else(PoisonError::into_inner).remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_under_its_own_path_and_only_while_it_is_shown() {
        let proofs = Arc::new(Proofs::default());
        let shown = proofs.show_token("abc", "abc.thumb");
        assert_eq!(proofs.token_at("/.well-known/acme-challenge/abc").as_deref(), Some("abc.thumb"));
        for other in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/abc/", "/abc", "/x/abc"] {
            assert_eq!(proofs.token_at(other), None, "{other}");
        }
        drop(shown);
        assert_eq!(proofs.token_at("/.well-known/acme-challenge/abc"), None);
    }
}
