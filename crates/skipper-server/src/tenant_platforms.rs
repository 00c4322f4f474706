//! Which accounts a token that is scoped to a tenant may use.
//!
//! Whoever deploys to `local` runs programs as the user of the server, and whoever has a container engine has the host: where
//! tenants are not to be trusted that far, their tokens are kept to accounts that bound them, as nodes bound tenants' projects.

use skipper_core::{
    actor::Actor,
    spec::{Spec, Target},
};

use crate::error::{Code, Error};

/// Names of accounts; a star at the end stands for the rest of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPlatforms(Vec<String>);

impl Default for TenantPlatforms {
    /// Every account.
    fn default() -> Self {
        Self(vec!["*".to_owned()])
    }
}

impl TenantPlatforms {
    /// Names separated by commas; `none` is none of them.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self(Vec::new()));
        }
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let is_wrong = |name: &&String| name.is_empty() || name.trim_end_matches('*').contains('*');
        match names.iter().find(is_wrong) {
            Some(name) => Err(format!("`{name}` is no account; write names as docker, node:*, or `*`, or `none`")),
            None => Ok(Self(names)),
        }
    }

    /// Refuses what a token of a tenant wants on an account that is not for it; everybody else may use all.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] names the account and the setting.
    pub fn permit(&self, actor: &Actor, target: &Target) -> Result<(), Error> {
        let name = target.to_string();
        let is_meant = |known: &String| match known.strip_suffix('*') {
            Some(head) => name.starts_with(head),
            None => *known == name,
        };
        if actor.tenant().is_none() || self.0.iter().any(is_meant) {
            return Ok(());
        }
        Err(Error::new(Code::Forbidden, format!("a token of a tenant may not use platform `{name}`")).hint(format!(
            "`security.tenant_platforms` of the server is `{}`; name one of these, or ask whoever rules the server",
            if self.0.is_empty() { "none".to_owned() } else { self.0.join(", ") }
        )))
    }

    /// [`TenantPlatforms::permit`] for every application.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn permit_all(&self, actor: &Actor, spec: &Spec) -> Result<(), Error> {
        spec.applications.iter().try_for_each(|app| self.permit(actor, &app.target))
    }
}

#[cfg(test)]
mod tests {
    use skipper_core::{
        actor::Role,
        id::TokenId,
        name::{PlatformName, TenantName},
    };

    use super::*;

    #[test]
    fn names_and_their_beginnings_are_understood() {
        let of = |text: &str| TenantPlatforms::parse(text).expect("a list");
        let target = |name: &str| Target(PlatformName::new(name).expect("a name"));
        let actor = |tenant: Option<&str>| Actor::Token {
            id: TokenId::from_uuid(uuid::Uuid::nil()),
            name: "t".to_owned(),
            role: Role::Operator,
            tenant: tenant.map(|name| TenantName::new(name).expect("a name")),
        };
        for (list, allowed, refused) in [
            ("*", &["local", "node:a/docker"][..], &[][..]),
            ("none", &[], &["local", "node:a"]),
            ("docker, node:*", &["docker", "node:a", "node:a/local"], &["local", "docker-2"]),
        ] {
            for name in allowed {
                of(list).permit(&actor(Some("a")), &target(name)).expect("it is for tenants");
            }
            for name in refused {
                let error = of(list).permit(&actor(Some("a")), &target(name)).expect_err("it is not");
                assert_eq!(error.code(), Code::Forbidden);
                of(list).permit(&actor(None), &target(name)).expect("of all tenants");
            }
        }
        for wrong in ["", "a,,b", "a*b", "*x"] {
            TenantPlatforms::parse(wrong).expect_err(wrong);
        }
    }
}
