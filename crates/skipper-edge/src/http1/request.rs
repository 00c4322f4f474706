use std::mem::MaybeUninit;

use super::Length;
use crate::{
    config::Limits,
    proxy::{Field, Nominated, Origin, Reply, Said, Shared, classify, normalise, tokens},
};

/// Most fields of a head, whatever is configured: they are parsed into an array of this size.
pub(crate) const FIELDS_MAX: usize = 100;

/// Text taken from a head, in memory that the next head uses again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Normalised, without port. Empty: none was given.
    pub(crate) host: String,
    /// Without query.
    pub(crate) path: String,
    /// The head as it goes to the instance.
    pub(crate) head: Vec<u8>,
}

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// Bytes of the head.
    pub(crate) head_len: usize,
    pub(crate) http11: bool,
    /// HEAD: the answer has no body.
    pub(crate) head_only: bool,
    /// GET, HEAD or OPTIONS without body: may be sent twice. Any other gets a new connection, which no instance closes because it
    /// was idle.
    pub(crate) repeatable: bool,
    /// The client would send another request on the connection.
    pub(crate) keep_alive: bool,
    pub(crate) length: Length,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects: bool,
    /// The client asks for another protocol.
    pub(crate) upgrade: bool,
    /// Carries the verify token.
    pub(crate) probe: bool,
    /// A trusted proxy says that the client spoke TLS.
    pub(crate) secure: bool,
}

impl Request {
    pub(crate) const fn has_body(&self) -> bool {
        self.length.has_body()
    }
}

/// What came of reading a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// More bytes are needed.
    Partial,
    Request(Request),
    /// Answer with this and close.
    Refused(Reply),
}

/// Reads a head and writes the one for the instance in the same pass.
pub(crate) fn read(bytes: &[u8], shared: &Shared, origin: &Origin, scratch: &mut Scratch) -> Parsed {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let count = shared.limits.header_count.min(FIELDS_MAX);
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut fields[..count]) {
        Ok(httparse::Status::Complete(length)) if length <= shared.limits.header_bytes => {
            match translate(&parsed, length, shared, origin, scratch) {
                Ok(request) => Parsed::Request(request),
                Err(reply) => Parsed::Refused(reply),
            }
        }
        Ok(httparse::Status::Partial) if bytes.len() < shared.limits.header_bytes => Parsed::Partial,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Parsed::Refused(Reply::head_too_large()),
        Err(_) => Parsed::Refused(Reply::bad_request("this is not an HTTP/1.1 request")),
    }
}

/// The framing and connection fields, as they are found.
#[derive(Default)]
struct Found<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    expects: bool,
    upgrade: Vec<&'a [u8]>,
    probe: bool,
    said: Said<'a>,
    nominated: Nominated<'a>,
}

fn translate(
    parsed: &httparse::Request<'_, '_>,
    head_len: usize,
    shared: &Shared,
    origin: &Origin,
    scratch: &mut Scratch,
) -> Result<Request, Reply> {
    let (method, http11) = (parsed.method.unwrap_or_default(), parsed.version == Some(1));
    let mut kinds = [Field::Plain; FIELDS_MAX];
    let mut found = Found::default();
    for (field, kind) in parsed.headers.iter().zip(&mut kinds) {
        *kind = classify(field.name.as_bytes());
        if *kind != Field::Plain {
            note(&mut found, *kind, field.value, shared, origin)?;
        }
    }
    let length = length_of(&found, http11, &shared.limits)?;
    let target = target_of(parsed.path.unwrap_or_default(), method, &mut found, http11)?;
    scratch.path.clear();
    let path = target.split('?').next().unwrap_or(target);
    scratch.path.push_str(if path.starts_with('/') { path } else { "/" });
    let port = match found.host {
        Some(host) => normalise(host, &mut scratch.host).ok_or_else(|| Reply::bad_request("invalid Host"))?,
        None => {
            scratch.host.clear();
            ""
        }
    };
    let has_body = length.has_body();
    let expects = found.expects && has_body && http11;
    let h2c = found.upgrade.iter().any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"h2c")));
    let upgrade = found.nominated.upgrade && !found.upgrade.is_empty() && http11 && !has_body && !h2c;

    let out = &mut scratch.head;
    out.clear();
    for part in [method.as_bytes(), b" ", if target.starts_with('?') { b"/" } else { b"" }, target.as_bytes()] {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    if scratch.host.is_empty() {
        out.extend_from_slice(origin.local.as_bytes());
    } else {
        out.extend_from_slice(scratch.host.as_bytes());
        out.extend_from_slice(port.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    let fields = || parsed.headers.iter().zip(&kinds);
    for (field, kind) in fields() {
        let passes = match kind {
            Field::Plain | Field::Date => !found.nominated.has(field.name.as_bytes()),
            Field::OtherForwarding => origin.client.trusted && !found.nominated.has(field.name.as_bytes()),
            _ => false,
        };
        if passes {
            write_field(out, field.name.as_bytes(), field.value);
        }
    }
    let earlier = fields().filter(|(_, kind)| origin.client.trusted && **kind == Field::ForwardedFor);
    origin.client.write(out, earlier.map(|(field, _)| field.value), &found.said, &scratch.host, port);
    match length {
        Length::None => {}
        Length::Known(length) => write_field(out, b"content-length", length.to_string().as_bytes()),
        Length::Chunked => write_field(out, b"transfer-encoding", b"chunked"),
    }
    if expects {
        write_field(out, b"expect", b"100-continue");
    }
    if upgrade {
        write_field(out, b"connection", b"upgrade");
        write_field(out, b"upgrade", &found.upgrade.join(&b", "[..]));
    }
    out.extend_from_slice(b"\r\n");
    Ok(Request {
        head_len,
        http11,
        head_only: method == "HEAD",
        repeatable: matches!(method, "GET" | "HEAD" | "OPTIONS") && !has_body,
        keep_alive: !found.nominated.close && (http11 || found.nominated.keep_alive),
        length,
        expects,
        upgrade,
        probe: found.probe,
        secure: found.said.is_secure(),
    })
}

/// Writes one field line.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn note<'a>(
    found: &mut Found<'a>,
    kind: Field,
    value: &'a [u8],
    shared: &Shared,
    origin: &Origin,
) -> Result<(), Reply> {
    match kind {
        Field::Host if found.host.replace(value).is_some() => {
            return Err(Reply::bad_request("more than one Host"));
        }
        Field::ContentLength => {
            let length = decimal(value).ok_or_else(|| Reply::bad_request("invalid Content-Length"))?;
            if found.length.replace(length).is_some() {
                return Err(Reply::bad_request("more than one Content-Length"));
            }
        }
        Field::TransferEncoding => {
            if found.chunked {
                return Err(Reply::bad_request("more than one Transfer-Encoding"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Reply::unimplemented("a Transfer-Encoding other than chunked"));
            }
            found.chunked = true;
        }
        Field::Connection => {
            found.nominated.add(value).map_err(|()| Reply::bad_request("too many connection options"))?;
        }
        Field::Expect => found.expects = value.eq_ignore_ascii_case(b"100-continue"),
        Field::Upgrade => found.upgrade.push(value),
        Field::Verify => found.probe = shared.is_token(value),
        Field::ForwardedHost if origin.client.trusted => found.said.hosts = Some(value),
        Field::ForwardedProto if origin.client.trusted => found.said.proto = Some(value),
        _ => {}
    }
    Ok(())
}

/// Digits only: no sign, no white space, no list.
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn length_of(found: &Found<'_>, http11: bool, limits: &Limits) -> Result<Length, Reply> {
    match (found.length, found.chunked) {
        (Some(_), true) => Err(Reply::bad_request("both Content-Length and Transfer-Encoding")),
        (None, true) if !http11 => Err(Reply::bad_request("Transfer-Encoding in HTTP/1.0")),
        (None, true) => Ok(Length::Chunked),
        (Some(length), false) if limits.body_bytes.is_some_and(|most| length > most) => Err(Reply::too_large()),
        (Some(length), false) => Ok(Length::Known(length)),
        (None, false) => Ok(Length::None),
    }
}

/// The target in origin form. An absolute one names the host, whatever `Host` says (RFC 9112, 3.2.2).
fn target_of<'a>(target: &'a str, method: &str, found: &mut Found<'a>, http11: bool) -> Result<&'a str, Reply> {
    if matches!(method, "CONNECT" | "TRACE" | "TRACK") {
        return Err(Reply::method_refused());
    }
    if http11 && found.host.is_none() {
        return Err(Reply::bad_request("no Host"));
    }
    if target.contains('#') {
        return Err(Reply::bad_request("a fragment in the request target"));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(target);
    }
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(str::len))
        .map(|length| &target[length..])
        .ok_or_else(|| Reply::bad_request("invalid request target"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    found.host = Some(authority.as_bytes());
    Ok(if path.is_empty() { "/" } else { path })
}
