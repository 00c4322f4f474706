use std::{path::Path, sync::Arc, time::Duration};

use reqwest::Url;
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::{cause_of, retry::Lost};
use crate::{
    failure::{Exit, Failure},
    targets::Origin,
};

/// Reads an address: `localhost:7577` means `http://localhost:7577`, and so does `http://localhost:7577/api`, which is
/// how Spring's people name a server.
pub(crate) fn base_url(text: &str) -> Result<Url, Failure> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong = |why: &str| {
        Failure::usage(format!("`{text}` is not the address of a server: {why}"))
            .hint("write http://HOST:PORT or https://HOST")
    };
    let mut url = Url::parse(&with_scheme).map_err(|error| wrong(&error.to_string()))?;
    if let Some(above) = url.path().trim_end_matches('/').strip_suffix("/api").map(str::to_owned) {
        url.set_path(&above);
    }
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(url),
        "http" | "https" => Err(wrong("it names no host")),
        other => Err(wrong(&format!("`{other}:` is not spoken here"))),
    }
}

/// A connection pool for one server.
pub(super) fn http_client(
    base: &Url,
    ca_file: Option<&Path>,
    trust_anybody: bool,
    connect_within: Duration,
) -> Result<reqwest::Client, reqwest::Error> {
    let loopback = match base.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let builder = reqwest::Client::builder()
        .user_agent(concat!("skipper/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_within.min(Duration::from_secs(10)))
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .tls_backend_preconfigured(tls(base.scheme() == "https", ca_file, trust_anybody));
    // A proxy of the company is not asked for what runs on this machine.
    if loopback { builder.no_proxy() } else { builder }.build()
}

/// For plain `http` no certificate is read: that alone costs tens of milliseconds.
fn tls(wanted: bool, ca_file: Option<&Path>, trust_anybody: bool) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    if wanted && !trust_anybody {
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One that cannot be read is one that vouches for nobody.
            let _ = roots.add(certificate);
        }
        if let Some(path) = ca_file {
            let pem = std::fs::read(path).unwrap_or_default();
            for certificate in pem_certificates(&pem) {
                let _ = roots.add(certificate);
            }
        }
    }
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs speaks the default protocol versions");
    if trust_anybody {
        let anybody = Arc::new(Anybody(provider));
        return builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth();
    }
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// Believes every certificate: what `--skip-ssl-validation` asks for. Signatures are still checked.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn pem_certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

/// Why no answer came, and what to do.
pub(super) fn explain(lost: &Lost, url: &str, origin: &Origin<String>) -> Failure {
    let told = told(lost, url, origin);
    match lost {
        Lost::Unreachable(error) | Lost::Underway(error) | Lost::Setup(error) => told.caused_by(error),
        Lost::Busy | Lost::Late(_) | Lost::Credentials(_) => told,
    }
}

fn told(lost: &Lost, url: &str, origin: &Origin<String>) -> Failure {
    match lost {
        Lost::Unreachable(error) if cause_of(error).contains("invalid peer certificate") => Failure::error(format!(
            "the certificate of {url} is not trusted: {}",
            cause_of(error)
        ))
        .hint(
            "`--ca-file FILE` names the authority that made it; `skipper config --skip-ssl-validation` trusts anybody",
        ),
        Lost::Unreachable(error) if cause_of(error).contains("InvalidContentType") => {
            Failure::error(format!("what answers at {url} speaks no TLS: {}", cause_of(error)))
                .hint("write the address with http:// instead of https://")
        }
        Lost::Unreachable(error) => {
            Failure::error(format!("no server answers at {url}: {}", cause_of(error))).hint(start_hint(url, origin))
        }
        Lost::Underway(error) if error.is_timeout() => {
            Failure::new(Exit::Timeout, format!("{url} accepted the connection but did not answer in time"))
                .hint("`skipper doctor` looks for what is wrong")
        }
        Lost::Underway(error) => Failure::error(format!("the connection to {url} broke: {}", cause_of(error)))
            .hint("what was asked may have happened all the same: look at `skipper list`"),
        Lost::Busy => Failure::error(format!("{url} is too busy to answer")).hint("try again in a moment"),
        Lost::Late(after) => {
            Failure::new(Exit::Timeout, format!("{url} did not answer within {}", crate::render::lasted(*after)))
                .hint("`skipper doctor` looks for what is wrong")
        }
        Lost::Credentials(why) => Failure::new(Exit::Auth, why.clone())
            .hint("the command is that of `--credentials-provider-command`; what it prints is sent as it is"),
        Lost::Setup(error) => Failure::error(format!("make a connection to {url}: {}", cause_of(error))),
    }
}

fn start_hint(url: &str, origin: &Origin<String>) -> String {
    if crate::targets::DEFAULT_URL.trim_end_matches('/') == url {
        return "start one with `skipper server`, or name another with --url or SKIPPER_URL".to_owned();
    }
    format!("the address comes from {}; start the server there, or name another with --url", origin.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_http() {
        assert_eq!(base_url("localhost:7577").expect("valid").as_str(), "http://localhost:7577/");
        assert_eq!(base_url("https://x.example/p").expect("valid").as_str(), "https://x.example/p");
        assert_eq!(base_url("http://localhost:7577/api/").expect("valid").as_str(), "http://localhost:7577/");
        assert_eq!(base_url("https://x.example/p/api").expect("valid").as_str(), "https://x.example/p");
        for bad in ["", "ftp://x", "http://", "unix:///run/x", "a b"] {
            assert_eq!(base_url(bad).expect_err(bad).exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn a_client_is_built_without_reading_any_certificate() {
        let url = base_url("http://127.0.0.1:1").expect("valid");
        assert!(http_client(&url, None, false, Duration::from_secs(1)).is_ok());
    }
}
