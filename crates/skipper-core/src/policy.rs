//! The one function that says who may do what. Deny is the default.

use crate::{
    actor::{Actor, Role},
    name::TenantName,
};

/// What somebody wants to do, in kinds that a role can be judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read releases, revisions, plans, packages, platforms, events, logs, metrics.
    Read,
    /// Install, upgrade, roll back, delete, scale, cancel.
    Deploy,
    /// Upload or remove packages, add or remove repositories.
    ManagePackages,
    /// List secrets (names and versions), set or remove them. Values are never read back.
    ManageSecrets,
    /// Create, list or revoke tokens.
    ManageTokens,
    /// Take a backup, hold or release routes, change the server itself.
    Administer,
}

/// Every action, for tests that must cover all of them.
pub const ACTIONS: [Action; 6] = [
    Action::Read,
    Action::Deploy,
    Action::ManagePackages,
    Action::ManageSecrets,
    Action::ManageTokens,
    Action::Administer,
];

/// Whose resource it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A tenant's own resource.
    Of(&'a TenantName),
    /// Something of the whole installation: tokens, packages of the shared repositories, platforms, backup.
    Installation,
}

/// The answer of [`decide`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead.
    Allow,
    /// The actor may know that the resource exists, but not do this.
    Deny,
    /// The resource is another tenant's: answer as if it did not exist.
    Hide,
}

/// Decides. Pure: the same question always has the same answer.
#[must_use]
pub fn decide(actor: &Actor, action: Action, resource: Resource<'_>) -> Decision {
    // What a node may do is a matter of its own orders, which name it.
    if matches!(actor, Actor::Node { .. }) {
        return Decision::Deny;
    }
    if let (Some(own), Resource::Of(owner)) = (actor.tenant(), resource)
        && own != owner
    {
        return Decision::Hide;
    }
    let scoped = actor.tenant().is_some();
    let allowed = match (actor.role(), action) {
        // A tenant's administrator rules the tenant, not the installation.
        (Role::Admin | Role::Operator, Action::ManagePackages) => !scoped || matches!(resource, Resource::Of(_)),
        (Role::Admin, Action::ManageTokens | Action::Administer) => !scoped,
        (Role::Admin | Role::Operator, Action::Read | Action::Deploy | Action::ManageSecrets)
        | (Role::Viewer, Action::Read) => true,
        (Role::Operator, Action::ManageTokens | Action::Administer) | (Role::Viewer, _) => false,
    };
    if allowed { Decision::Allow } else { Decision::Deny }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TokenId;

    fn token(role: Role, tenant: Option<&str>) -> Actor {
        Actor::Token {
            id: TokenId::from_uuid(uuid::Uuid::nil()),
            name: "t".into(),
            role,
            tenant: tenant.map(|t| TenantName::new(t).expect("valid")),
        }
    }

    #[test]
    fn a_foreign_tenant_is_hidden_whatever_the_role_and_action() {
        let other = TenantName::new("other").expect("valid");
        for role in [Role::Admin, Role::Operator, Role::Viewer] {
            for action in ACTIONS {
                assert_eq!(decide(&token(role, Some("mine")), action, Resource::Of(&other)), Decision::Hide);
            }
        }
    }

    #[test]
    fn a_node_may_do_nothing_that_people_do() {
        let own = TenantName::new("mine").expect("valid");
        let node = Actor::Node { node: crate::name::NodeName::new("host-1").expect("valid") };
        for action in ACTIONS {
            for resource in [Resource::Of(&own), Resource::Installation] {
                assert_eq!(decide(&node, action, resource), Decision::Deny);
            }
        }
    }

    #[test]
    fn a_viewer_only_reads_and_a_scoped_admin_does_not_rule_the_installation() {
        let own = TenantName::new("mine").expect("valid");
        for action in ACTIONS {
            let viewer = decide(&token(Role::Viewer, Some("mine")), action, Resource::Of(&own));
            assert_eq!(viewer == Decision::Allow, action == Action::Read, "{action:?}");
        }
        for action in [Action::ManagePackages, Action::ManageTokens, Action::Administer] {
            assert_eq!(decide(&token(Role::Admin, Some("mine")), action, Resource::Installation), Decision::Deny);
            assert_eq!(decide(&token(Role::Admin, None), action, Resource::Installation), Decision::Allow);
        }
    }
}
