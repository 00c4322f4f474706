//! `slip.toml` of a server.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use serde_json::{Map, Value};
use skipper_core::{name::PlatformName, route::Host, secret::SecretValue, time::Millis};

use super::{
    callbacks::{self, Callbacks},
    databases::{self, DatabaseProvider},
    expand::{self, Environment},
    oidc::{self, Oidc},
    text, units,
    value::{self, Resources},
};
use crate::{
    fields::{Document, Field, Fields},
    finding::{Faults, Finding},
    yaml::shorten,
};

const DEFAULT_LISTEN: &str = "0.0.0.0:7890";
const DEFAULT_ADMIN: &str = "http://localhost:2019";
const DEFAULT_STORAGE: &str = "/var/lib/slip";
/// The registry that `registry.ghcr_token` is for; slip sends it to whatever registry an image names.
const GHCR: &str = "ghcr.io";

/// What `slip.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// `server.public_url`: where the API is to its callers.
    pub public: Option<String>,
    /// Caddy; without the table the edge itself serves host names.
    pub caddy: Option<Caddy>,
    /// Key of webhooks of apps that have none, and bearer of the management API.
    pub secret: SecretValue,
    /// Whose tokens may deploy; nobody's when `None`.
    pub oidc: Option<Oidc>,
    /// Credentials, each for one registry. `registry.ghcr_token` is the one named `ghcr`.
    pub registries: Vec<Registry>,
    /// Folder of a slip to be taken over, and of what is kept in files.
    pub storage: String,
    /// Which container engine.
    pub backend: Backend,
    /// Previews, where they are to be had.
    pub preview: Option<ServerPreview>,
    /// What holds for deploys of all apps.
    pub deploy: ServerDeploy,
    /// `[callbacks]`: who is told of all apps.
    pub callbacks: Callbacks,
    /// `[databases.NAME]`: who makes branches of databases for previews.
    pub databases: Vec<DatabaseProvider>,
}

/// `[caddy]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Caddy {
    /// Address of its admin API.
    pub admin_api: String,
    /// Account of ACME for host names of apps.
    pub acme_email: Option<String>,
    /// Directory of another certificate authority.
    pub acme_ca: Option<String>,
    /// Wildcard certificates for previews.
    pub tls: Option<CaddyTls>,
}

/// `[caddy.tls]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CaddyTls {
    /// Account of ACME.
    pub email: String,
    /// Caddy's module for DNS-01.
    pub dns_provider: String,
    /// What that module is told beside its name; passed through.
    pub dns_provider_config: Hidden,
    /// As it was written; it is a duration.
    pub propagation_delay: String,
    /// Whether certificates come from Let's Encrypt's staging.
    pub staging: bool,
}

/// Settings that may hold credentials and that `Debug` does not show.
#[derive(Clone, Default, PartialEq)]
pub struct Hidden(pub Map<String, Value>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hidden({} keys)", self.0.len())
    }
}

/// `[registries.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Its name in the file.
    pub name: String,
    /// `HOST` or `HOST:PORT`, as it begins the names of images.
    pub host: String,
    /// User; `slip` where none is named.
    pub username: String,
    /// Token or password; goes to `host` alone.
    pub token: Option<SecretValue>,
}

/// `runtime.backend`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Backend {
    /// Podman where its socket answers, else Docker.
    #[default]
    Auto,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// The platform account of that name.
    Account(PlatformName),
}

/// `[preview]` of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPreview {
    /// A preview's host name is `ID.DOMAIN`.
    pub domain: Host,
    /// Most previews of an app at a time; 0 forbids them.
    pub max_per_app: Option<u32>,
    /// How long one lives that says nothing of it; for ever when `None`.
    pub default_ttl: Option<Millis>,
    /// Most that one may have.
    pub limits: Resources,
}

/// `[deploy]` of the server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerDeploy {
    /// Longest deploy of an app that says nothing of it.
    pub timeout: Option<Millis>,
    /// The same of a preview.
    pub preview_timeout: Option<Millis>,
    /// Host name under which webhooks are received.
    pub domain: Option<Host>,
    /// How that host name gets its certificate from Caddy.
    pub tls: DeployTls,
}

/// `deploy.tls`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeployTls {
    /// As every other host name.
    #[default]
    Auto,
    /// From Caddy's own authority.
    Internal,
    /// Not at all: it is reached without TLS, past Caddy.
    Off,
}

impl Server {
    /// Where the API is to its callers, without a slash at its end: `server.public_url`, else `deploy.domain`, by HTTPS where a Caddy
    /// in front leads it here. `is_led`: whether there is one; without it nobody answers that name by TLS.
    #[must_use]
    pub fn public_url(&self, is_led: bool) -> Option<String> {
        let is_plain = self.deploy.tls == DeployTls::Off;
        let scheme = if is_plain { "http" } else { "https" };
        let domain = self.deploy.domain.as_ref().filter(|_| is_led || is_plain);
        self.public.clone().or_else(|| Some(format!("{scheme}://{}", domain?)))
    }

    /// Who makes branches of databases and goes by that name.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<DatabaseProvider> {
        let named = self.databases.iter().find(|provider| provider.name == name);
        named.cloned().or_else(|| DatabaseProvider::known(name))
    }
}

/// Reads the text; with the warnings.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn server(file: &str, text: &str, env: Environment<'_>) -> Result<(Server, Vec<Finding>), Faults> {
    let node = text::parse(file, text)?;
    let document = Document::lenient(file);
    let server = Field::root(&document, &node).fields().and_then(|fields| top(fields, env));
    let warnings = document.into_findings().into_result()?;
    server.map(|server| (server, warnings)).ok_or_else(|| {
        // Every way to nothing has noted an error; should one not have, it is better said here than taken for success.
        Finding::error("document-invalid", "not the configuration of a server").in_file(file).into()
    })
}

fn top(mut fields: Fields<'_>, env: Environment<'_>) -> Option<Server> {
    let server = required(&mut fields, "server");
    let (listen, public) = server.map(listen).unwrap_or_default();
    let caddy = fields.get("caddy").map(|field| field.fields().and_then(caddy_table));
    let (secret, oidc) = required(&mut fields, "auth").map(|auth| auth_table(auth, env)).unwrap_or_default();
    let registries = registries(&mut fields, env);
    let storage = required(&mut fields, "storage").and_then(|mut storage| {
        let path = match storage.get("path") {
            Some(field) => value::plain(&field, 1024),
            None => Some(DEFAULT_STORAGE.to_owned()),
        };
        storage.finish();
        path
    });
    let backend = value::table(&mut fields, "runtime").map_or(Some(Backend::Auto), backend);
    let preview = fields.get("preview").map(|field| field.fields().and_then(preview));
    let is_led = caddy.is_some() || public.is_some();
    let deploy = value::table(&mut fields, "deploy").map(|table| deploy(table, is_led)).unwrap_or_default();
    let callbacks = value::table(&mut fields, "callbacks").map(|table| callbacks::read(table, env)).unwrap_or_default();
    let databases = fields.get("databases").map(|field| databases::read(&field, env)).unwrap_or_default();
    fields.finish();
    Some(Server {
        listen: listen?,
        public,
        caddy: match caddy {
            None => None,
            Some(read) => Some(read?),
        },
        secret: secret?,
        oidc: match oidc {
            None => None,
            Some(read) => Some(read?),
        },
        registries,
        storage: storage?,
        backend: backend?,
        preview: match preview {
            None => None,
            Some(read) => Some(read?),
        },
        deploy,
        callbacks,
        databases,
    })
}

/// A table that must be there, and may be empty.
fn required<'a>(fields: &mut Fields<'a>, key: &'static str) -> Option<Fields<'a>> {
    match fields.get(key) {
        Some(field) => field.fields(),
        None => {
            missing(fields, key);
            None
        }
    }
}

pub(super) fn missing(fields: &Fields<'_>, key: &str) {
    let hint = format!("write the table [{key}]; it may be empty");
    let hint = if key == "auth" { "write the table [auth] with `secret`".to_owned() } else { hint };
    fields.field.error_hint("table-missing", format!("missing field `{key}`"), hint);
}

fn listen(mut fields: Fields<'_>) -> (Option<SocketAddr>, Option<String>) {
    let address = match fields.get("listen") {
        None => DEFAULT_LISTEN.parse().ok(),
        Some(field) => value::plain(&field, 255).and_then(|text| {
            let parsed = text.parse().ok();
            if parsed.is_none() {
                let message = format!("`{}` is not an address", shorten(&text));
                field.error_hint("value-invalid", message, "write IP:PORT, as in 127.0.0.1:7890");
            }
            parsed
        }),
    };
    let public = fields.get("public_url").and_then(|field| url(&field));
    fields.finish();
    (address, public)
}

/// The key, and `[auth.oidc]`: `Some(None)` where that is wrong.
fn auth_table(mut auth: Fields<'_>, env: Environment<'_>) -> (Option<SecretValue>, Option<Option<Oidc>>) {
    let secret = auth.require("secret").and_then(|field| expand::secret(&field, env));
    let oidc = auth.get("oidc").map(|field| field.fields().and_then(oidc::server));
    auth.finish();
    (secret, oidc)
}

fn caddy_table(mut fields: Fields<'_>) -> Option<Caddy> {
    let admin_api = match fields.get("admin_api") {
        Some(field) => admin(&field),
        None => Some(DEFAULT_ADMIN.to_owned()),
    };
    let acme_email = fields.get("acme_email").and_then(|field| email(&field));
    let acme_ca = fields.get("acme_ca").and_then(|field| url(&field));
    let tls = fields.get("tls").map(|field| field.fields().and_then(caddy_tls));
    fields.finish();
    let tls = match tls {
        None => None,
        Some(read) => Some(read?),
    };
    Some(Caddy { admin_api: admin_api?, acme_email, acme_ca, tls })
}

fn caddy_tls(mut fields: Fields<'_>) -> Option<CaddyTls> {
    let email = fields.require("email").and_then(|field| email(&field));
    let dns_provider = fields.require("dns_provider").and_then(|field| value::plain(&field, 255));
    let config = fields.get("dns_provider_config").map(|field| {
        // Caddy fills in its own `{env.NAME}`; a table of anything is passed on as it is.
        field.entries(100);
        field.node.to_value()
    });
    let delay = fields.get("propagation_delay");
    let propagation_delay = match &delay {
        None => Some("2m".to_owned()),
        Some(field) => field.parsed(|text| units::parse_duration(&text).map(|_| text)),
    };
    let staging = value::truth(&mut fields, "staging").unwrap_or(false);
    fields.finish();
    let config = match config {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    Some(CaddyTls {
        email: email?,
        dns_provider: dns_provider?,
        dns_provider_config: Hidden(config),
        propagation_delay: propagation_delay?,
        staging,
    })
}

/// `http://HOST[:PORT][/PATH]`, or a socket as Caddy writes it.
fn admin(field: &Field<'_>) -> Option<String> {
    match field.text() {
        Some(text) if text.strip_prefix("unix/").is_some_and(|path| path.starts_with('/') && path.len() > 1) => {
            Some(text)
        }
        _ => url(field),
    }
}

/// `http://HOST[:PORT][/PATH]`.
pub(super) fn url(field: &Field<'_>) -> Option<String> {
    let text = value::plain(field, 2048)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let bracketed = authority.and_then(|a| a.strip_prefix('[')).is_some_and(|a| a.contains(']'));
    let good = authority.is_some_and(|authority| bracketed || value::is_authority(authority));
    if !good || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let message = format!("`{}` is not an address of HTTP", shorten(&text));
        field.error_hint("value-invalid", message, format!("write it as {DEFAULT_ADMIN}"));
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn email(field: &Field<'_>) -> Option<String> {
    let text = value::plain(field, 255)?;
    let good = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !good || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        field.error("value-invalid", format!("`{}` is not an address of mail", shorten(&text)));
        return None;
    }
    Some(text)
}

/// `[registry]` and `[registries.NAME]`. The first must be there unless the second is.
fn registries(fields: &mut Fields<'_>, env: Environment<'_>) -> Vec<Registry> {
    let mut found: BTreeMap<String, Registry> = BTreeMap::new();
    let several = fields.get("registries");
    match fields.get("registry") {
        None if several.is_none() => missing(fields, "registry"),
        None => {}
        Some(field) => {
            if let Some(mut table) = field.fields() {
                if let Some(token) = table.get("ghcr_token").and_then(|field| expand::secret(&field, env)) {
                    let registry = Registry {
                        name: "ghcr".to_owned(),
                        host: GHCR.to_owned(),
                        username: "slip".to_owned(),
                        token: Some(token),
                    };
                    found.insert(GHCR.to_owned(), registry);
                }
                table.finish();
            }
        }
    }
    for (name, entry) in several.map(|field| field.entries(value::MAX_ITEMS)).unwrap_or_default() {
        let Some(mut table) = entry.fields() else { continue };
        let url = table.get("url");
        let host = match &url {
            Some(field) => value::plain(field, 512).and_then(|text| {
                let host = registry_host(&text);
                if host.is_none() {
                    let message = format!("`{}` is not the address of a registry", shorten(&text));
                    field.error_hint("value-invalid", message, "write HOST or HOST:PORT, as in ghcr.io");
                }
                host
            }),
            None => {
                entry.error("key-missing", "`url` is missing");
                None
            }
        };
        let username = table.get("username").and_then(|field| expand::secret(&field, env));
        let token = table.get("token").and_then(|field| expand::secret(&field, env));
        table.finish();
        let Some(host) = host else { continue };
        let username = username.map_or_else(|| "slip".to_owned(), |name| name.expose().to_owned());
        let registry = Registry { name: name.to_owned(), host: host.clone(), username, token };
        if let Some(other) = found.insert(host, registry) {
            let hint = "leave one of them out";
            entry.warning(
                "registry-twice",
                format!("takes the place of `{}`, for the same registry", other.name),
                hint,
            );
        }
    }
    found.into_values().collect()
}

/// The host of a registry as it begins the names of images, of its address: `ghcr.io` of `https://GHCR.io/v2`. `None` for what is no
/// address.
#[must_use]
pub fn registry_host(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    // Docker Hub goes by several names; images without a registry are its.
    let host = match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io".to_owned(),
        _ => host,
    };
    value::is_authority(&host).then_some(host)
}

fn backend(mut fields: Fields<'_>) -> Option<Backend> {
    let backend = match fields.get("backend") {
        None => Some(Backend::Auto),
        Some(field) => field.text().and_then(|word| match word.as_str() {
            "auto" => Some(Backend::Auto),
            "docker" => Some(Backend::Docker),
            "podman" => Some(Backend::Podman),
            name => match PlatformName::new(name) {
                Ok(name) => Some(Backend::Account(name)),
                Err(_) => field.expected("`auto`, `docker`, `podman` or the name of a platform account"),
            },
        }),
    };
    fields.finish();
    backend
}

fn preview(mut fields: Fields<'_>) -> Option<ServerPreview> {
    let domain = fields.require("domain").and_then(|field| value::domain(&field));
    let max_per_app = fields.get("max_per_app").and_then(|field| field.whole32(0, 1_000_000));
    let default_ttl = value::bound(&mut fields, "default_ttl");
    let memory = fields.get("max_memory").and_then(|field| value::memory(&field));
    let cpus = fields.get("max_cpus").and_then(|field| value::cpus(&field));
    fields.finish();
    Some(ServerPreview { domain: domain?, max_per_app, default_ttl, limits: Resources { memory, cpus } })
}

fn deploy_tls(field: &Field<'_>) -> Option<DeployTls> {
    match field.node.to_value() {
        Value::Bool(true) => Some(DeployTls::Auto),
        Value::Bool(false) => Some(DeployTls::Off),
        Value::String(word) => match word.as_str() {
            "auto" => Some(DeployTls::Auto),
            "internal" => Some(DeployTls::Internal),
            "off" => Some(DeployTls::Off),
            _ => field.expected("`auto`, `internal` or `off`"),
        },
        _ => field.expected("`auto`, `internal` or `off`"),
    }
}

fn deploy(mut fields: Fields<'_>, is_led: bool) -> ServerDeploy {
    let timeout = value::bound(&mut fields, "timeout");
    let preview_timeout = value::bound(&mut fields, "preview_timeout");
    let named = fields.get("domain");
    let domain = named.as_ref().and_then(value::domain);
    let tls = fields.get("tls").and_then(|field| deploy_tls(&field)).unwrap_or_default();
    fields.finish();
    if let Some(field) = named.filter(|_| domain.is_some() && !is_led && tls != DeployTls::Off) {
        field.warning(
            "domain-not-led",
            "no Caddy is named under [caddy] that would lead this name to the API, and the edge does not",
            "name it there; or say in `server.public_url` where the API is to its callers; or leave the name out",
        );
    }
    ServerDeploy { timeout, preview_timeout, domain, tls }
}
