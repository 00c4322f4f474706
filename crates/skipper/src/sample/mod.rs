//! The sample application: what the demo, the tests and the first five minutes of a new user run.
//!
//! It is an ordinary HTTP server on one thread that can be told to misbehave, so that every kind of bad luck can be
//! shown with the binary alone. It takes its settings as a Spring Boot application would (`--server.port=8080`,
//! `SERVER_PORT`) and as a twelve-factor one would (`PORT`). It knows nothing of Skipper.

mod answer;
mod lifecycle;
mod options;
mod stream;
pub(crate) mod websocket;

use options::{HELP, Options};
pub(crate) use stream::byte_at;

use std::{ffi::OsString, process::ExitCode};

/// Runs the sample application until it is told to stop, and returns its exit status.
///
/// `args` are those after `skipper sample`. It builds a single-threaded runtime of its own, so call it outside of one.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(&args, |name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("sample: {error}");
            return ExitCode::from(2);
        }
    };
    match lifecycle::live(&options, &args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sample: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Serves in this process on a free port of the loopback until `stopped`, for tests: `args` as [`run`] takes them.
#[cfg(test)]
pub(crate) async fn serve_for_test(
    args: &[&str],
    stopped: impl Future<Output = ()> + Send + 'static,
) -> (std::net::SocketAddr, tokio_util::task::TaskTracker) {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let options = Options::read(&args, |_| None).expect("the test's arguments are valid");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(async move {
        lifecycle::serve_on(listener, options, std::time::Instant::now(), stopped).await;
    });
    tasks.close();
    (address, tasks)
}
