//! `[registries.NAME]`: credentials for registries of images, for every account with a container engine; and the same within one
//! account.

use std::collections::BTreeMap;

use skipper_core::secret::SecretValue;
use skipper_platform::container::RegistryLogin;
use skipper_source::app::registry_host;

use super::{
    fault::Fault,
    merge::{Entries, Value},
    setting::nearest,
};

/// What can be said of one.
pub(super) const FIELDS: [&str; 4] = ["url", "username", "password", "token"];
/// The user of a registry for which only a token is given: registries that take tokens do not look at the name.
const TOKEN_USER: &str = "skipper";

/// Whether a field must not be shown.
pub(super) fn is_secret(field: &str) -> bool {
    matches!(field, "password" | "token")
}

/// Credentials by the host that alone gets them. `registries` are the fields by the name of the registry.
pub(super) fn build(registries: &Entries, faults: &mut Vec<Fault>) -> BTreeMap<String, RegistryLogin> {
    let mut all = BTreeMap::new();
    for (name, fields) in registries {
        for (field, value) in fields.iter().filter(|(field, _)| !FIELDS.contains(&field.as_str())) {
            let near = nearest(field, FIELDS).map_or_else(
                || "; it can be url, username, password and token".to_owned(),
                |near| format!("; did you mean `registries.{name}.{near}`?"),
            );
            let message = format!("unknown key `registries.{name}.{field}`{near}");
            faults.push(Fault { place: value.origin.to_string(), message });
        }
        all.extend(login(name, fields, faults));
    }
    all
}

/// One registry's host, and what lets in there. Fields that are none are passed over.
pub(super) fn login(
    name: &str,
    fields: &BTreeMap<String, Value>,
    faults: &mut Vec<Fault>,
) -> Option<(String, RegistryLogin)> {
    let text = |field: &str| {
        let value = fields.get(field)?;
        Some((value.text.trim(), value)).filter(|(text, _)| !text.is_empty())
    };
    let Some((password, _)) = text("password").or_else(|| text("token")) else {
        let known = fields.iter().find(|(field, _)| FIELDS.contains(&field.as_str()));
        if let Some((_, value)) = known {
            let message = format!("registry `{name}` has no password and no token");
            faults.push(Fault { place: value.origin.to_string(), message });
        }
        return None;
    };
    // The host alone decides who gets the credentials.
    let (address, at) = text("url").unwrap_or((name, text("password").or_else(|| text("token"))?.1));
    let Some(host) = registry_host(address) else {
        let message = format!("registry `{name}`: `{address}` is not the address of one; write HOST or HOST:PORT");
        faults.push(Fault { place: at.origin.to_string(), message });
        return None;
    };
    let username = text("username").map_or(TOKEN_USER, |(text, _)| text).to_owned();
    Some((host, RegistryLogin { username, password: SecretValue::new(password.to_owned()) }))
}
