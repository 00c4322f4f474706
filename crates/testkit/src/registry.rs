//! A real registry of images, with somebody before it who can break what it says.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use skipper_core::Sha256;
use tempfile::TempDir;

const POISONED: &str = "nothing panics while it holds this lock";
/// Time for the program to listen.
const START: Duration = Duration::from_secs(20);
/// The user and the password of a registry that wants them.
pub const LOGIN: (&str, &str) = ("skipper", "open sesame");
/// The same, as the registry keeps them.
const KEPT: &str = "skipper:$2b$04$oTUCFoKgJSVq5eYm7K.Xue8VcazZ/ZCGpzlUDAtistDIdylY4ungy\n";

/// How answers come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As they are.
    Through,
    /// Nobody listens.
    Down,
    /// Requests are taken, and never answered.
    Hang,
    /// Blobs come with so many bytes in a second.
    Slow(usize),
    /// Half of a blob comes, and then nothing any more.
    Stall,
    /// Half of a blob comes, and then the connection ends.
    Half,
    /// A byte of every blob is another one.
    Wrong,
}

/// What is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET /v2/…`.
    pub line: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

/// A registry on a port of this machine. It ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    folder: TempDir,
    program: Child,
    port: u16,
    login: bool,
    front: Front,
}

impl Registry {
    /// Starts one that wants [`LOGIN`] if `login`. `None`, and a line, where it is not installed.
    ///
    /// # Panics
    ///
    /// When it is installed and cannot be started.
    #[must_use]
    pub fn start(login: bool) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free();
        let root = folder.path().join("data");
        let mut settings = json!({
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": root}},
            "http": {"addr": format!("127.0.0.1:{port}")},
        });
        if login {
            let kept = folder.path().join("users");
            fs::write(&kept, KEPT).expect("written");
            settings["auth"] = json!({"htpasswd": {"realm": "test", "path": kept}});
        }
        let path = folder.path().join("config.yml");
        fs::write(&path, settings.to_string()).expect("written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(program) = command.spawn() else {
            eprintln!("skipped: docker-registry is not installed (./test installs it where it can)");
            return None;
        };
        let until = Instant::now() + START;
        while TcpStream::connect(at(port)).is_err() {
            assert!(Instant::now() < until, "docker-registry does not listen on port {port}");
            thread::sleep(Duration::from_millis(5));
        }
        Some(Self { folder, program, port, login, front: Front::start(port) })
    }

    /// How it is called in the names of images: `127.0.0.1:12345`.
    #[must_use]
    pub fn host(&self) -> String {
        self.front.at.to_string()
    }

    /// From now on answers come through in that way; what is under way goes on as it was.
    pub fn go(&self, way: Way) {
        self.front.go(way);
    }

    /// Everything that it was asked, since this was asked last.
    #[must_use]
    pub fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut *self.front.shared.asked.lock().expect(POISONED))
    }

    /// Puts an image there that consists of the files in `root` and has that configuration (`Cmd`, `Env`); answers its digest.
    ///
    /// # Panics
    ///
    /// When the registry does not take it.
    pub fn push(&self, name: &str, tag: &str, root: &Path, config: &Value) -> Sha256 {
        let (plain, packed) = (self.folder.path().join("layer.tar"), self.folder.path().join("layer.tar.gz"));
        let tar = Command::new("tar").arg("-C").arg(root).arg("-cf").arg(&plain).arg(".").status();
        assert!(tar.expect("tar is there").success());
        let gzip = Command::new("gzip").args(["-nfk1"]).arg(&plain).status();
        assert!(gzip.expect("gzip is there").success());
        let (plain, layer) = (fs::read(plain).expect("made"), fs::read(packed).expect("made"));
        let kind = |what: &str| format!("application/vnd.docker.{what}");
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", Sha256::of(&plain))]},
            "history": [{"created_by": "test"}],
        });
        let config = config.to_string().into_bytes();
        let blob = |bytes: &[u8], media: String| {
            self.blob(name, bytes);
            json!({"mediaType": media, "size": bytes.len(), "digest": format!("sha256:{}", Sha256::of(bytes))})
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind("distribution.manifest.v2+json"),
            "config": blob(&config, kind("container.image.v1+json")),
            "layers": [blob(&layer, kind("image.rootfs.diff.tar.gzip"))],
        });
        let manifest = manifest.to_string().into_bytes();
        let media = format!("Content-Type: {}", kind("distribution.manifest.v2+json"));
        self.curl(&["-X", "PUT", "-H", &media], &format!("/v2/{name}/manifests/{tag}"), Some(&manifest));
        Sha256::of(&manifest)
    }

    fn blob(&self, name: &str, bytes: &[u8]) {
        let head =
            self.curl(&["-X", "POST", "-D", "-", "-o", "/dev/null"], &format!("/v2/{name}/blobs/uploads/"), None);
        let place =
            head.lines().find_map(|line| line.to_ascii_lowercase().starts_with("location:").then(|| line[9..].trim()));
        let place = place.unwrap_or_else(|| panic!("no place for a blob: {head}"));
        let path = place.split_once(&format!(":{}", self.port)).map_or(place, |(_, path)| path);
        let digest = format!("{path}&digest=sha256:{}", Sha256::of(bytes));
        self.curl(&["-X", "PUT", "-H", "Content-Type: application/octet-stream"], &digest, Some(bytes));
    }

    /// Asks the registry itself.
    fn curl(&self, args: &[&str], path: &str, body: Option<&[u8]>) -> String {
        let mut command = Command::new("curl");
        command.args(["-sSgf", "-m", "60"]).args(args);
        if self.login {
            command.args(["-u", &format!("{}:{}", LOGIN.0, LOGIN.1)]);
        }
        if let Some(body) = body {
            let path = self.folder.path().join("body");
            fs::write(&path, body).expect("written");
            command.arg("--data-binary").arg(format!("@{}", path.display()));
        }
        let told = command.arg(format!("http://127.0.0.1:{}{path}", self.port)).output().expect("curl is there");
        assert!(told.status.success(), "{path}: {}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8_lossy(&told.stdout).into_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.front.over();
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// A port that nobody has.
fn free() -> u16 {
    let listener = TcpListener::bind(at(0)).expect("a port is free");
    listener.local_addr().expect("bound").port()
}

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Who stands before it: every connection is one request, so that each can be broken by itself.
#[derive(Debug)]
struct Front {
    at: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: u16,
    way: Mutex<Way>,
    asked: Mutex<Vec<Request>>,
    over: AtomicBool,
    /// Whether somebody listens.
    up: AtomicBool,
}

impl Front {
    fn start(behind: u16) -> Self {
        let listener = TcpListener::bind(at(0)).expect("a port is free");
        let at = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            behind,
            way: Mutex::new(Way::Through),
            asked: Mutex::default(),
            over: AtomicBool::new(false),
            up: AtomicBool::new(true),
        });
        let front = Self { at, shared };
        front.listen(listener);
        front
    }

    fn listen(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        shared.up.store(true, Ordering::SeqCst);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.over.load(Ordering::SeqCst) || *shared.way.lock().expect(POISONED) == Way::Down {
                    break;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    // Whoever hangs up has heard enough.
                    drop(shared.one(stream));
                });
            }
            drop(listener);
            shared.up.store(false, Ordering::SeqCst);
        });
    }

    fn go(&self, way: Way) {
        let before = std::mem::replace(&mut *self.shared.way.lock().expect(POISONED), way);
        if way == Way::Down && before != Way::Down {
            self.wake();
        } else if way != Way::Down && before == Way::Down {
            self.listen(TcpListener::bind(self.at).expect("its port is its own"));
        }
    }

    /// Until nobody listens any more.
    fn wake(&self) {
        while self.shared.up.load(Ordering::SeqCst) {
            drop(TcpStream::connect(self.at));
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn over(&self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.wake();
    }
}

impl Shared {
    fn one(&self, mut from: TcpStream) -> io::Result<()> {
        let (head, _) = head_of(&mut from)?;
        let line = head.lines().next().unwrap_or_default().to_owned();
        let header = |name: &str| {
            let value = |line: &str| {
                Some(line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name))?.1.trim().to_owned())
            };
            head.lines().find_map(value)
        };
        self.asked.lock().expect(POISONED).push(Request { line: line.clone(), authorization: header("authorization") });
        let way = *self.way.lock().expect(POISONED);
        if way == Way::Hang {
            return self.hang(&mut from);
        }
        let mut to = TcpStream::connect(at(self.behind))?;
        let lines =
            head.lines().filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:"));
        let lines: Vec<&str> = lines.chain(["Connection: close", "", ""]).collect();
        to.write_all(lines.join("\r\n").as_bytes())?;
        let is_blob = line.starts_with("GET ") && line.contains("/blobs/sha256:");
        if way == Way::Through || !is_blob {
            return io::copy(&mut to, &mut from).map(drop);
        }
        let (answer, mut body) = head_of(&mut to)?;
        to.read_to_end(&mut body)?;
        from.write_all(answer.as_bytes())?;
        match way {
            Way::Slow(rate) => {
                for part in body.chunks((rate / 10).max(1)) {
                    from.write_all(part)?;
                    thread::sleep(Duration::from_millis(100));
                }
                Ok(())
            }
            Way::Stall => {
                from.write_all(&body[..body.len() / 2])?;
                self.hang(&mut from)
            }
            Way::Half => from.write_all(&body[..body.len() / 2]),
            _ => {
                let middle = body.len() / 2;
                body[middle] ^= 1;
                from.write_all(&body)
            }
        }
    }

    /// Says nothing until the other side goes, or all is over.
    fn hang(&self, from: &mut TcpStream) -> io::Result<()> {
        from.set_read_timeout(Some(Duration::from_millis(50)))?;
        while !self.over.load(Ordering::SeqCst) {
            match from.read(&mut [0; 64]) {
                Ok(0) => break,
                Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                _ => {}
            }
        }
        Ok(())
    }
}

/// How a client begins that tries TLS first, as engines do. Every server of plain HTTP refuses it at once.
const TLS: u8 = 0x16;

/// Reads as far as the empty line; with what came after it.
fn head_of(from: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = all.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&all).into_owned(), rest));
        }
        let read = from.read(&mut part)?;
        if read == 0 || all.len() > 1 << 16 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        all.extend_from_slice(&part[..read]);
        if all[0] == TLS {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}
