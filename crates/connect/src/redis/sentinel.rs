//! Sentinels of Redis: the client that asks them who the master is.

use super::{Settings, address, certificates, has_tls};
use base::{Error, Result};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{ConnectionAddr, ConnectionInfo, RedisError, TlsMode};

/// A client of the master that the Sentinels of `all` know by this name.
pub(super) fn client(
    info: &ConnectionInfo,
    all: &Settings,
    master: &str,
) -> Result<SentinelClient> {
    let wrong = |error: RedisError| Error::invalid("the Sentinels").with_source(error);
    let settings = info.redis_settings();
    let addresses = std::iter::once(Ok(info.addr().clone())).chain(all.nodes.iter().map(|node| {
        let (host, port) = address(node)?;
        Ok(ConnectionAddr::Tcp(host, port))
    }));
    let addresses: Vec<_> = addresses.collect::<Result<_>>()?;
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)
        .map_err(wrong)?
        .set_client_to_redis_db(settings.db());
    if let Some(user) = settings.username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = settings.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(user) = &all.login.user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &all.login.password {
        builder = builder.set_client_to_sentinel_password(password.reveal());
    }
    if has_tls(info) {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(info, &all.trust) {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build().map_err(wrong)
}
