//! The apps that a directory of slip's configures, as the server works with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use skipper_core::{name::PlatformName, secret::SecretValue};
use skipper_platform::container::EngineKind;
use skipper_source::{
    Faults, Finding,
    app::{self, Backend, Directory, Environment, Held},
};

use crate::config::DirectoryTexts;

/// The platform accounts that have a container engine, and what kind that is.
pub type Engines = BTreeMap<PlatformName, EngineKind>;

/// What a directory says, with what is left of it where an app is broken.
pub struct Apps {
    server: app::Server,
    apps: BTreeMap<String, Result<app::App, Faults>>,
    texts: BTreeMap<String, String>,
    warnings: Vec<Finding>,
}

impl fmt::Debug for Apps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Texts may hold keys.
        f.debug_struct("Apps").field("apps", &self.apps.keys()).finish_non_exhaustive()
    }
}

impl Apps {
    /// Reads the texts. An app that is broken is disabled, and nothing else.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with `slip.toml`.
    pub fn load(texts: DirectoryTexts, env: &BTreeMap<String, String>) -> Result<Self, Faults> {
        Self::load_held(texts, env, &Held::new())
    }

    /// The same where apps have host names already: nobody takes them away.
    ///
    /// # Errors
    ///
    /// As [`Apps::load`].
    pub fn load_held(texts: DirectoryTexts, env: &BTreeMap<String, String>, held: &Held) -> Result<Self, Faults> {
        let directory = Directory { server: &texts.server, apps: &texts.apps, env: Environment::new(env) };
        let loaded = app::load_held(&directory, held);
        let mut warnings = loaded.warnings;
        warnings.extend(texts.unreadable);
        Ok(Self { server: loaded.server?, apps: loaded.apps, texts: texts.apps, warnings })
    }

    /// The server's file.
    #[must_use]
    pub const fn server(&self) -> &app::Server {
        &self.server
    }

    /// What is odd, and what is wrong with each app that is disabled.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        let broken = self.apps.values().filter_map(|read| read.as_ref().err());
        self.warnings.iter().chain(broken.flat_map(Faults::findings))
    }

    /// An app; with what is wrong with it where it is disabled.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Result<app::App, Faults>> {
        self.apps.get(name)
    }

    /// Whether two apps want the same host name.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        let broken = self.apps.values().filter_map(|read| read.as_ref().err());
        broken.flat_map(Faults::findings).any(|finding| finding.code == "route-taken")
    }

    /// The names of all apps, broken ones too, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.apps.keys().map(String::as_str)
    }

    /// An app's file as it was written.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(&format!("{name}.toml")).map(String::as_str)
    }

    /// `auth.secret`; `None` where it is empty, which lets nobody in.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretValue> {
        Some(&self.server.secret).filter(|secret| !secret.expose().is_empty())
    }

    /// Domains that apps have for their previews, beside the server's.
    #[must_use]
    pub fn preview_domains(&self) -> BTreeSet<String> {
        let good = self.apps.values().filter_map(|read| read.as_ref().ok());
        good.filter_map(|app| app.preview.domain.as_ref()).map(ToString::to_string).collect()
    }

    /// The platform account that an app runs on: the one that its file names, or the server's; else one of the backend that is
    /// named; else one of Podman's where there is any, as slip has it. `engines` are the accounts that there are.
    #[must_use]
    pub fn target(&self, app: Option<&app::App>, engines: &Engines) -> PlatformName {
        let usual = |kind: EngineKind| PlatformName::new(kind.word()).expect("the constant is a name");
        // The account that is called as the engine is, or the first one of that kind.
        let of = |kind: EngineKind| {
            let is_kind = |name: &&PlatformName| engines.get(*name) == Some(&kind);
            Some(&usual(kind)).filter(is_kind).or_else(|| engines.keys().find(is_kind)).cloned()
        };
        if let Some(account) = app.and_then(|app| app.account.as_ref()) {
            return account.clone();
        }
        match &self.server.backend {
            Backend::Account(name) => name.clone(),
            Backend::Docker => of(EngineKind::Docker).unwrap_or_else(|| usual(EngineKind::Docker)),
            Backend::Podman => of(EngineKind::Podman).unwrap_or_else(|| usual(EngineKind::Podman)),
            Backend::Auto => {
                of(EngineKind::Podman).or_else(|| of(EngineKind::Docker)).unwrap_or_else(|| usual(EngineKind::Docker))
            }
        }
    }
}
