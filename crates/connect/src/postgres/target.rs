//! What a URL of PostgreSQL says: where the server is, and whether the way there is encrypted.

use crate::tls::{self, Trust};
use base::{Error, Result};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// The word that servers from version 17 on want to hear in a TLS handshake.
const ALPN: &[&[u8]] = &[b"postgresql"];

/// A URL that was read.
pub(super) struct Target {
    pub(super) config: Config,
    /// The server's name in messages.
    pub(super) shown: String,
}

impl Target {
    /// Reads a URL. `has_ca`: the binding names authorities, so it wants TLS.
    pub(super) fn parse(url: &str, has_ca: bool) -> Result<Self> {
        let shown = base::redact(url);
        let wrong = || Error::invalid(format!("`{shown}` is no URL of a PostgreSQL server"));
        let (rest, mode) = split(url);
        let mode = match mode {
            Some("disable") if has_ca => {
                return Err(Error::invalid("`ca` is for TLS, which `sslmode=disable` turns off"));
            }
            Some("disable") => SslMode::Disable,
            Some("prefer") => SslMode::Prefer,
            // There is no TLS without knowing whom one talks to.
            Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
            None if has_ca => SslMode::Require,
            None => SslMode::Prefer,
            Some(other) => {
                return Err(wrong().with_source(Error::invalid(format!(
                    "`sslmode={other}` is none of disable, prefer, require, verify-full"
                ))));
            }
        };
        let mut config: Config = rest.parse().map_err(|error| wrong().with_source(error))?;
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("wharf");
        }
        let server = match config.get_hosts() {
            [] => return Err(wrong().with_source(Error::invalid("it names no host"))),
            hosts => server(hosts, config.get_ports()),
        };
        if config.get_hosts().len() > 1 {
            // Of several the one that writes, whichever it is today.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, shown: server })
    }

    /// What TLS needs, where there may be any.
    pub(super) fn tls(&self, trust: &Trust) -> Result<Option<ClientConfig>> {
        let client = match (self.config.get_ssl_mode(), trust.client(ALPN)) {
            (SslMode::Disable, _) => return Ok(None),
            // A system that trusts nobody may still speak to a server without TLS.
            (SslMode::Prefer, Err(_)) if trust.ca().is_none() => {
                tls::client(Arc::new(RootCertStore::empty()), ALPN)?
            }
            (_, client) => client?,
        };
        Ok(Some((*client).clone()))
    }

    /// Where the servers are that have an address, each as `host:port`.
    pub(super) fn hosts(&self) -> Vec<String> {
        let hosts = named(self.config.get_hosts(), self.config.get_ports());
        hosts.filter_map(|(host, name)| matches!(host, Host::Tcp(_)).then_some(name)).collect()
    }

    /// The database's name, for messages.
    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or_default()
    }

    /// The user's name, for messages.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }
}

/// The URL without its `sslmode`, of which the client knows less than everybody else does.
fn split(url: &str) -> (String, Option<&str>) {
    let Some((start, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (modes, others): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|pair| pair.starts_with("sslmode="));
    let mode = modes.last().and_then(|pair| pair.strip_prefix("sslmode="));
    match others.is_empty() {
        true => (start.to_owned(), mode),
        false => (format!("{start}?{}", others.join("&")), mode),
    }
}

fn server(hosts: &[Host], ports: &[u16]) -> String {
    let names: Vec<String> = named(hosts, ports).map(|(_, name)| name).collect();
    format!("postgres {}", names.join(","))
}

/// Each host, and with its port.
fn named<'a>(hosts: &'a [Host], ports: &'a [u16]) -> impl Iterator<Item = (&'a Host, String)> {
    hosts.iter().enumerate().map(|(index, host)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let name = match host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]:{port}"),
            Host::Tcp(host) => format!("{host}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        };
        (host, name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str, has_ca: bool) -> SslMode {
        Target::parse(url, has_ca).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn tls_is_as_the_url_says_and_never_less() {
        assert_eq!(mode("postgres://h/d", false), SslMode::Prefer);
        assert_eq!(mode("postgres://h/d", true), SslMode::Require);
        assert_eq!(mode("postgres://h/d?sslmode=disable", false), SslMode::Disable);
        for word in ["require", "verify-ca", "verify-full"] {
            let url = format!("postgres://h/d?connect_timeout=3&sslmode={word}");
            assert_eq!(mode(&url, false), SslMode::Require);
        }
        assert!(Target::parse("postgres://h/d?sslmode=disable", true).is_err());
        assert!(Target::parse("postgres://h/d?sslmode=allow", false).is_err());
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in
            ["postgres://u:hunter2@h:x/d", "postgres://u:hunter2@h/d?nonsense=1", "postgres:"]
        {
            let error = Target::parse(url, false).err().unwrap();
            assert_eq!(error.kind(), base::Kind::Invalid, "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn every_host_is_named() {
        let target = Target::parse("postgres://u@a:1,b:2/d", false).unwrap();
        assert_eq!(target.shown, "postgres a:1,b:2");
        assert_eq!(target.hosts(), ["a:1", "b:2"]);
        assert_eq!(target.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(Target::parse("postgresql://h", false).unwrap().shown, "postgres h:5432");
    }
}
