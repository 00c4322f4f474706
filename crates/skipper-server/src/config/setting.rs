//! The list of settings: the only place that knows their names.

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Dotted key in `skipper.toml`.
    pub(super) key: &'static str,
    /// Environment variables, the first that is set counts.
    pub(super) env: &'static [&'static str],
    /// Whether it is a path, which is relative to where it was said.
    pub(super) path: bool,
    /// Whether its value must not be shown.
    pub(super) secret: bool,
    /// What holds when nobody says anything; empty for "not set".
    pub(super) default: &'static str,
}

const fn plain(key: &'static str, env: &'static [&'static str], default: &'static str) -> Setting {
    Setting { key, env, path: false, secret: false, default }
}

const fn path(key: &'static str, env: &'static [&'static str], default: &'static str) -> Setting {
    Setting { key, env, path: true, secret: false, default }
}

/// Every setting but `platforms.*`, `maven.repositories.*` and `repositories.NAME.*`, in the order of the documentation. The flag
/// of a setting is its key with hyphens.
pub(super) const SETTINGS: &[Setting] = &[
    plain("listen", &["SKIPPER_LISTEN"], "127.0.0.1:7577"),
    path("data_dir", &["SKIPPER_DATA_DIR", "DATA_DIR"], ""),
    Setting {
        key: "admin_token",
        env: &["SKIPPER_ADMIN_TOKEN", "ADMIN_TOKEN"],
        path: false,
        secret: true,
        default: "",
    },
    Setting { key: "secret_key", env: &["SKIPPER_SECRET_KEY"], path: false, secret: true, default: "" },
    plain("security.user.name", &["SKIPPER_SECURITY_USER_NAME"], "user"),
    Setting {
        key: "security.user.password",
        env: &["SKIPPER_SECURITY_USER_PASSWORD"],
        path: false,
        secret: true,
        default: "",
    },
    plain("security.user.role", &["SKIPPER_SECURITY_USER_ROLE"], "operator"),
    plain("security.tenant_platforms", &["SKIPPER_SECURITY_TENANT_PLATFORMS"], "*"),
    Setting { key: "database.url", env: &["SKIPPER_DATABASE"], path: false, secret: true, default: "" },
    plain("edge.http", &["SKIPPER_EDGE_HTTP"], "auto"),
    plain("edge.https", &["SKIPPER_EDGE_HTTPS"], "auto"),
    path("edge.tls_dir", &["SKIPPER_EDGE_TLS_DIR"], ""),
    plain("edge.redirect_https", &["SKIPPER_EDGE_REDIRECT_HTTPS"], "off"),
    plain("edge.acme.enabled", &["SKIPPER_EDGE_ACME_ENABLED"], "false"),
    plain("edge.acme.terms_agreed", &["SKIPPER_EDGE_ACME_TERMS_AGREED"], "false"),
    plain("edge.acme.directory", &["SKIPPER_EDGE_ACME_DIRECTORY"], skipper_edge::AcmeConfig::LETS_ENCRYPT),
    plain("edge.acme.email", &["SKIPPER_EDGE_ACME_EMAIL"], ""),
    plain("edge.acme.challenges", &["SKIPPER_EDGE_ACME_CHALLENGES"], "http-01,tls-alpn-01"),
    path("edge.acme.ca_file", &["SKIPPER_EDGE_ACME_CA_FILE"], ""),
    plain("edge.acme.eab_key_id", &["SKIPPER_EDGE_ACME_EAB_KEY_ID"], ""),
    path("edge.acme.eab_key_file", &["SKIPPER_EDGE_ACME_EAB_KEY_FILE"], ""),
    path("edge.socket", &["SKIPPER_EDGE_SOCKET"], ""),
    plain("edge.trusted_proxies", &["SKIPPER_EDGE_TRUSTED_PROXIES"], ""),
    // Below Linux' ephemeral ports (32768-60999) and apart from those of the processes behind the edge.
    plain("edge.ports", &["SKIPPER_EDGE_PORTS"], "30000-32767"),
    plain("caddy.admin", &["SKIPPER_CADDY_ADMIN"], ""),
    plain("caddy.upstream", &["SKIPPER_CADDY_UPSTREAM"], ""),
    plain("caddy.listen", &["SKIPPER_CADDY_LISTEN"], ""),
    plain("caddy.tls", &["SKIPPER_CADDY_TLS"], "auto"),
    plain("caddy.api_tls", &["SKIPPER_CADDY_API_TLS"], "auto"),
    plain("caddy.email", &["SKIPPER_CADDY_EMAIL"], ""),
    plain("caddy.ca", &["SKIPPER_CADDY_CA"], ""),
    plain("caddy.wildcards", &["SKIPPER_CADDY_WILDCARDS"], ""),
    plain("caddy.dns.provider", &["SKIPPER_CADDY_DNS_PROVIDER"], ""),
    Setting { key: "caddy.dns.options", env: &["SKIPPER_CADDY_DNS_OPTIONS"], path: false, secret: true, default: "" },
    plain("caddy.dns.propagation_delay", &["SKIPPER_CADDY_DNS_PROPAGATION_DELAY"], ""),
    plain("caddy.dns.email", &["SKIPPER_CADDY_DNS_EMAIL"], ""),
    plain("caddy.dns.ca", &["SKIPPER_CADDY_DNS_CA"], ""),
    plain("caddy.api_host", &["SKIPPER_CADDY_API_HOST"], ""),
    plain("caddy.api_upstream", &["SKIPPER_CADDY_API_UPSTREAM"], ""),
    plain("local.ports", &["SKIPPER_LOCAL_PORTS"], "20000-29999"),
    path("maven.local_repository", &["SKIPPER_MAVEN_LOCAL_REPOSITORY"], ""),
    plain("maven.offline", &["SKIPPER_MAVEN_OFFLINE"], "false"),
    plain("maven.connect_timeout", &["SKIPPER_MAVEN_CONNECT_TIMEOUT"], "10s"),
    plain("maven.request_timeout", &["SKIPPER_MAVEN_REQUEST_TIMEOUT"], "30s"),
    plain("maven.include_default_remote_repos", &["SKIPPER_MAVEN_INCLUDE_DEFAULT_REMOTE_REPOS"], "true"),
    plain("maven.checksum_policy", &["SKIPPER_MAVEN_CHECKSUM_POLICY"], "warn"),
    plain("maven.proxy.protocol", &["SKIPPER_MAVEN_PROXY_PROTOCOL"], "http"),
    plain("maven.proxy.host", &["SKIPPER_MAVEN_PROXY_HOST"], ""),
    plain("maven.proxy.port", &["SKIPPER_MAVEN_PROXY_PORT"], ""),
    plain("maven.proxy.non_proxy_hosts", &["SKIPPER_MAVEN_PROXY_NON_PROXY_HOSTS"], ""),
    plain("maven.proxy.username", &["SKIPPER_MAVEN_PROXY_USERNAME"], ""),
    Setting {
        key: "maven.proxy.password",
        env: &["SKIPPER_MAVEN_PROXY_PASSWORD"],
        path: false,
        secret: true,
        default: "",
    },
    plain("default_platform", &["SKIPPER_DEFAULT_PLATFORM"], ""),
    plain("containers.detect", &["SKIPPER_CONTAINERS_DETECT"], "true"),
    plain("containers.keep_revisions", &["SKIPPER_CONTAINERS_KEEP_REVISIONS"], "10"),
    plain("containers.keep_for", &["SKIPPER_CONTAINERS_KEEP_FOR"], "7d"),
    plain("containers.collect_every", &["SKIPPER_CONTAINERS_COLLECT_EVERY"], "10m"),
    plain("repositories.built_in", &["SKIPPER_REPOSITORIES_BUILT_IN"], "auto"),
    plain("repositories.refresh", &["SKIPPER_REPOSITORIES_REFRESH"], "15m"),
    plain("repositories.refresh_on_start", &["SKIPPER_REPOSITORIES_REFRESH_ON_START"], "true"),
    plain("boot.health_timeout", &["SKIPPER_BOOT_HEALTH_TIMEOUT"], ""),
    plain("about.name", &["SKIPPER_ABOUT_NAME"], "Skipper Server"),
    plain("about.version", &["SKIPPER_ABOUT_VERSION"], env!("CARGO_PKG_VERSION")),
    plain("about.shell_name", &["SKIPPER_ABOUT_SHELL_NAME"], "Skipper Shell"),
    plain("about.shell_version", &["SKIPPER_ABOUT_SHELL_VERSION"], env!("CARGO_PKG_VERSION")),
    plain("log.format", &["SKIPPER_LOG_FORMAT"], "text"),
    plain("log.level", &["SKIPPER_LOG_LEVEL", "RUST_LOG"], "info"),
    plain("limits.body", &["SKIPPER_LIMITS_BODY"], "1MiB"),
    plain("limits.package", &["SKIPPER_LIMITS_PACKAGE"], "16MiB"),
    plain("limits.secret", &["SKIPPER_LIMITS_SECRET"], "64KiB"),
    plain("limits.connections", &["SKIPPER_LIMITS_CONNECTIONS"], "20000"),
    plain("limits.header_timeout", &["SKIPPER_LIMITS_HEADER_TIMEOUT"], "10s"),
    plain("limits.request_timeout", &["SKIPPER_LIMITS_REQUEST_TIMEOUT"], "60s"),
    plain("limits.shutdown", &["SKIPPER_LIMITS_SHUTDOWN"], "10s"),
    plain("retention.idempotency_keys", &["SKIPPER_RETENTION_IDEMPOTENCY_KEYS"], "24h"),
];

/// The setting of that key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The known key nearest to `key`, if it is near enough to be meant.
pub(super) fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(key, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance: keys are short, so the plain table will do.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(80).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
