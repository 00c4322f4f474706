//! What tests stand on: a folder with a server in it, the command line, and requests through the edge.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Longest that anything in a test may take. Everything takes milliseconds on a quiet machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Standard output of a command that must have worked.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.out
    }

    /// Standard error of a command that must have ended with that code.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self.err
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// The program with nothing of the environment of whoever runs the tests.
pub(crate) fn skipper(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skipper"));
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir(home);
    // What engines this machine has must not matter to a test that does not ask for one.
    command.env("SKIPPER_CONTAINERS_DETECT", "false");
    command
}

/// Runs it to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs it with that text on standard input.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin: ChildStdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A process whose standard error is read line by line while it runs.
pub(crate) struct Watched {
    pub(crate) child: Child,
    pub(crate) lines: Receiver<String>,
}

impl Watched {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that holds that text, and returns it.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> String {
        let (until, mut seen) = (Instant::now() + LONG, Vec::new());
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with `{text}` came: {seen:#?}");
    }

    /// The exit code, once it has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> i32 {
        let until = Instant::now() + LONG;
        loop {
            match self.child.try_wait().expect("it can be waited for") {
                Some(status) => return status.code().unwrap_or(-1),
                None if Instant::now() > until => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// A data directory with a server on it.
pub(crate) struct Bench {
    dir: TempDir,
    server: Option<Watched>,
    url: String,
    ports: String,
    _claim: fs::File,
    more: Vec<String>,
}

/// Ports of the edges of tests that run beside one another must not meet, whoever runs them, nor those the kernel gives out by
/// itself. They are this test's for as long as the file is open.
fn ports() -> (String, fs::File) {
    const SLOTS: u32 = 276;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let folder = std::env::temp_dir().join("skipper-it-ports");
    fs::create_dir_all(&folder).expect("made");
    for _ in 0..SLOTS {
        let slot = (std::process::id() * 40 + NEXT.fetch_add(1, Ordering::Relaxed)) % SLOTS;
        let path = folder.join(slot.to_string());
        let claim = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).expect("opened");
        if rustix::fs::flock(&claim, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            return (format!("{}-{}", 30_000 + slot * 10, 30_009 + slot * 10), claim);
        }
    }
    panic!("all ports are taken by tests that run");
}

impl Bench {
    /// Starts a server on an empty folder.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with these arguments as well.
    pub(crate) fn start_with(more: &[&str]) -> Self {
        Self::start_prepared(more, |_| {})
    }

    /// The same, on a folder that was prepared: its data directory is `data`.
    pub(crate) fn start_prepared(more: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let mut bench = Self::unstarted();
        prepare(bench.home());
        bench.add_args(more);
        bench.start_server();
        bench
    }

    /// A folder whose server is still to be started.
    pub(crate) fn unstarted() -> Self {
        let dir = tempfile::Builder::new().prefix("skipper-it-").tempdir().expect("a temporary folder");
        let (ports, claim) = ports();
        Self { dir, server: None, url: String::new(), ports, _claim: claim, more: Vec::new() }
    }

    /// Arguments of the server from its next start on.
    pub(crate) fn add_args(&mut self, more: &[&str]) {
        self.more.extend(more.iter().map(|arg| (*arg).to_owned()));
    }

    /// Starts a server on the folder; the one before must be gone.
    pub(crate) fn start_server(&mut self) {
        let mut command = skipper(self.dir.path());
        self.server_args(&mut command);
        let watched = Watched::start(&mut command);
        let line = watched.line_with("listens on http://");
        let address = line.split("listens on http://").nth(1).expect("it is in the line");
        let address = address.split([' ', ',', '"', '\u{1b}']).next().expect("it is not empty");
        self.url = format!("http://{address}");
        self.server = Some(watched);
    }

    fn server_args(&self, command: &mut Command) {
        let listen = if self.url.is_empty() { "127.0.0.1:0" } else { self.url.trim_start_matches("http://") };
        command.args(["server", "--listen", listen]);
        // Unless a configuration of its own says where host names are served.
        if !self.more.iter().any(|arg| arg == "--config") {
            command.args(["--edge-http", "off", "--edge-https", "off"]);
        }
        command.args(["--edge-ports", &self.ports]).args(&self.more).arg("--data-dir").arg(self.data());
    }

    /// Waits for a line of the server's log that holds that text.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str) -> String {
        self.server.as_ref().expect("it runs").line_with(text)
    }

    /// Starts the server as the argument of another program, which may kill it. Whether it got as far as listening.
    pub(crate) fn start_server_under(&mut self, program: &[&str]) -> bool {
        let mut command = Command::new(program[0]);
        command.env_clear().env("HOME", self.home()).env("PATH", "/usr/bin:/bin").current_dir(self.home());
        command.env("SKIPPER_CONTAINERS_DETECT", "false");
        command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_skipper"));
        self.server_args(&mut command);
        let watched = Watched::start(&mut command);
        // Until it was seen once, it may be about to start: a busy machine takes its time.
        let (mut listens, mut seen, since) = (false, false, Instant::now());
        let mut may_come = || {
            let alive = self.is_traced_server_alive();
            seen |= alive;
            alive || (!seen && since.elapsed() < Duration::from_secs(2))
        };
        while let Ok(line) = watched.lines.recv_timeout(Duration::from_millis(20)).or_else(|error| match error {
            mpsc::RecvTimeoutError::Timeout if may_come() => Ok(String::new()),
            error => Err(error),
        }) {
            listens = line.contains("listens on http://");
            if listens {
                break;
            }
        }
        self.server = Some(watched);
        listens
    }

    /// Whether a server runs that was started by [`Self::start_server_under`].
    pub(crate) fn is_traced_server_alive(&self) -> bool {
        let head = format!("{}\0server\0", env!("CARGO_BIN_EXE_skipper"));
        processes(&self.data()).iter().any(|(_, line)| line.starts_with(&head))
    }

    /// Kills what is left of it, and ends the program that it was started under, which lets go of everything else.
    pub(crate) fn end_traced_server(&mut self) {
        let head = format!("{}\0server\0", env!("CARGO_BIN_EXE_skipper"));
        for (pid, _) in processes(&self.data()).iter().filter(|(_, line)| line.starts_with(&head)) {
            signal(*pid, rustix::process::Signal::KILL);
        }
        // Whatever else it traced goes on when it is gone.
        self.kill_server();
    }

    pub(crate) fn home(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A port of its edge, counted from its first one: high ones are not given out by themselves in a short test.
    pub(crate) fn port(&self, nth: u16) -> u16 {
        self.ports.split('-').next().and_then(|first| first.parse::<u16>().ok()).expect("a port") + nth
    }

    /// Where the server answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A command that talks to this server.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = skipper(self.dir.path());
        command.env("SKIPPER_URL", &self.url).args(args);
        command
    }

    /// Runs a command that talks to this server.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        run(&mut self.command(args))
    }

    /// Installs the built-in package, waits, and returns where it is reached.
    #[track_caller]
    pub(crate) fn install(&self, name: &str, more: &[&str]) -> String {
        let args = [&["install", name, "helloworld", "--wait"], more].concat();
        self.run(&args).ok();
        self.address_of(name)
    }

    /// Where a release's only application is reached.
    #[track_caller]
    pub(crate) fn address_of(&self, name: &str) -> String {
        let status = self.run(&["status", name, "--json"]).json();
        let url = status["apps"][0]["urls"][0].as_str().unwrap_or_else(|| panic!("no address: {status}"));
        url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// SIGKILLs the server.
    pub(crate) fn kill_server(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.child.kill().expect("it can be killed");
        server.child.wait().expect("it ends");
    }

    /// Asks the server to stop, and waits until it has.
    pub(crate) fn stop_server(&mut self) {
        let mut server = self.server.take().expect("it runs");
        signal(server.child.id(), rustix::process::Signal::TERM);
        server.ended();
    }

    /// The process id of the edge.
    #[track_caller]
    pub(crate) fn edge_pid(&self) -> u32 {
        let all = processes(&self.data());
        *all.iter().find(|(_, line)| line.contains("\0edge\0")).map(|(pid, _)| pid).expect("an edge runs")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
        clear(self.dir.path());
    }
}

/// Ends what outlives a server on that folder: edge, keepers and applications, which is the point of them; not of a test.
pub(crate) fn clear(folder: &Path) {
    for _ in 0..50 {
        let left = processes(folder);
        if left.is_empty() {
            return;
        }
        for (pid, _) in left {
            signal(pid, rustix::process::Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    let _ = rustix::process::kill_process(pid, signal);
}

/// Processes whose command line or working folder names that folder, with their command lines.
pub(crate) fn processes(folder: &Path) -> Vec<(u32, String)> {
    let folder = folder.to_string_lossy().into_owned();
    let own = std::process::id();
    let entries = fs::read_dir("/proc").expect("/proc is there");
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).into_owned();
            let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let ours = line.contains(&folder) || cwd.to_string_lossy().starts_with(&folder);
            (pid != own && ours).then_some((pid, line))
        })
        .collect()
}

/// One GET on a connection of its own: status and body.
pub(crate) fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LONG))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    status
        .map(|status| (status, body.to_owned()))
        .ok_or_else(|| std::io::Error::other(format!("no answer: {answer:?}")))
}

/// One GET for a host: the whole answer.
pub(crate) fn get_as(address: &str, host: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LONG))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks until the answer is the wanted one.
#[track_caller]
pub(crate) fn until<T: std::fmt::Debug>(what: &str, mut ask: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + LONG;
    loop {
        let got = ask();
        if wanted(&got) {
            return got;
        }
        assert!(Instant::now() < end, "{what}: still {got:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Writes a package whose application is the sample with these settings.
pub(crate) fn package(folder: &Path, name: &str, version: &str, env: &[(&str, &str)], more: &str) -> PathBuf {
    let dir = folder.join(format!("{name}-{version}"));
    fs::create_dir_all(dir.join("templates")).expect("made");
    let head = format!("apiVersion: skipper/v2\nkind: Package\nname: {name}\nversion: {version}\n");
    fs::write(dir.join("package.yml"), head).expect("written");
    fs::write(dir.join("values.yml"), "startPeriod: 20s\nbake: 0s\n").expect("written");
    let env: String = env.iter().map(|(key, value)| format!("    {key}: {value:?}\n")).collect();
    let template = format!(
        "apiVersion: skipper/v2\nkind: Application\nmetadata: {{ name: web }}\nspec:\n  resource: builtin:sample\n  env:\n    \
         SAMPLE_VERSION: \"{version}\"\n{env}  ports: [{{ name: http, env: PORT }}]\n  health:\n    http: {{ path: /health, \
         port: http }}\n    interval: 50ms\n    timeout: 1s\n    retries: 3\n    startPeriod: {{{{startPeriod}}}}\n  bake: \
         {{{{bake}}}}\n  stop: {{ grace: 2s }}\n{more}"
    );
    fs::write(dir.join("templates/web.yml"), template).expect("written");
    dir
}
