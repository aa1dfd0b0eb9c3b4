//! Whom a client trusts and who it says it is: the keys `ca`, `certificate` and `key` of a binding.

use super::identity::{bad, bytes};
use base::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The PEM files of a client, read and found right.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Trust {
    /// Reads the files, whose paths are relative to `base`.
    ///
    /// `ca` holds the certificate authorities that are trusted instead of the system's;
    /// `certificate` and `key` are what the client shows to a server that asks.
    ///
    /// # Errors
    /// `NotFound` or `Unavailable` if a file cannot be read; `Invalid` if it is not PEM, or if
    /// there is a certificate without a key or a key without a certificate.
    pub fn read(
        base: &Path,
        ca: Option<&Path>,
        certificate: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Self> {
        let ca = ca.map(|ca| {
            let ca = base.join(ca);
            let pem = bytes(&ca)?;
            match certificates(&pem) {
                Ok(found) if !found.is_empty() => Ok(pem),
                _ => Err(bad(&ca, "holds no certificate in PEM")),
            }
        });
        let identity = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                Some((bytes(&base.join(certificate))?, bytes(&base.join(key))?))
            }
            _ => {
                return Err(Error::invalid("`certificate` and `key` go together")
                    .with_hint("name both files, or neither"));
            }
        };
        Ok(Self { ca: ca.transpose()?, identity })
    }

    /// The authorities that are trusted instead of the system's, in PEM.
    pub fn ca(&self) -> Option<&[u8]> {
        self.ca.as_deref()
    }

    /// The client's own certificates and its key, in PEM.
    pub fn identity(&self) -> Option<(&[u8], &[u8])> {
        self.identity.as_ref().map(|(certificate, key)| (certificate.as_slice(), key.as_slice()))
    }

    /// A client of rustls that trusts and shows this. Reads the system's authorities where no
    /// others are named: off the runtime's thread, please.
    ///
    /// # Errors
    /// `Invalid` where the key does not belong to the certificate; as [`super::system_roots`].
    pub fn client(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>> {
        let roots = match &self.ca {
            None => super::system_roots()?,
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(pem)?);
                Arc::new(roots)
            }
        };
        let Some((certificate, key)) = &self.identity else { return super::client(roots, alpn) };
        let wrong = |error: rustls::Error| {
            Error::invalid("the client's certificate and key").with_source(error)
        };
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| Error::invalid("the client's key is not PEM").with_source(error))?;
        let mut config = ClientConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("setting up TLS").with_source(error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(certificate)?, key)
            .map_err(wrong)?;
        config.alpn_protocols = super::owned(alpn);
        Ok(Arc::new(config))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::invalid("a certificate is not PEM").with_source(error))
}

impl fmt::Debug for Trust {
    /// What there is, never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}
