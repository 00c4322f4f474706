//! Tokens of somebody else's, in place of a key: who issues them, and what they must say to deploy an app.

use std::collections::BTreeMap;

use super::value;
use crate::{
    fields::{Field, Fields},
    yaml::shorten,
};

/// Who issues tokens to the workflows of GitHub.
const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// Where an issuer like GitHub has its keys.
const GITHUB_KEYS: &str = "/.well-known/jwks";
const MAX_AUDIENCES: usize = 8;
const MAX_BINDINGS: usize = 8;
const MAX_CLAIMS: usize = 16;
const MAX_TEXT: usize = 512;
/// Claims that say whose token it is: each binding has one of them.
const WHOSE: [&str; 5] = ["repository", "repository_id", "repository_owner", "repository_owner_id", "sub"];
/// Claims that say which of a repository's builds it is.
const WHICH: [&str; 6] = ["ref", "environment", "sub", "job_workflow_ref", "workflow_ref", "ref_protected"];

/// `[auth.oidc]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// `iss` of its tokens.
    pub issuer: String,
    /// Any of them must be in `aud`.
    pub audiences: Vec<String>,
    /// Where its keys are.
    pub keys: JwksAt,
}

/// Where a set of keys is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksAt {
    /// An address: by HTTPS, or on this machine.
    Url(String),
    /// An absolute path.
    File(String),
}

/// What a token must say to deploy an app: each of the claims must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcClaims(pub BTreeMap<String, ClaimPattern>);

/// What a claim must be. `*` stands for anything without a slash, `**` for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPattern(String);

impl ClaimPattern {
    /// Whether a text is meant. Takes time by the product of both lengths at most.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let pattern = self.0.as_bytes();
        // Which ends of the pattern so far fit the text so far.
        let mut fits = vec![false; pattern.len() + 1];
        fits[0] = true;
        pass_stars(pattern, &mut fits);
        for byte in text.bytes() {
            let mut next = vec![false; pattern.len() + 1];
            for at in (0..pattern.len()).filter(|at| fits[*at]) {
                match pattern[at] {
                    b'*' => {
                        let anything = pattern.get(at + 1) == Some(&b'*') || at > 0 && pattern[at - 1] == b'*';
                        next[at] |= anything || byte != b'/';
                    }
                    own => next[at + 1] |= own == byte,
                }
            }
            pass_stars(pattern, &mut next);
            fits = next;
        }
        fits[pattern.len()]
    }

    /// What it says before its first star.
    fn fixed(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }
}

/// A star may stand for nothing.
fn pass_stars(pattern: &[u8], fits: &mut [bool]) {
    for at in 0..pattern.len() {
        if fits[at] && pattern[at] == b'*' {
            fits[at + 1] = true;
        }
    }
}

/// `[auth.oidc]` of the server.
pub(super) fn server(mut fields: Fields<'_>) -> Option<Oidc> {
    let issuer = match fields.get("issuer") {
        None => Some(GITHUB.to_owned()),
        Some(field) => value::guarded_url(&field),
    };
    let audiences = fields.require("audience").map(|field| {
        if value::is_list(&field) {
            field.texts(MAX_AUDIENCES, MAX_TEXT)
        } else {
            field.short_text(MAX_TEXT).into_iter().collect()
        }
    });
    let (url, file) = (fields.get("jwks_url"), fields.get("jwks_file"));
    let keys = match (&url, &file) {
        (Some(url), Some(_)) => {
            url.error_hint("value-invalid", "stands beside `jwks_file`", "leave one of them out");
            None
        }
        (Some(url), None) => value::guarded_url(url).map(JwksAt::Url),
        (None, Some(file)) => value::absolute_path(file).map(JwksAt::File),
        (None, None) if issuer.as_deref() == Some(GITHUB) => Some(JwksAt::Url(format!("{GITHUB}{GITHUB_KEYS}"))),
        (None, None) => {
            let hint = "the document ISSUER/.well-known/openid-configuration names it as `jwks_uri`";
            fields.field.error_hint("key-missing", "`jwks_url` or `jwks_file` is missing", hint);
            None
        }
    };
    fields.finish();
    Some(Oidc { issuer: issuer?, audiences: audiences.filter(|audiences| !audiences.is_empty())?, keys: keys? })
}

/// `app.oidc`: one table of claims, or several of which one must fit.
pub(super) fn bindings(field: &Field<'_>) -> Vec<OidcClaims> {
    let items = if value::is_list(field) { field.items(MAX_BINDINGS) } else { vec![field.clone()] };
    items.iter().filter_map(binding).collect()
}

fn binding(field: &Field<'_>) -> Option<OidcClaims> {
    let mut claims = BTreeMap::new();
    let mut good = true;
    for (name, entry) in field.entries(MAX_CLAIMS) {
        let Some(text) = value::loose(&entry, MAX_TEXT) else {
            good = false;
            continue;
        };
        let pattern = ClaimPattern(text);
        let open = match name {
            "repository" => !pattern.fixed().contains('/'),
            "sub" => !pattern.fixed().contains([':', '/']),
            _ => WHOSE.contains(&name) && pattern.0.contains('*'),
        };
        if open {
            let hint = "say whose it is before the first `*`, as in `acme/shop` or `acme/*`";
            entry.error_hint("claim-open", format!("`{}` lets in repositories of anybody", shorten(&pattern.0)), hint);
            good = false;
        }
        claims.insert(name.to_owned(), pattern);
    }
    let has = |names: &[&str]| names.iter().any(|name| claims.contains_key(*name));
    if !good {
        return None;
    }
    if !has(&WHOSE) {
        let hint = "name `repository`, as in { repository = \"acme/shop\", ref = \"refs/heads/main\" }";
        field.error_hint("claim-missing", "says not whose tokens they are", hint);
        return None;
    }
    if !has(&WHICH) {
        let hint = "add `ref = \"refs/heads/main\"`, or `environment`";
        field.warning("claim-wide", "lets every branch of the repository deploy", hint);
    }
    Some(OidcClaims(claims))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, good: &[&str], bad: &[&str]) {
        let pattern = ClaimPattern(pattern.to_owned());
        for text in good {
            assert!(pattern.matches(text), "{pattern:?} {text}");
        }
        for text in bad {
            assert!(!pattern.matches(text), "{pattern:?} {text}");
        }
    }

    #[test]
    fn a_star_stands_for_anything_without_a_slash_and_two_for_anything() {
        check("refs/heads/main", &["refs/heads/main"], &["refs/heads/main2", "refs/heads/mai", "Refs/heads/main", ""]);
        check("refs/tags/v*", &["refs/tags/v", "refs/tags/v1.2"], &["refs/tags/v1/x", "refs/tags/w1"]);
        check("acme/*", &["acme/shop", "acme/"], &["acme", "acme/shop/x", "acmee/shop", "x/acme/shop"]);
        check("repo:acme/shop:**", &["repo:acme/shop:ref:refs/heads/a/b", "repo:acme/shop:"], &["repo:acme/shop"]);
        check("**/main", &["a/b/main", "/main"], &["main", "a/b/mainx"]);
        check("a*b*c", &["abc", "axxbyyc", "abbc"], &["ab/c", "acb"]);
        check("*", &["", "x"], &["/"]);
    }

    #[test]
    fn what_is_made_to_take_long_does_not() {
        let pattern = ClaimPattern("*a".repeat(250));
        assert!(!pattern.matches(&"a".repeat(2000).replace("aa", "ab")));
    }
}
