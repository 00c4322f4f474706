//! What `bench/edge/run.py` runs: an edge alone, the fastest upstream that is easy to write, and the measurement of shifts.
//!
//! ```text
//! edge_bench edge DIR ADDRESS THREADS      an edge that listens on ADDRESS
//! edge_bench upstream ADDRESS BYTES        answers every request with so many bytes
//! edge_bench route SOCKET UPSTREAM         routes everything to the upstream
//! edge_bench shift SOCKET A B SHIFTS ROUTES  shifts between two upstreams, each time measuring
//! ```

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use skipper_core::{
    deployment::DeploymentId,
    generation::Generation,
    name::AppName,
    port::Router as _,
    route::{Backend, Host, Listener, Mode, PathPrefix, RouteKey, Service, ServiceId},
};
use skipper_edge::{EdgeConfig, EdgeRouter, SharedListen};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::TaskTracker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match args.as_slice() {
        ["edge", dir, address, threads] => {
            let mut config = EdgeConfig::new(Path::new(dir));
            config.http = SharedListen::at(address.parse()?);
            config.threads = threads.parse()?;
            config.lame_duck = Duration::from_secs(1);
            skipper_edge::run(config).map_err(|error| error.chain())?;
        }
        ["upstream", address, bytes] => runtime()?.block_on(upstream(address.parse()?, bytes.parse()?))?,
        ["route", socket, upstream] => {
            let router = EdgeRouter::new(PathBuf::from(socket));
            runtime()?.block_on(router.set(&service(
                0,
                None,
                upstream.parse()?,
                Generation { epoch: 0, counter: 1 },
            )))?;
        }
        ["shift", socket, a, b, shifts, routes] => {
            let router = EdgeRouter::new(PathBuf::from(socket));
            runtime()?.block_on(shift(&router, [a.parse()?, b.parse()?], shifts.parse()?, routes.parse()?))?;
        }
        _ => return Err("see the head of examples/edge_bench.rs".into()),
    }
    Ok(())
}

/// One thread, one buffer a connection, one fixed answer.
async fn upstream(address: SocketAddr, bytes: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let body = "x".repeat(bytes);
    let answer: std::sync::Arc<[u8]> = format!(
        "HTTP/1.1 200 OK\r\nserver: bench\r\ncontent-type: text/plain\r\ncontent-length: {bytes}\r\n\r\n{body}"
    )
    .into_bytes()
    .into();
    let tasks = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = answer.clone();
        tasks.spawn(async move { respond(stream, &answer).await });
    }
}

async fn respond(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let mut seen = 0;
        while !buffer[..seen].ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer[seen..]).await?;
            if count == 0 {
                return Ok(());
            }
            seen += count;
        }
        stream.write_all(answer).await?;
    }
}

fn service(number: u32, host: Option<&str>, upstream: SocketAddr, generation: Generation) -> Service {
    let key = RouteKey {
        listener: Listener::Http,
        host: host.map(|host| Host::new(host).expect("a host name")),
        path: PathPrefix::default(),
    };
    Service {
        id: ServiceId {
            release: format!("0198c3f0-0000-7000-8000-{number:012x}").parse().expect("a uuid"),
            app: AppName::new("web").expect("a name"),
        },
        label: format!("default/bench-{number}/web"),
        generation,
        routes: BTreeMap::from([("http".to_owned(), vec![key])]),
        backends: vec![Backend {
            deployment: DeploymentId::from_stored(format!("bench-{number}-{}", upstream.port())),
            revision: generation.counter,
            weight: 100,
            addresses: BTreeMap::from([("http".to_owned(), vec![upstream])]),
        }],
        mode: Mode::Open,
    }
}

/// Fills the table, then shifts the service that everybody uses, as fast as it goes.
async fn shift(
    router: &EdgeRouter,
    upstreams: [SocketAddr; 2],
    shifts: u64,
    routes: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    // Each run counts from the start again, in an epoch of its own.
    let generation = |counter| Generation { epoch: u64::from(routes), counter };
    let host = |number| format!("app-{number}.example.org");
    let others = (1..routes).map(|number| service(number, Some(&host(number)), upstreams[0], generation(1)));
    let all: Vec<Service> = others.chain([service(0, None, upstreams[0], generation(1))]).collect();
    let began = Instant::now();
    router.sync(&all).await?;
    let synced = began.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut times = Vec::new();
    for turn in 0..shifts {
        let upstream = upstreams[usize::try_from((turn + 1) % 2)?];
        let service = service(0, None, upstream, generation(turn + 2));
        let began = Instant::now();
        router.set(&service).await?;
        times.push(began.elapsed());
        // Some requests go by each state of the table.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)].as_secs_f64() * 1000.0;
    println!(
        "{{\"routes\":{routes},\"shifts\":{shifts},\"sync_ms\":{:.1},\"p50_ms\":{:.3},\"p99_ms\":{:.3},\"max_ms\":{:.3}}}",
        synced.as_secs_f64() * 1000.0,
        at(500),
        at(990),
        at(1000)
    );
    Ok(())
}
