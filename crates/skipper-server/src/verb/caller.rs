use skipper_core::{
    actor::{Actor, Provenance},
    name::TenantName,
    policy::{Action, Decision, Resource, decide},
};
use skipper_store::Once;

use crate::error::{Code, Error};

/// Who calls a verb, and through what.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Stored with everything that comes of the call.
    pub provenance: Provenance,
    /// The key of the request; an intent remembers its rollout with it.
    pub idempotency: Option<Once>,
}

impl Caller {
    /// Who it is.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.provenance.actor
    }

    /// Asks the policy about a tenant's resource.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`], or [`Code::TenantNotFound`] where the actor may not even know that it exists.
    pub fn may(&self, action: Action, tenant: &TenantName) -> Result<(), Error> {
        permit(self.actor(), action, tenant)
    }

    /// Asks the policy about the whole installation.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`].
    pub fn may_all(&self, action: Action) -> Result<(), Error> {
        permit_all(self.actor(), action)
    }

    /// Asks the policy about something whose tenant is not known yet: whether the role could do it at all.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`].
    pub fn may_any_tenant(&self, action: Action) -> Result<(), Error> {
        let own = self.actor().tenant().cloned().unwrap_or_else(TenantName::default_tenant);
        permit(self.actor(), action, &own)
    }
}

/// Asks the policy about a tenant's resource.
///
/// # Errors
///
/// As [`Caller::may`].
pub(crate) fn permit(actor: &Actor, action: Action, tenant: &TenantName) -> Result<(), Error> {
    judge(actor, action, Resource::Of(tenant), Some(tenant))
}

/// Asks the policy about the whole installation.
///
/// # Errors
///
/// As [`Caller::may_all`].
pub(crate) fn permit_all(actor: &Actor, action: Action) -> Result<(), Error> {
    judge(actor, action, Resource::Installation, None)
}

fn judge(actor: &Actor, action: Action, resource: Resource<'_>, tenant: Option<&TenantName>) -> Result<(), Error> {
    match decide(actor, action, resource) {
        Decision::Allow => Ok(()),
        Decision::Hide => {
            let name = tenant.map_or("", TenantName::as_str);
            Err(Error::new(Code::TenantNotFound, format!("there is no tenant `{name}`"))
                .hint("check the tenant, or use a token that is not scoped to another one"))
        }
        Decision::Deny => {
            let (verb, needed) = words(action);
            let scope = match (actor.tenant(), tenant) {
                (Some(own), None) => format!(" scoped to tenant `{own}`"),
                _ => String::new(),
            };
            let role = actor.role().as_str();
            Err(Error::new(Code::Forbidden, format!("{actor} is {role}{scope} and may not {verb}"))
                .hint(format!("use a token with the role {needed}")))
        }
    }
}

const fn words(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Read => ("read this", "viewer, operator or admin"),
        Action::Deploy => ("deploy", "operator or admin"),
        Action::ManagePackages => ("manage packages of the installation", "operator or admin, without a tenant"),
        Action::ManageSecrets => ("manage secrets", "operator or admin"),
        Action::ManageTokens => ("manage tokens", "admin, without a tenant"),
        Action::Administer => ("administer the server", "admin, without a tenant"),
    }
}
