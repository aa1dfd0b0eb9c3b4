//! Whether a server speaks TLS.

use super::LOOK;
use crate::tls::{self, fault};
use base::within;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Whether who is at `host`, a `host:port`, speaks TLS.
pub(crate) async fn speaks_tls(host: &str) -> bool {
    // It trusts nobody: what is asked is only whether there is a certificate.
    let Ok(client) = tls::client(Arc::new(RootCertStore::empty()), &[]) else { return false };
    // So the name does not matter either.
    let Ok(name) = ServerName::try_from("localhost") else { return false };
    let look = async {
        let Ok(stream) = TcpStream::connect(host).await else { return false };
        match TlsConnector::from(client).connect(name, stream).await {
            Ok(_) => true,
            Err(error) => matches!(
                fault::said(&error),
                Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
            ),
        }
    };
    within(LOOK, look).await.unwrap_or(false)
}
