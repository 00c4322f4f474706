//! Projects of compose: what a tenant's services come to on one node, as the spec carries them and the driver carries them out.
//!
//! A project is text (`docker-compose.yml`), variables that stand in it by name and are filled in at the effect alone
//! ([`env_file`]), and what has to be known of each service beside the text ([`Terms`]). What a text may ask of the host is decided
//! by a [`Policy`].

mod env;
mod policy;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    digest::Sha256,
    name::{SecretName, TenantName, slug},
    route::{Host, PathPrefix},
    secret::SecretValues,
    spec::{Application, Resource},
    time::Millis,
};

pub use env::{env_file, is_plain_key, key_for, read_env};
pub use policy::{Policy, Refusal, Scene, UnknownAllowance, binds, check};

/// The file that compose runs.
pub const COMPOSE_FILE: &str = "docker-compose.yml";
/// The file of its variables, which alone may hold secrets.
pub const ENV_FILE: &str = ".env";
/// The scheme of a project's address.
pub const SCHEME: &str = "compose";

/// A project as it is kept in [`Application::platform_options`]; holds no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Whose it is, where it is a tenant's own: its folder is called after the tenant then, and after the project otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// Files by their names within the project's folder, [`COMPOSE_FILE`] among them; never [`ENV_FILE`].
    pub files: BTreeMap<String, String>,
    /// The variables of [`ENV_FILE`].
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// Its services, by name.
    #[serde(default)]
    pub services: BTreeMap<String, Terms>,
}

/// What a variable of a project's environment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvValue {
    /// This text.
    Value(String),
    /// The secret of that name.
    Secret(SecretName),
}

/// What has to be known of a service beside the compose file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What it is made of, as it was written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The same by its content, where the reference says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256>,
    /// How it shows that it is healthy; where it is `None`, by running, and by its image's own check if that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Ways in through the edge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// How a service shows that it is healthy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// GET of it, from outside at the port the service is published at, is answered with 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The container's port that is asked; the first that is published when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A command that ends with status 0 in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Longest it may take to get healthy, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<u32>,
}

impl Health {
    /// Longest it may take to get healthy.
    pub const USUAL: Millis = Millis::secs(120);

    /// Longest it may take to get healthy.
    #[must_use]
    pub fn bound(&self) -> Millis {
        self.within.map_or(Self::USUAL, |seconds| Millis::secs(seconds.into()))
    }
}

/// A way in through the node's edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Host name; `None` for any.
    #[serde(default)]
    pub host: Option<Host>,
    /// The container's port that answers.
    pub port: u16,
    /// Path prefix; everything when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPrefix>,
}

/// Variables of which a secret is not known, by the names of the secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no value was given for {}", .0.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))]
pub struct SecretsMissing(pub Vec<SecretName>);

impl Project {
    /// The project of an application, as [`Project::write`] has put it there.
    ///
    /// # Errors
    ///
    /// What is wrong with the options, as a sentence.
    pub fn of(app: &Application) -> Result<Self, String> {
        let options: serde_json::Map<_, _> =
            app.platform_options.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let project: Self = serde_json::from_value(options.into())
            .map_err(|error| format!("application `{}` is no compose project: {error}", app.name))?;
        let odd = |name: &&String| name.contains(['/', '\0']) || matches!(name.as_str(), "" | "." | "..");
        if let Some(name) = project.files.keys().find(odd) {
            return Err(format!("application `{}`: `{name}` is no plain file name", app.name));
        }
        if !project.files.contains_key(COMPOSE_FILE) {
            return Err(format!("application `{}` has no {COMPOSE_FILE}", app.name));
        }
        Ok(project)
    }

    /// Puts the project into an application's options and lists what its services are made of.
    pub fn write(&self, app: &mut Application) {
        let options = serde_json::to_value(self).expect("a project is always representable as JSON");
        if let serde_json::Value::Object(options) = options {
            app.platform_options.extend(options);
        }
        app.images.extend(self.services.iter().filter(|(_, terms)| !terms.image.is_empty()).map(|(name, terms)| {
            (name.clone(), Resource { uri: format!("docker:{}", terms.image), sha256: terms.digest })
        }));
    }

    /// The variables with their values.
    ///
    /// # Errors
    ///
    /// [`SecretsMissing`] with every secret that has no value.
    pub fn variables(
        &self,
        secrets: &SecretValues,
    ) -> Result<BTreeMap<String, zeroize::Zeroizing<String>>, SecretsMissing> {
        let mut missing = Vec::new();
        let mut all = BTreeMap::new();
        for (key, value) in &self.env {
            let text = match value {
                EnvValue::Value(text) => text.clone(),
                EnvValue::Secret(name) => match secrets.get(name) {
                    Some(value) => value.expose().to_owned(),
                    None => {
                        missing.push(name.clone());
                        continue;
                    }
                },
            };
            all.insert(key.clone(), zeroize::Zeroizing::new(text));
        }
        missing.dedup();
        if missing.is_empty() { Ok(all) } else { Err(SecretsMissing(missing)) }
    }

    /// All files as they are written, [`ENV_FILE`] filled in.
    ///
    /// # Errors
    ///
    /// [`SecretsMissing`] with every secret that has no value.
    pub fn filled(&self, secrets: &SecretValues) -> Result<BTreeMap<String, String>, SecretsMissing> {
        let variables = self.variables(secrets)?;
        let text = env_file(variables.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let mut files = self.files.clone();
        files.insert(ENV_FILE.to_owned(), text);
        Ok(files)
    }

    /// All files as they may be shown: `mask` stands for every secret.
    #[must_use]
    pub fn masked(&self, mask: &str) -> BTreeMap<String, String> {
        let shown = self.env.iter().map(|(key, value)| match value {
            EnvValue::Value(text) => (key.as_str(), text.as_str()),
            EnvValue::Secret(_) => (key.as_str(), mask),
        });
        let mut files = self.files.clone();
        files.insert(ENV_FILE.to_owned(), env_file(shown));
        files
    }
}

/// What compose calls a tenant's project: the tenant's id where compose takes that for a name, else a slug of it with a hash. Two
/// tenants never share one.
#[must_use]
pub fn project_name(tenant: &str) -> String {
    const LONGEST: usize = 63;
    let fits = tenant.len() <= LONGEST
        && tenant.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && tenant.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    // Ids that end as a slug does are slugged as well, so that none is taken for another one's slug.
    let like_a_slug = tenant.rsplit_once('-').is_some_and(|(_, end)| {
        end.len() == HASH && end.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    if fits && !like_a_slug {
        return tenant.to_owned();
    }
    format!("{}-{}", slug(tenant, LONGEST - HASH - 1), &Sha256::of(tenant.as_bytes()).to_string()[..HASH])
}

/// Hex digits of a hash in a project's name.
const HASH: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projects_name_is_the_tenants_wherever_compose_takes_it() {
        for same in ["example-tenant", "a", "0_x-y", "web-deadbeef"] {
            assert_eq!(project_name(same), same);
        }
        for (other, head) in [("Acme.Shop", "acme-shop-"), ("_x", "x-"), ("é", "x-"), (&"a".repeat(200), "aaaa")] {
            let name = project_name(other);
            assert!(name.starts_with(head) && name.len() <= 63 && name != other, "{name}");
        }
        let slugged = project_name("Acme.Shop");
        assert_ne!(project_name(&slugged), slugged, "nobody can call himself that");
    }

    #[test]
    fn secrets_are_filled_in_or_all_missing_ones_are_named() {
        let secret = |name: &str| SecretName::new(name).expect("valid");
        let project = Project {
            tenant: None,
            files: BTreeMap::from([(COMPOSE_FILE.to_owned(), "services: {}\n".to_owned())]),
            env: BTreeMap::from([
                ("A".to_owned(), EnvValue::Value("x".to_owned())),
                ("B".to_owned(), EnvValue::Secret(secret("B"))),
                ("C".to_owned(), EnvValue::Secret(secret("C"))),
            ]),
            services: BTreeMap::new(),
        };
        let none = project.filled(&SecretValues::new()).expect_err("two are missing");
        assert_eq!(none.to_string(), "no value was given for `B`, `C`");
        let value = |text: &str| crate::secret::SecretValue::new(text.to_owned());
        let secrets = SecretValues::from([(secret("B"), value("b")), (secret("C"), value("c d"))]);
        let files = project.filled(&secrets).expect("all are there");
        assert!(files[ENV_FILE].contains("A=x\nB=b\nC=\"c d\"\n"), "{}", files[ENV_FILE]);
        let shown = project.masked("***");
        assert!(shown[ENV_FILE].contains("A=x\nB=\"***\"\nC=\"***\"\n"), "{}", shown[ENV_FILE]);
        let json = serde_json::to_value(&project.env).expect("JSON");
        assert_eq!(json, serde_json::json!({"A": {"value": "x"}, "B": {"secret": "B"}, "C": {"secret": "C"}}));
    }
}
