//! The certificate and key of a server, from PEM files that may change while it runs.

use arc_swap::ArcSwap;
use base::{Error, Kind, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// What a server shows to its clients, swapped whole when the files change.
///
/// A handshake that has begun keeps the certificate it began with. New files that cannot be read
/// or do not belong together leave the old ones in use.
pub struct ServerIdentity {
    certificate: PathBuf,
    key: PathBuf,
    shown: ArcSwap<CertifiedKey>,
    stamps: Mutex<Stamps>,
}

/// How the files looked when they were last read. Mounted secrets change by a swapped symbolic
/// link, so the file's own number counts, not only its time.
type Stamps = [Option<(SystemTime, u64, u64)>; 2];

impl ServerIdentity {
    /// Reads a chain of certificates, the server's own first, and its private key, both PEM.
    ///
    /// # Errors
    /// `NotFound`, `Denied` or `Unavailable` if a file cannot be read, `Invalid` if it is not PEM
    /// or the key belongs to another certificate.
    pub fn load(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Arc<Self>> {
        let (certificate, key) = (certificate.into(), key.into());
        let stamps = [stamp(&certificate), stamp(&key)];
        let shown = read(&certificate, &key)?;
        let (shown, stamps) = (ArcSwap::from_pointee(shown), Mutex::new(stamps));
        Ok(Arc::new(Self { certificate, key, shown, stamps }))
    }

    /// Reads the files again if they changed; says whether what is shown is now another.
    ///
    /// # Errors
    /// As [`load`](Self::load). The old identity stays; the same bad files are not read again.
    pub fn reload(&self) -> Result<bool> {
        let mut seen = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let now = [stamp(&self.certificate), stamp(&self.key)];
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.shown.store(Arc::new(read(&self.certificate, &self.key)?));
        Ok(true)
    }

    /// Looks at the files every `interval`, for ever. To be spawned, and dropped to stop.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval.max(Duration::from_millis(1))).await;
            let identity = Arc::clone(&self);
            let reloaded = tokio::task::spawn_blocking(move || identity.reload()).await;
            match reloaded {
                Ok(Ok(true)) => {
                    let certificate = self.certificate.display();
                    tracing::info!(%certificate, "certificate reloaded");
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "certificate not reloaded, the old one stays");
                }
                // The runtime is going away.
                Err(_) => return,
            }
        }
    }

    /// A server that shows this identity and speaks `alpn`.
    ///
    /// # Errors
    /// `Internal` if ring could not do TLS 1.2 and 1.3, which it can.
    pub fn server(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("setting up TLS").with_source(error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = super::owned(alpn);
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}

impl fmt::Debug for ServerIdentity {
    /// The files, never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let chain = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(certificate, "is not PEM").with_source(error))?;
    if chain.is_empty() {
        return Err(bad(certificate, "holds no certificate"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .map_err(|error| bad(key, "holds no private key").with_source(error))?;
    CertifiedKey::from_der(chain, secret, &super::provider()).map_err(|error| {
        bad(key, &format!("does not fit `{}`", certificate.display())).with_source(error)
    })
}

pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::unreadable(format!("reading `{}`", path.display()), error, Kind::Unavailable)
    })
}

pub(super) fn bad(path: &Path, what: &str) -> Error {
    Error::invalid(format!("`{}` {what}", path.display()))
}
