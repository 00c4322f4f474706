//! Why a process could not be started, in words that say what to do.

use std::{fs, io, io::Read as _, path::Path};

use super::Failure;

/// A folder or file could not be prepared.
pub(super) fn of_io(what: &str, cause: &io::Error) -> Failure {
    let full = matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    Failure {
        code: if full { "disk-full" } else { "keeper-failed" }.to_owned(),
        message: format!("{what}: {cause}"),
        hint: full.then(|| "make room on the file system of the data directory".to_owned()),
        transient: true,
    }
}

/// The working folder that the application names is not there. It is not made: what is meant to be in it would be missing.
pub(super) fn no_working_dir(path: &Path) -> Failure {
    Failure {
        code: "working-dir-not-found".to_owned(),
        message: format!("the working folder {} is not a folder of this host", path.display()),
        hint: Some("make it, or leave `workingDir` out to get one of the instance's own".to_owned()),
        transient: false,
    }
}

/// The program could not be executed.
pub(super) fn of_exec(program: &str, working_dir: &Path, cause: &io::Error) -> Failure {
    let path = if program.contains('/') { Some(working_dir.join(program)) } else { None };
    let failure = |code: &str, message: String, hint: &str| Failure {
        code: code.to_owned(),
        message,
        hint: Some(hint.to_owned()),
        transient: false,
    };
    match (cause.kind(), path) {
        (io::ErrorKind::NotFound, None) => failure(
            "program-not-found",
            format!("there is no program `{program}` in PATH"),
            "give its absolute path, or set PATH in `env`",
        ),
        (io::ErrorKind::NotFound, Some(path)) if !path.exists() => failure(
            "program-not-found",
            format!("there is no program {}", path.display()),
            "a relative path starts at the working folder; {resource} stands for the fetched resource",
        ),
        (io::ErrorKind::NotFound, Some(path)) => match interpreter(&path) {
            Some(interpreter) => failure(
                "interpreter-not-found",
                format!("{} needs the interpreter {interpreter}, which is not on this host", path.display()),
                "install it, or correct the script's first line",
            ),
            None => failure(
                "interpreter-not-found",
                format!("{} needs a program loader that is not on this host", path.display()),
                "it was built for another C library: build it statically, or for this host's",
            ),
        },
        (io::ErrorKind::PermissionDenied, _) => failure(
            "program-not-executable",
            format!("`{program}` may not be executed by this user"),
            "set its executable bit (chmod +x), and see that its file system is not mounted noexec",
        ),
        (_, path) if cause.raw_os_error() == Some(8) => failure(
            "program-format",
            format!(
                "`{program}` is not a program of this machine{}",
                path.map_or_else(String::new, |p| looks_like(&p))
            ),
            "build it for this machine; a script begins with #! and its interpreter",
        ),
        (io::ErrorKind::ArgumentListTooLong, _) => failure(
            "arguments-too-long",
            "arguments and environment together are larger than the kernel takes".to_owned(),
            "pass large values as files",
        ),
        _ => Failure {
            code: "program-failed".to_owned(),
            message: format!("start `{program}`: {cause}"),
            hint: None,
            transient: true,
        },
    }
}

fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An unreadable file looks like nothing in particular.
    let _ = fs::File::open(path).and_then(|file| file.take(256).read_to_end(&mut bytes));
    bytes
}

fn interpreter(path: &Path) -> Option<String> {
    let head = head(path);
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    // A script written on Windows asks for `/bin/sh\r`.
    if line.ends_with('\r') {
        return Some(format!("{line:?} (the script has Windows line ends)"));
    }
    line.split_whitespace().next().map(str::to_owned)
}

fn looks_like(path: &Path) -> String {
    let head = head(path);
    match head.as_slice() {
        [] => " (it is empty)".to_owned(),
        [0x7f, b'E', b'L', b'F', rest @ ..] => {
            let machine = rest.get(14..16).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
            let name = match machine {
                3 => "32-bit x86",
                40 => "32-bit ARM",
                62 => "x86_64",
                183 => "aarch64",
                243 => "RISC-V",
                _ => "another machine",
            };
            format!(" (it is a program for {name})")
        }
        [b'P', b'K', ..] => " (it is a zip or jar)".to_owned(),
        [0x1f, 0x8b, ..] => " (it is a gzip archive)".to_owned(),
        [b'M', b'Z', ..] => " (it is a Windows program)".to_owned(),
        [b'<', ..] => " (it looks like a web page: perhaps a login page was downloaded)".to_owned(),
        bytes if bytes.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
            " (it is text without a #! line)".to_owned()
        }
        _ => String::new(),
    }
}
