use std::{
    fs::File,
    net::SocketAddr,
    process::{Command, ExitCode, Stdio},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{answer, options::Options};

/// What the running sample application shares between its connections.
pub(super) struct App {
    pub(super) options: Options,
    pub(super) started: Instant,
    /// How often `/greeting` was asked.
    pub(super) greeted: AtomicU64,
    /// Cancelled when it was told to stop: streams without an end of their own end then.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// From start to end. `args` are handed on where it starts itself again.
pub(super) fn live(options: &Options, args: &[String]) -> anyhow::Result<ExitCode> {
    if options.exit_after.is_some_and(|after| after.is_zero()) {
        eprintln!("sample: ending at once with status {}, as it was told", options.exit_code);
        return Ok(ExitCode::from(options.exit_code));
    }
    if options.daemonize {
        again(args, &["--sample.daemonize=false"])?;
        println!("sample: started itself again and leaves");
        return Ok(ExitCode::SUCCESS);
    }
    if options.child {
        let child = again(&[], &["--sample.hang", "--sample.ignore-term", "--sample.child=false", "--port=0"])?;
        println!("sample: started child {child}");
    }
    let held = eat(options.memory_mib);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let code = runtime.block_on(serve(options.clone()));
    drop(held);
    code
}

/// Starts this binary again as a sample application and leaves it alone.
fn again(args: &[String], more: &[&str]) -> anyhow::Result<u32> {
    let program = std::env::current_exe().context("find the own binary")?;
    let child = Command::new(program)
        .arg("sample")
        .args(args)
        .args(more)
        .stdin(Stdio::null())
        .spawn()
        .context("start the own binary again")?;
    Ok(child.id())
}

/// Memory that is really there: each page is written.
fn eat(mib: u64) -> Vec<Vec<u8>> {
    (0..mib).map(|_| vec![1_u8; 1024 * 1024]).collect()
}

async fn serve(options: Options) -> anyhow::Result<ExitCode> {
    let term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let started = Instant::now();
    time::sleep(options.listen_after).await;
    let address = SocketAddr::new(options.address, options.port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let bound = listener.local_addr().context("ask for the own address")?;
    println!("sample {}: listening on http://{bound} as process {}", options.version, std::process::id());
    let stopped = told_to_stop(term, options.ignore_term);
    Ok(serve_on(listener, options, started, stopped).await)
}

/// Serves until `stopped`, or until it ends by itself.
pub(super) async fn serve_on(
    listener: TcpListener,
    options: Options,
    started: Instant,
    stopped: impl Future<Output = ()>,
) -> ExitCode {
    let app = Arc::new(App {
        options,
        started,
        greeted: AtomicU64::new(0),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let graceful = GracefulShutdown::new();
    let mut held = Vec::new();
    let mut stopped = std::pin::pin!(stopped);
    let mut ended = std::pin::pin!(end_by_itself(app.options.exit_after));
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            () = &mut ended => {
                eprintln!("sample: ending with status {}, as it was told", app.options.exit_code);
                return ExitCode::from(app.options.exit_code);
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if app.options.hang => held.push(stream),
                Ok((stream, peer)) => connection(stream, peer, &app, &graceful),
                // Out of descriptors, or the peer has gone: neither is the listener's end.
                Err(error) => {
                    eprintln!("sample: accept: {error}");
                    time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
    drop(listener);
    app.stop.cancel();
    app.tasks.close();
    let finished = async {
        graceful.shutdown().await;
        app.tasks.wait().await;
    };
    let in_time = time::timeout(app.options.grace, finished).await.is_ok();
    println!("sample {}: stopped{}", app.options.version, if in_time { "" } else { " with requests still open" });
    ExitCode::SUCCESS
}

fn connection(stream: TcpStream, peer: SocketAddr, app: &Arc<App>, graceful: &GracefulShutdown) {
    // Small answers leave at once; a stream that refuses the option still works.
    stream.set_nodelay(true).ok();
    let service = {
        let app = Arc::clone(app);
        service_fn(move |request: hyper::Request<Incoming>| answer::answer(Arc::clone(&app), peer, request))
    };
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    app.tasks.spawn(async move {
        // A peer that hangs up in mid-request is no news here.
        watched.await.ok();
    });
}

async fn told_to_stop(mut term: Signal, ignore: bool) {
    loop {
        term.recv().await;
        if !ignore {
            return;
        }
        println!("sample: SIGTERM ignored, as it was told");
    }
}

async fn end_by_itself(after: Option<Duration>) {
    match after {
        Some(after) => time::sleep(after).await,
        None => std::future::pending().await,
    }
}

/// Adds one to the number in the file and returns it: what outlives a revision on a volume.
pub(super) fn count(folder: &std::path::Path) -> std::io::Result<u64> {
    use std::io::{Read as _, Write as _};
    let path = folder.join("count");
    let mut text = String::new();
    match File::open(&path) {
        Ok(file) => file.take(32).read_to_string(&mut text).map(drop)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let next = text.trim().parse::<u64>().unwrap_or(0) + 1;
    let fresh = folder.join("count.new");
    File::create(&fresh)?.write_all(next.to_string().as_bytes())?;
    std::fs::rename(&fresh, &path)?;
    Ok(next)
}
