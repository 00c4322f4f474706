use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::ValueHint;
use skipper_edge::{
    AcmeConfig, Certificates, ChallengeKind, EdgeConfig, ExternalAccount, Limits, Network, Redirect, SharedListen,
    control_path,
};
use skipper_server::{
    config::{LogConfig, LogFormat},
    telemetry,
};

use super::Context;
use crate::{
    failure::{Done, Exit, Failure, chain},
    render::parse_span,
    surroundings::Surroundings,
};

/// Arguments of `edge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The server starts an edge by itself when none answers, and adopts the one that does; the edge outlives the server. To run
it alone, for example as a service of its own, give it the data directory of the server:

  skipper edge --data-dir /var/lib/skipper

A new edge on the same directory takes over the listening sockets of the one before, which finishes its requests and
ends: that is how it is upgraded. It knows nothing of releases: it forwards what the server told it, and remembers that
in its snapshot. SIGTERM ends it when its requests are done.")]
pub(crate) struct Edge {
    /// Data directory of the server; the edge keeps its state in `edge` below it [default: as the server's]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Control socket [default: `edge/control.sock` in the data directory]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    socket: Option<PathBuf>,
    /// Where host names are served: `auto` (80, else 8080), `off`, or an address
    #[arg(long, value_name = "ADDRESS", value_parser = parse_shared, default_value = "auto")]
    http: Shared,
    /// Where host names are served with TLS: `auto` (443, else 8443), `off`, or an address
    #[arg(long, value_name = "ADDRESS", value_parser = parse_shared, default_value = "auto")]
    https: Shared,
    /// Address that ports of routes listen on
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Folder of certificates, as `<host>.crt` and `<host>.key` [default: `edge/tls` in the data directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    tls_dir: Option<PathBuf>,
    /// Send requests without TLS to where the host is served with it: `off`, `on`, or the port by which clients reach it
    #[arg(long, value_name = "WHERE", value_parser = parse_redirect, default_value = "off")]
    redirect_https: Redirected,
    #[command(flatten)]
    acme: AcmeArgs,
    /// Peers whose X-Forwarded headers are believed, as an address or network
    #[arg(long = "trust-proxy", value_name = "NETWORK")]
    trusted_proxies: Vec<Network>,
    /// Most client connections at a time [default: 20000, and less than half of the open files that are allowed]
    #[arg(long, value_name = "NUMBER")]
    connections: Option<NonZeroUsize>,
    /// Threads that serve connections [default: one for each CPU]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<NonZeroUsize>,
    /// Longest that open requests and WebSockets get when the edge is stopped or replaced
    #[arg(long, value_name = "DURATION", value_parser = parse_span, default_value = "1h")]
    lame_duck: Duration,
    /// `text` or `json`
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    log_format: String,
    /// What is logged, as `info` or `skipper_edge=debug,info` [default: RUST_LOG, else info]
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// File that the output goes to; it is kept small
    #[arg(long, value_name = "FILE", hide = true)]
    log_file: Option<PathBuf>,
    /// What a server started it for
    #[arg(long, value_name = "WORD", hide = true)]
    origin: Option<String>,
    /// Become independent of the process that started it
    #[arg(long, hide = true)]
    detach: bool,
}

/// How certificates are ordered for host names that have none in the folder.
#[derive(Debug, clap::Args)]
struct AcmeArgs {
    /// Order certificates for host names of TLS routes at the authority with this directory
    #[arg(long, value_name = "URL", requires = "acme_terms_agreed")]
    acme_directory: Option<String>,
    /// Agree to the authority's terms
    #[arg(long, requires = "acme_directory")]
    acme_terms_agreed: bool,
    /// Address of e-mail that the authority may write to
    #[arg(long = "acme-email", value_name = "ADDRESS", requires = "acme_directory")]
    acme_emails: Vec<String>,
    /// How names are proven, `http-01` or `tls-alpn-01`, the preferred one first [default: both]
    #[arg(long = "acme-challenge", value_name = "KIND", requires = "acme_directory")]
    acme_challenges: Vec<ChallengeKind>,
    /// Certificates of authorities to trust for the directory, instead of the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "acme_directory")]
    acme_ca_file: Option<PathBuf>,
    /// Id of the key that binds the account to one that the authority knows
    #[arg(long, value_name = "ID", requires_all = ["acme_directory", "acme_eab_key_file"])]
    acme_eab_key_id: Option<String>,
    /// File that holds that key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "acme_eab_key_id")]
    acme_eab_key_file: Option<PathBuf>,
}

impl AcmeArgs {
    fn config(self, surroundings: &Surroundings) -> Option<AcmeConfig> {
        let defaults = AcmeConfig::new(self.acme_directory?);
        let external = self.acme_eab_key_id.zip(self.acme_eab_key_file);
        Some(AcmeConfig {
            contact: self.acme_emails,
            challenges: if self.acme_challenges.is_empty() { defaults.challenges } else { self.acme_challenges },
            ca_file: self.acme_ca_file.map(|file| surroundings.resolve(&file)),
            external_account: external
                .map(|(key_id, file)| ExternalAccount { key_id, key_file: surroundings.resolve(&file) }),
            ..defaults
        })
    }
}

/// Where requests without TLS are sent; an option of its own type, which clap does not take for an argument that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Redirected(Option<Redirect>);

fn parse_redirect(text: &str) -> Result<Redirected, String> {
    match text {
        "off" => Ok(Redirected(None)),
        "on" => Ok(Redirected(Some(Redirect::Listener))),
        text => match text.parse() {
            Ok(port @ 1..) => Ok(Redirected(Some(Redirect::Port(port)))),
            _ => Err(format!("`{text}` is not a port; write 443, `on` or `off`")),
        },
    }
}

/// A shared listener as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    Auto,
    Off,
    At(SocketAddr),
}

fn parse_shared(text: &str) -> Result<Shared, String> {
    match text {
        "auto" => Ok(Shared::Auto),
        "off" => Ok(Shared::Off),
        text => match text.parse() {
            Ok(address) => Ok(Shared::At(address)),
            Err(_) => Err(format!("`{text}` is not an address; write 0.0.0.0:8080, `auto` or `off`")),
        },
    }
}

impl Shared {
    fn listen(self, preferred: u16, fallback: u16) -> SharedListen {
        match self {
            Self::Auto => SharedListen::preferred(preferred, fallback),
            Self::Off => SharedListen(Vec::new()),
            Self::At(address) => SharedListen::at(address),
        }
    }
}

impl Edge {
    pub(super) fn run(self, context: &Context) -> ExitCode {
        match self.serve(&context.surroundings) {
            Ok(()) => Exit::Ok.into(),
            Err(failure) => {
                failure.print();
                failure.exit.into()
            }
        }
    }

    fn serve(self, surroundings: &Surroundings) -> Done {
        telemetry::init(&self.log(surroundings)).map_err(Failure::usage)?;
        let config = self.config(surroundings);
        let socket = config.control.display().to_string();
        skipper_edge::run(config)
            .map_err(|error| Failure::error(format!("the edge with control socket {socket}: {}", chain(&error))))
    }

    fn log(&self, surroundings: &Surroundings) -> LogConfig {
        let level = self.log_level.as_deref().or_else(|| surroundings.var("RUST_LOG")).unwrap_or("info").to_owned();
        let format = if self.log_format == "json" { LogFormat::Json } else { LogFormat::Text };
        LogConfig { format, level }
    }

    fn config(self, surroundings: &Surroundings) -> EdgeConfig {
        let data_dir = self.data_dir.map_or_else(|| surroundings.default_data_dir(), |dir| surroundings.resolve(&dir));
        let state = data_dir.join("edge");
        let defaults = EdgeConfig::new(&state);
        EdgeConfig {
            control: match self.socket {
                Some(socket) => surroundings.resolve(&socket),
                None => control_path(&state, surroundings.runtime_dir().as_deref()),
            },
            log_file: self.log_file.map(|file| surroundings.resolve(&file)),
            http: self.http.listen(80, 8080),
            https: self.https.listen(443, 8443),
            bind: self.bind,
            threads: self.threads.unwrap_or(defaults.threads),
            certificates: vec![Certificates::Folder(
                self.tls_dir.map_or_else(|| state.join("tls"), |dir| surroundings.resolve(&dir)),
            )],
            limits: Limits {
                connections: self.connections.map_or(defaults.limits.connections, NonZeroUsize::get),
                ..defaults.limits
            },
            redirect_https: self.redirect_https.0,
            acme: self.acme.config(surroundings),
            trusted_proxies: self.trusted_proxies,
            lame_duck: self.lame_duck,
            origin: self.origin,
            detach: self.detach,
            ..defaults
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_listener_is_a_word_or_an_address() {
        assert_eq!(parse_shared("auto"), Ok(Shared::Auto));
        assert_eq!(parse_shared("off"), Ok(Shared::Off));
        assert_eq!(parse_shared("127.0.0.1:0"), Ok(Shared::At(SocketAddr::from(([127, 0, 0, 1], 0)))));
        assert!(parse_shared("80").is_err());
        assert_eq!(parse_redirect("443"), Ok(Redirected(Some(Redirect::Port(443)))));
        assert!(parse_redirect("0").is_err() && parse_redirect("yes").is_err());
        assert!(Shared::Off.listen(80, 8080).0.is_empty());
    }
}
