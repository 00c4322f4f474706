//! One request through the edge's own listener, as a user would send it, that asks who answered.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use skipper_core::{
    deployment::DeploymentId,
    port::{Error, ErrorKind, Verified},
    route::{Host, Listener, RouteKey},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

/// The request header that carries the token.
pub(crate) const TOKEN_HEADER: &str = "x-skipper-verify";
/// The answer's header that names the deployment.
pub(crate) const DEPLOYMENT_HEADER: &str = "x-skipper-deployment";

/// Time for the whole exchange. A probe that takes longer says nothing good about the deployment.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of an answer.
const HEAD_MAX: usize = 64 * 1024;

/// Sends a GET for `path` along the route `key` to the listener at `address`.
pub(crate) async fn request(address: SocketAddr, key: &RouteKey, path: &str, token: &str) -> Result<Verified, Error> {
    let failed = |error: io::Error| {
        Error::new(ErrorKind::Transient, "verify-failed", format!("send a request through the edge to {key}"))
            .because(error)
    };
    match tokio::time::timeout(TIMEOUT, exchange(address, key, path, token)).await {
        Err(_) => Err(Error::new(
            ErrorKind::Transient,
            "verify-timeout",
            format!("no answer through the edge from {key} within {} s", TIMEOUT.as_secs()),
        )),
        Ok(Err(error)) => Err(failed(error)),
        Ok(Ok((status, None))) => Err(Error::new(
            ErrorKind::Transient,
            "verify-unanswered",
            format!("the edge itself answered {status} for {key}: no deployment did"),
        )),
        Ok(Ok((status, Some(deployment)))) => {
            Ok(Verified { deployment: DeploymentId::from_stored(deployment), status })
        }
    }
}

async fn exchange(address: SocketAddr, key: &RouteKey, path: &str, token: &str) -> io::Result<(u16, Option<String>)> {
    let address = reachable(address);
    let host = host_of(key, address);
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\n{TOKEN_HEADER}: {token}\r\nuser-agent: skipper-verify\r\naccept: */*\r\n\
         connection: close\r\n\r\n",
        target_of(key, path)
    );
    let stream = TcpStream::connect(address).await?;
    if key.listener != Listener::Https {
        return talk(stream, &request).await;
    }
    let name = key.host.as_ref().map_or_else(|| "localhost".to_owned(), |_| host.clone());
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(client_config(token)?)).connect(name, stream).await;
    let stream = stream.map_err(|error| without_certificate(error, &host))?;
    talk(stream, &request).await
}

/// Names the cause where the edge refused the handshake for want of a certificate: its alert alone says little.
fn without_certificate(error: io::Error, host: &str) -> io::Error {
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if matches!(alert, Some(rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied))) {
        io::Error::other(format!(
            "the edge has no certificate for {host}; put {host}.crt and {host}.key into its folder of certificates"
        ))
    } else {
        error
    }
}

/// Where a socket bound to `address` is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        // Both families are bound then, and IPv4 loopback is there also where IPv6 is switched off.
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip == Ipv6Addr::LOCALHOST => {}
        _ => {}
    }
    address
}

fn host_of(key: &RouteKey, address: SocketAddr) -> String {
    match key.host.as_ref().map(Host::as_str) {
        None => address.to_string(),
        Some(host) => host.strip_prefix("*.").map_or_else(|| host.to_owned(), |rest| format!("skipper-verify.{rest}")),
    }
}

/// The path to ask for: `path` where the route covers it, else the route's own.
fn target_of<'a>(key: &'a RouteKey, path: &'a str) -> &'a str {
    let clean = !path.bytes().any(|b| b.is_ascii_control() || b == b' ' || !b.is_ascii());
    let bare = path.split(['?', '#']).next().unwrap_or(path);
    if clean && path.starts_with('/') && key.path.matches(bare) { path } else { key.path.as_str() }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str) -> io::Result<(u16, Option<String>)> {
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    loop {
        if let Some(answer) = parse(&head)? {
            return Ok(answer);
        }
        if head.len() > HEAD_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer's head is larger than 64 KiB"));
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The first answer in `bytes` that is not an interim one, when its head is complete.
fn parse(mut bytes: &[u8]) -> io::Result<Option<(u16, Option<String>)>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        let status = response.code.unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            bytes = &bytes[length..];
            continue;
        }
        let deployment = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(DEPLOYMENT_HEADER))
            .map(|header| String::from_utf8_lossy(header.value).into_owned());
        return Ok(Some((status, deployment)));
    }
}

fn client_config(token: &str) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OurOwnListener(provider)))
        .with_no_client_auth();
    // The first is never chosen: by it the edge knows that it may answer by a certificate of its own while one is ordered.
    config.alpn_protocols = vec![token.as_bytes().to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts any certificate: the peer is this machine's own edge, reached by an address it told us itself, and whether the
/// certificate suits the public is not the question here. The token is worth nothing outside this machine.
#[derive(Debug)]
struct OurOwnListener(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for OurOwnListener {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use skipper_core::route::PathPrefix;

    use super::*;

    #[test]
    fn the_request_goes_where_the_route_is() {
        let key = |host: Option<&str>, path: &str| RouteKey {
            listener: Listener::Http,
            host: host.map(|host| Host::new(host).expect("host")),
            path: PathPrefix::new(path).expect("path"),
        };
        let at: SocketAddr = "127.0.0.1:80".parse().expect("address");
        assert_eq!(host_of(&key(Some("*.a.b"), "/"), at), "skipper-verify.a.b");
        assert_eq!(host_of(&key(None, "/"), at), "127.0.0.1:80");
        assert_eq!(target_of(&key(None, "/api"), "/api/health?x=1"), "/api/health?x=1");
        for not_covered in ["/", "/apix", "/api/\r\nx: y", "api"] {
            assert_eq!(target_of(&key(None, "/api"), not_covered), "/api");
        }
    }

    #[test]
    fn a_missing_certificate_is_called_by_its_name() {
        let refused = rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied);
        let told = without_certificate(io::Error::new(io::ErrorKind::InvalidData, refused), "shop.example").to_string();
        assert!(told.contains("shop.example.crt"), "{told}");
        assert_eq!(without_certificate(io::Error::other("gone"), "shop.example").to_string(), "gone");
    }

    #[test]
    fn interim_answers_are_skipped() {
        let text = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX-Skipper-Deployment: d-1\r\n\r\n";
        assert_eq!(parse(text).expect("valid"), Some((200, Some("d-1".to_owned()))));
        assert_eq!(parse(&text[..40]).expect("partial"), None);
    }
}
