//! What an engine answers when something is wrong, in the words of somebody who has to put it right.

use std::{error::Error as _, io};

use bollard::errors::Error as Said;
use skipper_core::port::{Error, ErrorKind};

use super::config::{ContainerConfig, EngineKind};

/// Longest part of an engine's own words that is passed on.
const WORDS: usize = 600;

/// The engine's status, where it answered at all.
pub(super) const fn status(said: &Said) -> Option<u16> {
    match said {
        Said::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether the engine says that the thing is not there.
pub(crate) fn is_missing(said: &Said) -> bool {
    status(said) == Some(404)
}

/// Whether the name is taken.
pub(super) fn is_conflict(said: &Said) -> bool {
    status(said) == Some(409) || words_of(said).contains("is already in use")
}

/// Whether what was to be made is there: Podman says so by a status of its own.
pub(super) fn exists_already(said: &Said) -> bool {
    words_of(said).contains("already exists")
}

/// Whether nobody answered at the address.
pub(super) fn is_down(said: &Said) -> bool {
    matches!(said, Said::SocketNotFoundError(_)) || connecting(said).is_some()
}

/// What became of the attempt to connect, if that is what failed.
fn connecting(said: &Said) -> Option<io::ErrorKind> {
    use io::ErrorKind::{ConnectionRefused, PermissionDenied};
    if let Said::IOError { err } = said
        && matches!(err.kind(), ConnectionRefused | PermissionDenied)
    {
        return Some(err.kind());
    }
    let Said::HyperLegacyError { err } = said else { return None };
    if !err.is_connect() {
        return None;
    }
    let mut next = err.source();
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return Some(cause.kind());
        }
        next = cause.source();
    }
    Some(io::ErrorKind::Other)
}

/// An answer, or none, as an error of the port. `what` says what was being done: `start instance 0 of web`.
pub(super) fn error(config: &ContainerConfig, what: &str, said: Said) -> Error {
    let engine = config.kind;
    if let Said::SocketNotFoundError(_) = &said {
        return down(config, what, "there is no such socket");
    }
    match connecting(&said) {
        Some(io::ErrorKind::PermissionDenied) => {
            let message = format!("{what}: the server may not use {engine}'s socket {}", config.host);
            return Error::new(ErrorKind::Permanent, "engine-forbidden", message).hint(match engine {
                EngineKind::Docker => {
                    "add the user that the server runs as to the group `docker` (usermod -aG docker USER), and start the \
                     server anew"
                }
                EngineKind::Podman => "use the socket of the user that the server runs as, or give that user this one",
            });
        }
        Some(io::ErrorKind::NotFound) => return down(config, what, "there is no such socket"),
        Some(io::ErrorKind::ConnectionRefused) => return down(config, what, "nobody listens there"),
        Some(_) => return down(config, what, &chain(&said)),
        None => {}
    }
    match said {
        Said::DockerResponseServerError { status_code, message } => answered(config, what, status_code, &message),
        Said::DockerStreamError { error } => answered(config, what, 0, &error),
        Said::RequestTimeoutError => {
            Error::new(ErrorKind::Unknown, "engine-silent", format!("{what}: {engine} does not answer"))
                .hint(format!("see that {engine} is well; the server asks again"))
        }
        // The connection broke: it may have been done or not.
        other => {
            let message = format!("{what}: {engine} broke off: {}", chain(&other));
            Error::new(ErrorKind::Unknown, "engine-broke-off", message)
        }
    }
}

fn down(config: &ContainerConfig, what: &str, why: &str) -> Error {
    let engine = config.kind;
    let message = format!("{what}: {engine} does not answer at {}: {why}", config.host);
    let start = match engine {
        EngineKind::Docker => "systemctl start docker",
        EngineKind::Podman => "systemctl start podman.socket, or for a user systemctl --user start podman.socket",
    };
    let account = &config.account;
    Error::new(ErrorKind::Transient, "engine-down", message)
        .hint(format!("start it ({start}), or say where it listens: `platforms.{account}.host`"))
}

/// What an engine's sentence means. Engines and registries know few codes, so the words have to tell.
fn answered(config: &ContainerConfig, what: &str, status: u16, message: &str) -> Error {
    let engine = config.kind;
    let words: String = message.trim().chars().take(WORDS).collect();
    let low = words.to_ascii_lowercase();
    let has = |any: &[&str]| any.iter().any(|part| low.contains(part));
    let told = |kind, code, hint: &str| Error::new(kind, code, format!("{what}: {words}")).hint(hint.to_owned());
    let (permanent, transient) = (ErrorKind::Permanent, ErrorKind::Transient);
    if has(&["no space left on device", "disk quota exceeded"]) {
        return told(
            transient,
            "disk-full",
            "make room where the engine keeps images: `docker system df` tells what is there",
        );
    }
    if has(&["executable file not found", "no such file or directory: unknown", "not found in $path"]) {
        return told(
            permanent,
            "program-not-found",
            "see that the image has the program: `command` replaces its entry point",
        );
    }
    if has(&["workdir"]) && has(&["does not exist"]) {
        return told(permanent, "working-dir-missing", "see that the image has the working folder");
    }
    if has(&["exec format error"]) {
        return told(permanent, "program-format", "the image is built for another kind of processor");
    }
    if has(&["permission denied"]) && has(&["exec", "oci"]) {
        return told(permanent, "program-not-executable", "set the program's executable bit in the image");
    }
    if has(&["port is already allocated", "address already in use"]) {
        return told(transient, "port-taken", "stop who has the port, or let the engine choose one");
    }
    if has(&["unauthorized", "authentication required", "incorrect username or password", "invalid username/password"])
        || matches!(status, 401 | 403)
    {
        let hint = format!(
            "write the registry's user and password under `platforms.{}.registries`, and see that it may read the image",
            config.account
        );
        return told(permanent, "registry-unauthorised", &hint);
    }
    if has(&["pull access denied", "requested access to the resource is denied", "denied:"]) {
        return told(
            permanent,
            "image-not-found",
            "see that the image's name is right; if it is private, the account needs the registry's user and password",
        );
    }
    if has(&[
        "manifest unknown",
        "manifest for",
        "name unknown",
        "no such image",
        "image not known",
        "repository name not known",
    ]) {
        return told(
            permanent,
            "image-not-found",
            "see that the image's name and tag are right, and that it was pushed",
        );
    }
    if has(&["toomanyrequests", "too many requests"]) {
        return told(transient, "registry-busy", "the registry limits how often it is asked: log in to it, or wait");
    }
    const UNREACHABLE: [&str; 11] = [
        "no such host",
        "connection refused",
        "i/o timeout",
        "tls handshake",
        "context deadline exceeded",
        "network is unreachable",
        "no route to host",
        "unexpected eof",
        "connection reset",
        "server misbehaving",
        "x509",
    ];
    if has(&UNREACHABLE) {
        return told(transient, "registry-unreachable", "see that the registry answers from the engine's host");
    }
    match status {
        404 => Error::new(ErrorKind::NotFound, "not-there", format!("{what}: {words}")),
        400..500 => Error::new(permanent, "engine-refused", format!("{what}: {engine} refuses it: {words}")),
        _ => Error::new(transient, "engine-failed", format!("{what}: {engine} failed: {words}")),
    }
}

fn words_of(said: &Said) -> &str {
    match said {
        Said::DockerResponseServerError { message, .. } => message,
        Said::DockerStreamError { error } => error,
        _ => "",
    }
}

/// The error and its causes, each once.
fn chain(said: &Said) -> String {
    let mut text = said.to_string();
    let mut next = said.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
