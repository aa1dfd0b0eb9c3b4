//! Where a client's requests may go: wherever rules allow, or to one place that was named.

use super::Protocol;
use super::target::Key;
use base::egress::Egress;
use connect::tls;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;

/// One place to which all requests of a client go, whatever host they name.
///
/// It is the operator's own word: no egress rule is asked, and no name is looked up.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The address.
    pub address: SocketAddr,
    /// How TLS is spoken there, and the name that its certificate has to bear. Plain without.
    pub tls: Option<(Arc<Tls>, ServerName<'static>)>,
    /// Which version of HTTP is spoken there.
    pub protocol: Protocol,
}

impl Destination {
    /// What its connections are pooled by; `protocol` is what one request asks for.
    pub(super) fn key(&self, protocol: Protocol) -> Key {
        Key {
            https: self.tls.is_some(),
            host: self.address.ip().to_string(),
            port: self.address.port(),
            protocol: if protocol == Protocol::Auto { self.protocol } else { protocol },
        }
    }
}

/// Where a client's requests may go.
#[derive(Debug)]
pub(super) enum Reach {
    /// Wherever these allow.
    Rules(Egress),
    /// To one place.
    Only(Destination),
}

/// One configuration of TLS for each thing that is offered by ALPN; sessions are shared.
#[derive(Debug)]
pub struct Tls {
    both: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    bare: Arc<ClientConfig>,
}

impl Tls {
    /// Of a configuration that offers both versions of HTTP.
    pub fn new(both: Arc<ClientConfig>) -> Self {
        let http1 = tls::with_alpn(&both, tls::ALPN_HTTP1);
        let http2 = tls::with_alpn(&both, tls::ALPN_HTTP2);
        let bare = tls::with_alpn(&both, &[]);
        Self { both, http1, http2, bare }
    }

    /// The one that offers nothing, for those who speak another protocol than HTTP.
    pub(super) fn bare(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.bare)
    }

    /// The one that offers what `protocol` needs.
    pub(super) fn for_protocol(&self, protocol: Protocol) -> Arc<ClientConfig> {
        Arc::clone(match protocol {
            Protocol::Auto => &self.both,
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        })
    }
}
