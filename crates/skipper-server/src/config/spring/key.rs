//! The keys of Spring that are known here: the only place that knows their names.

use super::rule::{Effect, Form, Part, Rule};

const fn rule(key: &'static str, effect: Effect) -> Rule {
    Rule { key, effect }
}

const fn text(key: &'static str, native: &'static str) -> Rule {
    Rule { key, effect: Effect::Native(native, Form::Text) }
}

const fn form(key: &'static str, native: &'static str, form: Form) -> Rule {
    Rule { key, effect: Effect::Native(native, form) }
}

const fn nothing(key: &'static str, why: &'static str) -> Rule {
    Rule { key, effect: Effect::Nothing(why) }
}

const ALWAYS_TRUE: &str = "states are always followed";
const OWN_SCHEMA: &str = "the database's tables are made and kept by this server itself";
const NO_TLS: &str = "this server speaks plain HTTP; let a proxy in front of it speak TLS";
const NOT_JAVA: &str = "it is about the Java program";
const OPEN_CHECKS: &str =
    "/actuator/health, /actuator/info, /healthz, /readyz and /metrics are always there, and no others";
const ALWAYS_ASKED: &str = "what a snapshot is now is asked at every install and upgrade";
const NO_CONTAINERS: &str = "it is about containers, which need an account with a container engine";
const OTHER_SERVER: &str = "it is about a web server of Java's; `limits.*` of skipper.toml bounds this one";
const OWN_CONNECTIONS: &str = "the connections to the database are this server's own affair";
const NO_CONFIG_SERVER: &str = "no configuration server is asked; write what it holds into a file";
const NO_OAUTH: &str = "OAuth2 is not supported; make tokens with `skipper token create`, or name one user";

/// A key below the server's own.
macro_rules! server {
    ($key:literal) => {
        concat!("spring.cloud.skipper.server.", $key)
    };
}

/// A key of an account of `local`, and the native option of the same name.
macro_rules! local {
    ($key:literal, $native:literal, $form:ident) => {
        rule(
            concat!("spring.cloud.skipper.server.platform.local.accounts.*.", $key),
            Effect::Native(concat!("platforms.{0}.", $native), Form::$form),
        )
    };
}

/// A key of an account of Cloud Foundry.
macro_rules! cloudfoundry {
    ($key:literal) => {
        rule(
            concat!("spring.cloud.skipper.server.platform.cloudfoundry.accounts.*.", $key),
            Effect::LeftOut("cloudfoundry"),
        )
    };
}

/// A key of an account of Kubernetes.
macro_rules! kubernetes {
    ($key:literal) => {
        rule(
            concat!("spring.cloud.skipper.server.platform.kubernetes.accounts.*.", $key),
            Effect::LeftOut("kubernetes"),
        )
    };
}

/// Every known key. The first that matches counts.
pub(super) const RULES: &[Rule] = &[
    rule("server.port", Effect::Port),
    rule("server.address", Effect::Address),
    rule("server.contextPath", Effect::Only("/")),
    rule("server.servlet.contextPath", Effect::Only("/")),
    rule("server.servlet.path", Effect::Only("/")),
    rule("spring.data.rest.basePath", Effect::Only("/api")),
    // Repositories: a list in 1.0, a map in 2.x.
    rule(server!("packageRepositories[].name"), Effect::Repository("name", Form::Text)),
    rule(server!("packageRepositories[].url"), Effect::Repository("url", Form::Text)),
    rule(server!("packageRepositories[].sourceUrl"), Effect::Repository("source_url", Form::Text)),
    rule(server!("packageRepositories[].local"), Effect::Repository("local", Form::Bool)),
    rule(server!("packageRepositories[].description"), Effect::Repository("description", Form::Text)),
    rule(server!("packageRepositories[].repoOrder"), Effect::Repository("repo_order", Form::Text)),
    text(server!("packageRepositories.*.url"), "repositories.{0}.url"),
    text(server!("packageRepositories.*.sourceUrl"), "repositories.{0}.source_url"),
    form(server!("packageRepositories.*.local"), "repositories.{0}.local", Form::Bool),
    text(server!("packageRepositories.*.description"), "repositories.{0}.description"),
    text(server!("packageRepositories.*.repoOrder"), "repositories.{0}.repo_order"),
    // Misspelt in the original; both are understood.
    form(server!("synchonizeIndexOnContextRefresh"), "repositories.refresh_on_start", Form::Bool),
    form(server!("synchronizeIndexOnContextRefresh"), "repositories.refresh_on_start", Form::Bool),
    rule(server!("enableLocalPlatform"), Effect::LocalPlatform),
    nothing(server!("enableReleaseStateUpdateService"), ALWAYS_TRUE),
    form(server!("strategies.healthcheck.timeoutInMillis"), "boot.health_timeout", Form::Millis),
    nothing(
        server!("strategies.healthcheck.sleepInMillis"),
        "health is asked every half second, which an upgrade waits for",
    ),
    // The platform `local`: an account without options, options of 1.0, options that 2.x added.
    rule(server!("platform.local.accounts.*"), Effect::Account),
    local!("workingDirectoriesRoot", "working_directories_root", Text),
    local!("deleteFilesOnExit", "delete_files_on_exit", Bool),
    local!("envVarsToInherit[?]", "env_vars_to_inherit", Text),
    local!("javaCmd", "java_cmd", Text),
    local!("shutdownTimeout", "shutdown_timeout", Seconds),
    local!("javaOpts", "java_opts", Text),
    local!("useSpringApplicationJson", "use_spring_application_json", Bool),
    local!("javaHomePath.*", "java_home_path.{1}", Text),
    local!("startupProbe.path", "startup_probe.path", Text),
    local!("healthProbe.path", "health_probe.path", Text),
    local!("debugPort", "debug_port", Text),
    local!("debugAddress", "debug_address", Text),
    local!("debugSuspend", "debug_suspend", Text),
    local!("hostname", "hostname", Text),
    local!("inheritLogging", "inherit_logging", Bool),
    nothing(server!("platform.local.accounts.*.maximumConcurrentTasks"), "no tasks are run here, only releases"),
    local!("portRange.low", "port_range.low", Text),
    local!("portRange.high", "port_range.high", Text),
    nothing(server!("platform.local.accounts.*.docker.**"), NO_CONTAINERS),
    // Cloud Foundry.
    cloudfoundry!("connection.org"),
    cloudfoundry!("connection.space"),
    cloudfoundry!("connection.url"),
    cloudfoundry!("connection.domain"),
    cloudfoundry!("connection.username"),
    cloudfoundry!("connection.password"),
    cloudfoundry!("connection.skipSslValidation"),
    cloudfoundry!("connection.clientId"),
    cloudfoundry!("connection.clientSecret"),
    cloudfoundry!("connection.loginHint"),
    cloudfoundry!("deployment.services[?]"),
    cloudfoundry!("deployment.domain"),
    cloudfoundry!("deployment.host"),
    cloudfoundry!("deployment.routes[?]"),
    cloudfoundry!("deployment.buildpack"),
    cloudfoundry!("deployment.buildpacks[?]"),
    cloudfoundry!("deployment.memory"),
    cloudfoundry!("deployment.disk"),
    cloudfoundry!("deployment.instances"),
    cloudfoundry!("deployment.healthCheck"),
    cloudfoundry!("deployment.healthCheckHttpEndpoint"),
    cloudfoundry!("deployment.healthCheckTimeout"),
    cloudfoundry!("deployment.enableRandomAppNamePrefix"),
    cloudfoundry!("deployment.appNamePrefix"),
    cloudfoundry!("deployment.apiTimeout"),
    cloudfoundry!("deployment.statusTimeout"),
    cloudfoundry!("deployment.stagingTimeout"),
    cloudfoundry!("deployment.startupTimeout"),
    cloudfoundry!("deployment.useSpringApplicationJson"),
    cloudfoundry!("deployment.deleteRoutes"),
    cloudfoundry!("deployment.autoDeleteMavenArtifacts"),
    cloudfoundry!("deployment.pushTaskAppsEnabled"),
    cloudfoundry!("deployment.javaOpts"),
    cloudfoundry!("deployment.env.**"),
    cloudfoundry!("deployment.scheduler.**"),
    // Kubernetes has far more keys than are worth a list while there is no such platform.
    kubernetes!("**"),
    rule(server!("platform.cloudfoundry.accounts.*"), Effect::LeftOut("cloudfoundry")),
    rule(server!("platform.kubernetes.accounts.*"), Effect::LeftOut("kubernetes")),
    rule(server!("platform.*.accounts"), Effect::Used),
    rule(server!("platform.*"), Effect::Used),
    rule(server!("packageRepositories"), Effect::Used),
    // Maven.
    text("maven.localRepository", "maven.local_repository"),
    form("maven.offline", "maven.offline", Form::Bool),
    form("maven.connectTimeout", "maven.connect_timeout", Form::Millis),
    form("maven.requestTimeout", "maven.request_timeout", Form::Millis),
    nothing("maven.resolvePom", "the file alone is fetched, never its POM"),
    form("maven.includeDefaultRemoteRepos", "maven.include_default_remote_repos", Form::Bool),
    nothing("maven.enableRepositoryListener", NOT_JAVA),
    nothing("maven.updatePolicy", ALWAYS_ASKED),
    text("maven.checksumPolicy", "maven.checksum_policy"),
    text("maven.remoteRepositories.*.url", "maven.repositories.{0}.url"),
    text("maven.remoteRepositories.*.auth.username", "maven.repositories.{0}.username"),
    form("maven.remoteRepositories.*.auth.password", "maven.repositories.{0}.password", Form::Secret),
    form("maven.remoteRepositories.*.policy.enabled", "maven.repositories.{0}.policy.enabled", Form::Bool),
    nothing("maven.remoteRepositories.*.policy.updatePolicy", ALWAYS_ASKED),
    text("maven.remoteRepositories.*.policy.checksumPolicy", "maven.repositories.{0}.policy.checksum_policy"),
    form(
        "maven.remoteRepositories.*.releasePolicy.enabled",
        "maven.repositories.{0}.release_policy.enabled",
        Form::Bool,
    ),
    nothing("maven.remoteRepositories.*.releasePolicy.updatePolicy", ALWAYS_ASKED),
    text(
        "maven.remoteRepositories.*.releasePolicy.checksumPolicy",
        "maven.repositories.{0}.release_policy.checksum_policy",
    ),
    form(
        "maven.remoteRepositories.*.snapshotPolicy.enabled",
        "maven.repositories.{0}.snapshot_policy.enabled",
        Form::Bool,
    ),
    nothing("maven.remoteRepositories.*.snapshotPolicy.updatePolicy", ALWAYS_ASKED),
    text(
        "maven.remoteRepositories.*.snapshotPolicy.checksumPolicy",
        "maven.repositories.{0}.snapshot_policy.checksum_policy",
    ),
    // After the others: in the environment its name could end with theirs.
    text("maven.remoteRepositories.*", "maven.repositories.{0}.url"),
    text("maven.proxy.protocol", "maven.proxy.protocol"),
    text("maven.proxy.host", "maven.proxy.host"),
    text("maven.proxy.port", "maven.proxy.port"),
    text("maven.proxy.nonProxyHosts", "maven.proxy.non_proxy_hosts"),
    text("maven.proxy.auth.username", "maven.proxy.username"),
    form("maven.proxy.auth.password", "maven.proxy.password", Form::Secret),
    nothing("maven.useWagon", "there is one way to fetch files, which needs no wagon"),
    nothing("maven.wagon.**", "there is one way to fetch files, which needs no wagon"),
    // The database.
    rule("spring.datasource.url", Effect::Database(Part::Url)),
    rule("spring.datasource.jdbcUrl", Effect::Database(Part::Url)),
    rule("spring.datasource.hikari.jdbcUrl", Effect::Database(Part::Url)),
    rule("spring.datasource.username", Effect::Database(Part::Name)),
    rule("spring.datasource.password", Effect::Database(Part::Password)),
    nothing("spring.datasource.driverClassName", "the driver follows from spring.datasource.url"),
    nothing("spring.datasource.hikari.**", OWN_CONNECTIONS),
    nothing("spring.datasource.tomcat.**", OWN_CONNECTIONS),
    nothing("spring.datasource.dbcp2.**", OWN_CONNECTIONS),
    nothing("spring.datasource.xa.**", OWN_CONNECTIONS),
    nothing("spring.datasource.type", OWN_CONNECTIONS),
    nothing("spring.datasource.name", OWN_CONNECTIONS),
    nothing("spring.datasource.platform", OWN_CONNECTIONS),
    nothing("spring.datasource.generateUniqueName", OWN_CONNECTIONS),
    nothing("spring.datasource.testOnBorrow", OWN_CONNECTIONS),
    nothing("spring.datasource.testWhileIdle", OWN_CONNECTIONS),
    nothing("spring.datasource.validationQuery", OWN_CONNECTIONS),
    nothing("spring.datasource.maxActive", OWN_CONNECTIONS),
    nothing("spring.datasource.maxIdle", OWN_CONNECTIONS),
    nothing("spring.datasource.minIdle", OWN_CONNECTIONS),
    nothing("spring.datasource.initialize", OWN_SCHEMA),
    nothing("spring.datasource.initializationMode", OWN_SCHEMA),
    nothing("spring.datasource.schema", OWN_SCHEMA),
    nothing("spring.datasource.data", OWN_SCHEMA),
    nothing("spring.datasource.continueOnError", OWN_SCHEMA),
    nothing("spring.datasource.separator", OWN_SCHEMA),
    nothing("spring.datasource.sqlScriptEncoding", OWN_SCHEMA),
    // Who may do what.
    rule("spring.security.user.name", Effect::User(Part::Name)),
    rule("spring.security.user.password", Effect::User(Part::Password)),
    rule("spring.security.user.roles[?]", Effect::User(Part::Roles)),
    rule("security.user.name", Effect::User(Part::Name)),
    rule("security.user.password", Effect::User(Part::Password)),
    rule("security.user.role[?]", Effect::User(Part::Roles)),
    nothing("security.basic.**", "a token or the user's password is always asked for where there is one"),
    nothing("spring.security.oauth2.**", NO_OAUTH),
    nothing("security.oauth2.**", NO_OAUTH),
    nothing(
        "spring.cloud.skipper.security.**",
        "what a role may do is fixed: VIEW reads, CREATE deploys, MANAGE administers",
    ),
    // What the server says about itself.
    text("info.app.name", "about.name"),
    text("info.app.version", "about.version"),
    text(server!("versionInfo.dependencies.springCloudSkipperServer.name"), "about.name"),
    text(server!("versionInfo.dependencies.springCloudSkipperServer.version"), "about.version"),
    text(server!("versionInfo.dependencies.springCloudSkipperShell.name"), "about.shell_name"),
    text(server!("versionInfo.dependencies.springCloudSkipperShell.version"), "about.shell_version"),
    nothing(server!("versionInfo.**"), "only names and versions of server and shell are told"),
    nothing("info.**", "only info.app.name and info.app.version are told"),
    rule("logging.level.**", Effect::Log),
    // Used while the rest is read.
    rule("spring.config.**", Effect::Used),
    rule("spring.profiles.**", Effect::Used),
    rule("spring.profiles", Effect::Used),
    rule("spring.application.json", Effect::Used),
    // Known, and without effect.
    nothing(server!("deployerProperties.**"), "every option of every deployer is told"),
    nothing(server!("profileapplicationlistener.ignore"), "no profile is chosen by itself"),
    nothing("server.ssl.**", NO_TLS),
    nothing("server.tomcat.**", OTHER_SERVER),
    nothing("server.jetty.**", OTHER_SERVER),
    nothing("server.undertow.**", OTHER_SERVER),
    nothing("server.netty.**", OTHER_SERVER),
    nothing("server.compression.**", OTHER_SERVER),
    nothing("server.http2.**", OTHER_SERVER),
    nothing("server.error.**", OTHER_SERVER),
    nothing("server.servlet.**", OTHER_SERVER),
    nothing("server.session.**", OTHER_SERVER),
    nothing("server.shutdown", OTHER_SERVER),
    nothing("server.connectionTimeout", OTHER_SERVER),
    nothing("server.maxHttpHeaderSize", OTHER_SERVER),
    nothing("server.useForwardHeaders", OTHER_SERVER),
    nothing("server.forwardHeadersStrategy", OTHER_SERVER),
    nothing("server.serverHeader", OTHER_SERVER),
    nothing("management.**", OPEN_CHECKS),
    nothing("endpoints.**", OPEN_CHECKS),
    nothing("logging.**", "the log goes to standard error; `log.format` of skipper.toml says how it looks"),
    nothing("spring.jpa.**", OWN_SCHEMA),
    nothing("spring.flyway.**", OWN_SCHEMA),
    nothing("flyway.**", OWN_SCHEMA),
    nothing("spring.liquibase.**", OWN_SCHEMA),
    nothing("spring.sql.**", OWN_SCHEMA),
    nothing("spring.h2.**", OWN_SCHEMA),
    nothing("spring.data.rest.**", "sizes and names of pages are those of the API"),
    nothing("spring.data.web.**", "sizes and names of pages are those of the API"),
    nothing("spring.data.jpa.**", OWN_SCHEMA),
    nothing("spring.cloud.config.**", NO_CONFIG_SERVER),
    nothing("spring.cloud.kubernetes.**", NO_CONFIG_SERVER),
    nothing("spring.cloud.skipper.client.**", "it is for clients; see `skipper config`"),
    nothing("spring.cloud.bootstrap.**", NOT_JAVA),
    nothing("spring.cloud.bus.**", NOT_JAVA),
    nothing("spring.cloud.common.**", NOT_JAVA),
    nothing("spring.cloud.compatibilityVerifier.**", NOT_JAVA),
    nothing("spring.cloud.dataflow.**", NOT_JAVA),
    nothing("spring.cloud.deployer.**", NOT_JAVA),
    nothing("spring.cloud.discovery.**", NOT_JAVA),
    nothing("spring.cloud.loadbalancer.**", NOT_JAVA),
    nothing("spring.cloud.refresh.**", NOT_JAVA),
    nothing("spring.cloud.stream.**", NOT_JAVA),
    nothing("spring.cloud.task.**", NOT_JAVA),
    nothing("spring.mvc.**", "`limits.request_timeout` of skipper.toml bounds requests"),
    nothing("spring.servlet.multipart.**", "`limits.package` of skipper.toml bounds uploads"),
    nothing("spring.http.**", "`limits.*` of skipper.toml bounds requests"),
    nothing("spring.application.**", NOT_JAVA),
    nothing("spring.main.**", NOT_JAVA),
    nothing("spring.jmx.**", NOT_JAVA),
    nothing("spring.autoconfigure.**", NOT_JAVA),
    nothing("spring.aop.**", NOT_JAVA),
    nothing("spring.banner.**", NOT_JAVA),
    nothing("spring.jackson.**", "the JSON of the API is fixed"),
    nothing("spring.output.**", NOT_JAVA),
    nothing("spring.devtools.**", NOT_JAVA),
    nothing("spring.session.**", NOT_JAVA),
    nothing("spring.statemachine.**", NOT_JAVA),
    nothing("spring.cache.**", NOT_JAVA),
    nothing("spring.messages.**", NOT_JAVA),
    nothing("spring.task.**", NOT_JAVA),
    nothing("spring.transaction.**", NOT_JAVA),
    nothing("spring.security.filter.**", NOT_JAVA),
    nothing("eureka.**", NOT_JAVA),
    nothing("ribbon.**", NOT_JAVA),
    nothing("banner.**", NOT_JAVA),
    nothing("debug", "`log.level` of skipper.toml says what is logged"),
    nothing("trace", "`log.level` of skipper.toml says what is logged"),
];
