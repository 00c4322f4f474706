use std::{fs, path::Path, sync::Arc};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::agent::settings::TlsFiles;

/// How TLS is spoken: by the system's authorities and those that were named, with a certificate of this node's own if it has one.
/// For plain `http` nothing is read.
///
/// # Errors
///
/// A sentence that names the file.
pub(super) fn config(wanted: bool, files: &TlsFiles) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    if wanted {
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One that cannot be read is one that vouches for nobody.
            let _ = roots.add(certificate);
        }
        if let Some(path) = &files.ca {
            for certificate in certificates(path, "SKIPPER_CA_FILE")? {
                roots.add(certificate).map_err(|error| unusable(path, "SKIPPER_CA_FILE", &error.to_string()))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("set TLS up: {error}"))?
        .with_root_certificates(roots);
    let Some((cert, key)) = files.own.as_ref().filter(|_| wanted) else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(cert, "AGENT_CERT_FILE")?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, "AGENT_KEY_FILE", &error.to_string()))?;
    builder
        .with_client_auth_cert(chain, secret)
        .map_err(|error| format!("{} and {} do not belong together: {error}", cert.display(), key.display()))
}

fn certificates(path: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = fs::read(path).map_err(|error| unusable(path, name, &error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    if found.is_empty() { Err(unusable(path, name, "there is no certificate in PEM in it")) } else { Ok(found) }
}

fn unusable(path: &Path, name: &str, why: &str) -> String {
    format!("{name} = {}: {why}", path.display())
}
