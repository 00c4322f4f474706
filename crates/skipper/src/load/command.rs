use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use http::Uri;
use tokio::time;

use super::{Load, Mix, Target};

/// Puts load on an application on this machine, and counts what went wrong.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadArgs {
    /// What short requests ask for, as http://127.0.0.1:8080/greeting; the address must be this machine's own
    pub(crate) url: String,
    /// The Host header, where it is not the URL's
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// How long, in seconds; at most an hour
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Ends after that many short requests, if that is sooner
    #[arg(long, value_name = "NUMBER")]
    pub(crate) requests: Option<u64>,
    /// Users that keep their connection
    #[arg(long, value_name = "USERS", default_value_t = 8)]
    pub(crate) keep_alive: usize,
    /// Users that open a connection for each request
    #[arg(long, value_name = "USERS", default_value_t = 0)]
    pub(crate) fresh: usize,
    /// Users of HTTP/2 with prior knowledge
    #[arg(long, value_name = "USERS", default_value_t = 0)]
    pub(crate) http2: usize,
    /// WebSockets (the sample application's /ws)
    #[arg(long, value_name = "USERS", default_value_t = 0)]
    pub(crate) websockets: usize,
    /// Readers of server-sent events (/events)
    #[arg(long, value_name = "USERS", default_value_t = 0)]
    pub(crate) events: usize,
    /// Users that download (/download)
    #[arg(long, value_name = "USERS", default_value_t = 0)]
    pub(crate) downloads: usize,
    /// Users that upload (/upload)
    #[arg(long, value_name = "USERS", default_value_t = 0)]
    pub(crate) uploads: usize,
    /// Size of a download
    #[arg(long, value_name = "BYTES", default_value_t = 8 * 1024 * 1024)]
    pub(crate) download_bytes: u64,
    /// Speed of a download in bytes a second; 0 is as fast as it goes
    #[arg(long, value_name = "BYTES", default_value_t = 2 * 1024 * 1024)]
    pub(crate) download_rate: u64,
    /// Size of an upload
    #[arg(long, value_name = "BYTES", default_value_t = 8 * 1024 * 1024)]
    pub(crate) upload_bytes: u64,
    /// Pause of a user between two requests, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) pause: u64,
    /// Prints the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Most users of one kind: each is a connection, and descriptors end.
const MAX_USERS: usize = 10_000;

/// Longest run.
const MAX_SECONDS: f64 = 3600.0;

/// Longest that what was begun may take to finish once the time is over.
const FINISH: Duration = Duration::from_secs(60);

/// Runs the load and prints the report: status 0 when nothing failed, 1 when something did, 2 for a wrong argument.
///
/// Builds a runtime of its own, so call it outside of one.
pub(crate) fn run(args: &LoadArgs) -> ExitCode {
    match run_checked(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run_checked(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let (target, mix) = (args.target()?, args.mix()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let report = runtime.block_on(async {
        let load = Load::start(target, mix);
        time::timeout(Duration::from_secs_f64(args.seconds), load.used_up()).await.ok();
        load.finish(FINISH).await
    });
    if args.json {
        println!("{}", serde_json::to_string(&report).context("write the report")?);
    } else {
        print!("{report}");
    }
    Ok(if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl LoadArgs {
    fn target(&self) -> anyhow::Result<Target> {
        let uri: Uri = self.url.parse().with_context(|| format!("`{}` is not a URL", self.url))?;
        let authority = uri.authority().with_context(|| format!("`{}` names no host", self.url))?;
        anyhow::ensure!(uri.scheme_str() == Some("http"), "only http:// is spoken here, not `{}`", self.url);
        let port = authority.port_u16().unwrap_or(80);
        let name = authority.host().trim_matches(['[', ']']);
        let address: SocketAddr = (name, port)
            .to_socket_addrs()
            .with_context(|| format!("resolve `{name}`"))?
            .find(|address| address.ip().is_loopback())
            .with_context(|| format!("`{name}` is not this machine: load goes to loopback addresses only"))?;
        let host = self.host.clone().unwrap_or_else(|| authority.to_string());
        http::HeaderValue::from_str(&host).with_context(|| format!("`{host}` cannot be a Host header"))?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        Ok(Target { address, host, path })
    }

    fn mix(&self) -> anyhow::Result<Mix> {
        anyhow::ensure!(
            self.seconds > 0.0 && self.seconds <= MAX_SECONDS,
            "--seconds is more than 0 and at most {MAX_SECONDS}"
        );
        let users =
            [self.keep_alive, self.fresh, self.http2, self.websockets, self.events, self.downloads, self.uploads];
        anyhow::ensure!(users.iter().all(|users| *users <= MAX_USERS), "at most {MAX_USERS} users of a kind");
        anyhow::ensure!(users.iter().any(|users| *users > 0), "no user of any kind: there would be no load");
        Ok(Mix {
            keep_alive: self.keep_alive,
            fresh: self.fresh,
            http2: self.http2,
            websockets: self.websockets,
            events: self.events,
            downloads: self.downloads,
            uploads: self.uploads,
            pause: Duration::from_millis(self.pause),
            download_bytes: self.download_bytes,
            download_rate: self.download_rate,
            upload_bytes: self.upload_bytes,
            requests: self.requests,
        })
    }
}
