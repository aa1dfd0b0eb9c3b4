//! How a connection comes about: over TLS if the URL says so, and as the user that it names.

use super::Settings;
use super::connection::Connection;
use super::fault::{self, Fault};
use crate::look::{LOOK, speaks_tls};
use crate::tls::Trust;
use crate::url::Target;
use base::{Error, Result, within};
use rustls::pki_types::ServerName;
use std::io;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// The port where nothing else is said.
const PORT: u16 = 11211;

/// Makes connections.
pub(super) struct Dialer {
    target: Target,
    /// Whose certificate the server has to show.
    name: ServerName<'static>,
    trust: Trust,
    tls: OnceCell<TlsConnector>,
}

impl Dialer {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let wrong = |what: &str| {
            Error::invalid(format!("`{}` {what}", base::redact(&settings.url)))
                .with_hint("write `memcached://[USER:PASSWORD@]HOST[:PORT]`, or `memcacheds://…`")
        };
        let no_url = || wrong("is no URL of a memcached server");
        let target = Target::read(&settings.url, "memcached", PORT).ok_or_else(no_url)?;
        if let Some((user, password)) = &target.user {
            // One space stands between them, and a line is their end.
            let is_text = |text: &str| !text.is_empty() && !text.contains(char::is_control);
            if !is_text(user) || user.contains(' ') || !is_text(password.reveal()) {
                return Err(wrong("has a user or a password that memcached cannot have"));
            }
        }
        let host = target.host.rsplit_once(':').map_or("", |(host, _port)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| no_url().with_source(error))?;
        Ok(Self { target, name, trust: settings.trust.clone(), tls: OnceCell::new() })
    }

    /// `host:port`
    pub(super) fn address(&self) -> &str {
        &self.target.host
    }

    /// A connection that the server has let in.
    pub(super) async fn connect(&self) -> Result<Connection, Fault> {
        let stream = self.reach().await?;
        let mut connection = if self.target.tls {
            let connector = self.tls.get_or_try_init(|| self.connector()).await?;
            Connection::over(connector.connect(self.name.clone(), stream).await?)
        } else {
            Connection::over(stream)
        };
        if let Some((user, password)) = &self.target.user {
            connection.authenticate(user, password).await?;
        }
        Ok(connection)
    }

    async fn reach(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn connector(&self) -> Result<TlsConnector, Fault> {
        let trust = self.trust.clone();
        let setup = |error| Fault::Setup(Error::internal("setting up TLS").with_source(error));
        // It may read the system's authorities.
        let made = tokio::task::spawn_blocking(move || trust.client(&[])).await.map_err(setup)?;
        Ok(TlsConnector::from(made.map_err(Fault::Setup)?))
    }

    /// Looks whether a server that has no answer has one for who speaks TLS, or for who does not.
    /// memcached waits for the end of a line, or hangs up, and says nothing to the others.
    pub(super) async fn mistaken(&self, server: &str) -> Option<Error> {
        let look = async {
            match self.target.tls {
                true => self.speaks_plainly().await.then(|| fault::no_tls(server)),
                false => speaks_tls(self.address()).await.then(|| fault::only_tls(server)),
            }
        };
        within(LOOK, look).await.unwrap_or(None)
    }

    async fn speaks_plainly(&self) -> bool {
        let Ok(stream) = self.reach().await else { return false };
        let said = Connection::over(stream).version().await;
        matches!(said, Ok(_) | Err(Fault::Unauthenticated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Kind;

    fn dialer(url: &str) -> Result<Dialer> {
        Dialer::new(&Settings {
            url: url.to_owned(),
            trust: Trust::default(),
            connections: 1,
            timeout: LOOK,
            in_flight: 1,
        })
    }

    #[test]
    fn a_url_is_a_host_a_port_and_a_user() {
        for (url, address) in [
            ("memcached://cache.example", "cache.example:11211"),
            ("memcached://my_cache", "my_cache:11211"),
            ("memcached://10.0.0.1:11212/", "10.0.0.1:11212"),
            ("memcacheds://me:pass%20word@[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(dialer(url).unwrap().address(), address);
        }
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for wrong in [
            "memcached:",
            "memcached://",
            "memcached://h:0",
            "memcached://h/path",
            "memcachedx://h",
            "memcached://me:hunter2@h/path",
            "memcached://me:hunter2%0D%0Aflush_all@h",
            "memcached://m%20e:hunter2@h",
            "memcached://:hunter2@h",
            "memcached://me:@h",
            "memcached://hunter@h",
        ] {
            let error = dialer(wrong).err().unwrap();
            assert_eq!(error.kind(), Kind::Invalid, "{wrong}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
