//! TLS for everybody: one cryptography provider, the roots of the system, identities of servers.
//!
//! The provider is passed by hand everywhere, so nothing here depends on a process-wide default;
//! [`install`] sets one all the same, for libraries that look for it.

#[cfg(any(
    feature = "amqp",
    feature = "azure-queue",
    feature = "kafka",
    feature = "memcached",
    feature = "mqtt",
    feature = "nats",
    feature = "redis",
    feature = "sqs"
))]
pub(crate) mod fault;
mod identity;
mod trust;

use base::{Error, Result};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};

pub use identity::ServerIdentity;
pub use trust::Trust;

/// ALPN for both versions of HTTP, the newer preferred.
pub const ALPN_HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];
/// ALPN for HTTP/1.1 alone.
pub const ALPN_HTTP1: &[&[u8]] = &[b"http/1.1"];
/// ALPN for HTTP/2 alone.
pub const ALPN_HTTP2: &[&[u8]] = &[b"h2"];

/// The cryptography of the whole program: ring.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// Makes [`provider`] the default of the process. Calling it again changes nothing.
pub fn install() {
    if CryptoProvider::get_default().is_none() {
        // Losing a race against another call of this function leaves the same provider in place.
        drop(CryptoProvider::install_default((*provider()).clone()));
    }
}

/// The certificate authorities that the system trusts, read once per process.
///
/// Honours `SSL_CERT_FILE` and `SSL_CERT_DIR`. Reads files: off the runtime's thread, please.
///
/// # Errors
/// `Unavailable` if not one certificate could be read; the next call tries again.
pub fn system_roots() -> Result<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system_certificates()?);
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}

/// The same as certificates, for libraries that want them so. Reads them each time.
///
/// # Errors
/// As [`system_roots`].
pub fn system_certificates() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    let all = found.certs.len();
    let is_readable = |certificate: &CertificateDer<'static>| {
        RootCertStore::empty().add(certificate.clone()).is_ok()
    };
    let certificates: Vec<_> = found.certs.into_iter().filter(is_readable).collect();
    let unreadable = all - certificates.len();
    if unreadable > 0 {
        tracing::debug!(unreadable, "some of the system's certificates could not be read");
    }
    if certificates.is_empty() {
        let error = Error::unavailable("the system has no certificate authorities")
            .with_hint("install the package `ca-certificates`, or set SSL_CERT_FILE");
        return Err(match found.errors.into_iter().next() {
            Some(source) => error.with_source(source),
            None => error,
        });
    }
    Ok(certificates)
}

/// A client that trusts `roots` and offers `alpn`, in order of preference.
///
/// # Errors
/// `Internal` if ring could not do TLS 1.2 and 1.3, which it can.
pub fn client(roots: Arc<RootCertStore>, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("setting up TLS").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = owned(alpn);
    Ok(Arc::new(config))
}

/// The same client with another ALPN; both resume each other's sessions.
#[must_use]
pub fn with_alpn(client: &ClientConfig, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = client.clone();
    config.alpn_protocols = owned(alpn);
    Arc::new(config)
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}
