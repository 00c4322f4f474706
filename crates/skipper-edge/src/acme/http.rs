//! How the authority is talked to: one connection for each request, so that nothing of it stays between two orders.

use std::{io, path::Path, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// Time for one request and its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest body of an answer.
const BODY_MAX: usize = 1024 * 1024;

/// The authority could not be reached, or did not answer as HTTP.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreachable(pub(super) String);

/// A client for the authority.
#[derive(Clone)]
pub(super) struct Client(TlsConnector);

impl Client {
    /// Trusts the authorities of that file, else the system's.
    pub(super) fn new(ca_file: Option<&Path>, provider: Arc<CryptoProvider>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let named = |error: String| io::Error::other(format!("read {}: {error}", path.display()));
                for certificate in CertificateDer::pem_file_iter(path).map_err(|error| named(error.to_string()))? {
                    let certificate = certificate.map_err(|error| named(error.to_string()))?;
                    roots.add(certificate).map_err(|error| named(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(named("there is no certificate in it".to_owned()));
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(io::Error::other(
                        "this system trusts no certificate authority: install its package of CA certificates, or name a \
                         file of them",
                    ));
                }
            }
        }
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = self.0.clone();
        Box::pin(async move {
            let place = request.uri().authority().map_or_else(String::new, ToString::to_string);
            let failed = |why: String| Error::Other(Box::new(Unreachable(format!("{place}: {why}"))));
            match timeout(PATIENCE, exchange(tls, request)).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(failed(error.to_string())),
                Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
            }
        })
    }
}

async fn exchange(tls: TlsConnector, mut request: Request<BodyWrapper<Bytes>>) -> io::Result<BytesResponse> {
    let uri = std::mem::take(request.uri_mut());
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
    let authority = authority.ok_or_else(|| io::Error::other("not an https URL"))?;
    let value = HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?;
    request.headers_mut().insert(header::HOST, value);
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *request.uri_mut() = target.parse::<Uri>().map_err(io::Error::other)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((host.as_str(), authority.port_u16().unwrap_or(443))).await?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let stream = tls.connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let talk = async {
        let (parts, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(BytesResponse { parts, body: Box::new(body) })
    };
    tokio::pin!(talk, connection);
    let mut over = false;
    loop {
        tokio::select! {
            biased;
            done = &mut talk => return done,
            // What was read before it ended may still be an answer.
            _ = &mut connection, if !over => over = true,
        }
    }
}
