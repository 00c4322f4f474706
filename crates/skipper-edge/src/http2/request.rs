use http::{HeaderMap, Method, Request, header};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::{
    http1::{Length, decimal, write_field},
    proxy::{Field, Nominated, Origin, Reply, Said, Shared, classify, normalise},
};

/// What a request says, with the head for the instance.
#[derive(Debug)]
pub(super) struct Translated {
    /// Normalised, without port.
    pub(super) host: String,
    /// Without query.
    pub(super) path: String,
    pub(super) head: Vec<u8>,
    pub(super) length: Length,
    pub(super) head_only: bool,
    /// May be sent twice. Any other gets a new connection.
    pub(super) repeatable: bool,
    pub(super) probe: bool,
    /// A trusted proxy says that the client spoke TLS.
    pub(super) secure: bool,
}

/// Checks a request and writes it as HTTP/1.1. What HTTP/2 itself forbids, the library below has refused already.
pub(super) fn translate(request: &Request<Incoming>, shared: &Shared, origin: &Origin) -> Result<Translated, Reply> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    if matches!(*method, Method::CONNECT | Method::TRACE) || method.as_str() == "TRACK" {
        return Err(Reply::method_refused());
    }
    let authority = authority_of(request)?;
    let mut host = String::new();
    let port = normalise(authority, &mut host).ok_or_else(|| Reply::bad_request("invalid :authority"))?;
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let path = if uri.path().starts_with('/') { uri.path() } else { "/" };
    let length = length_of(request, shared)?;

    let mut head = Vec::with_capacity(512);
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\nhost: ", &host, port, "\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    let probe = write_fields(&mut head, headers, shared, origin)?;
    let last = |name| headers.get_all(name).iter().next_back().map(http::HeaderValue::as_bytes);
    let said = if origin.client.trusted {
        Said { hosts: last("x-forwarded-host"), proto: last("x-forwarded-proto") }
    } else {
        Said::default()
    };
    let secure = said.is_secure();
    let earlier = headers.get_all("x-forwarded-for").iter().filter(|_| origin.client.trusted);
    origin.client.write(&mut head, earlier.map(http::HeaderValue::as_bytes), &said, &host, port);
    match length {
        Length::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            write_field(&mut head, b"content-length", b"0");
        }
        Length::None => {}
        Length::Known(length) => write_field(&mut head, b"content-length", length.to_string().as_bytes()),
        Length::Chunked => write_field(&mut head, b"transfer-encoding", b"chunked"),
    }
    head.extend_from_slice(b"\r\n");
    let has_body = length.has_body();
    Ok(Translated {
        host,
        path: path.to_owned(),
        head,
        length,
        head_only: *method == Method::HEAD,
        repeatable: matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !has_body,
        probe,
        secure,
    })
}

/// `:authority`, or `Host` where there is none; never two that differ.
fn authority_of(request: &Request<Incoming>) -> Result<&[u8], Reply> {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().map(http::HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Reply::bad_request("more than one Host"));
    }
    match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(Reply::bad_request("Host and :authority differ"))
        }
        (Some(authority), _) => Ok(authority),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(Reply::bad_request("no :authority")),
    }
}

fn length_of(request: &Request<Incoming>, shared: &Shared) -> Result<Length, Reply> {
    let mut lengths = request.headers().get_all(header::CONTENT_LENGTH).iter();
    let length = match lengths.next() {
        None => None,
        Some(value) => Some(decimal(value.as_bytes()).ok_or_else(|| Reply::bad_request("invalid Content-Length"))?),
    };
    if lengths.next().is_some() {
        return Err(Reply::bad_request("more than one Content-Length"));
    }
    match length {
        Some(length) if shared.limits.body_bytes.is_some_and(|most| length > most) => Err(Reply::too_large()),
        // The library ends the stream when body and length disagree.
        Some(length) => Ok(Length::Known(length)),
        None if request.body().is_end_stream() => Ok(Length::None),
        None => Ok(Length::Chunked),
    }
}

/// Writes the fields that pass. Whether the probe's token is among the others.
fn write_fields(head: &mut Vec<u8>, headers: &HeaderMap, shared: &Shared, origin: &Origin) -> Result<bool, Reply> {
    let mut nominated = Nominated::default();
    for value in headers.get_all(header::CONNECTION) {
        nominated.add(value.as_bytes()).map_err(|()| Reply::bad_request("too many connection options"))?;
    }
    let (mut probe, mut cookies) = (false, Vec::new());
    for (name, value) in headers {
        let kind = classify(name.as_str().as_bytes());
        match kind {
            Field::Verify => probe = shared.is_token(value.as_bytes()),
            // HTTP/2 lets a client send cookies one by one; in HTTP/1.1 they are one field (RFC 9113, 8.2.3).
            Field::Plain if *name == header::COOKIE => cookies.push(value.as_bytes()),
            Field::Plain | Field::Date if !nominated.has(name.as_str().as_bytes()) => {
                write_field(head, name.as_str().as_bytes(), value.as_bytes());
            }
            Field::OtherForwarding if origin.client.trusted => {
                write_field(head, name.as_str().as_bytes(), value.as_bytes());
            }
            _ => {}
        }
    }
    if !cookies.is_empty() {
        write_field(head, b"cookie", &cookies.join(&b"; "[..]));
    }
    Ok(probe)
}
