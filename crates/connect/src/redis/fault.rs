//! What is wrong when Redis, or the way to it, says no.

use super::Redis;
use crate::look;
use crate::tls::fault::{self as tls, Wrong};
use base::{Error, Kind, Result};
use redis::{ErrorKind, RedisError, ServerErrorKind};
use rustls::CertificateError;

/// Every server answers this with a line that begins with a plus, or with a minus where it wants a
/// password first.
const PING: &str = "PING\r\n";

impl Redis {
    /// What a caller can do about an error of the server.
    pub fn classify(&self, error: RedisError) -> Error {
        match tls::said(&error).and_then(tls::wrong).or_else(|| in_words(&error)) {
            Some(Wrong::Plain) => return no_tls(self.server()).with_source(error),
            Some(Wrong::Certificate(hint)) => {
                return Error::invalid(self.server().to_owned()).with_source(error).with_hint(hint);
            }
            None => {}
        }
        let kind = kind(&error);
        let is_unknown = kind == Kind::Denied && error.code() != Some("NOPERM");
        let error = Error::new(kind, self.server().to_owned()).with_source(error);
        match is_unknown {
            true => error.with_hint(self.password_hint()),
            false => error,
        }
    }

    fn password_hint(&self) -> &'static str {
        match self.has_sentinels() {
            true => {
                "check user and password: the URL's are those of the master, and those of the \
                 Sentinels are `sentinel-user` and `sentinel-password`"
            }
            false => "check user and password in the URL",
        }
    }

    /// What came of the first call. Where it found nobody, that the server speaks TLS and was not
    /// asked to, or the other way round, or is of another kind, if it shows so.
    pub(super) async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        match first {
            Err(error) if look::is_in_doubt(&error) => {
                Err(Box::pin(self.mistaken()).await.unwrap_or(error))
            }
            first => first,
        }
    }

    async fn mistaken(&self) -> Option<Error> {
        for host in &self.hosts {
            let server = format!("redis {host}");
            let answer = look::answer(host, PING).await;
            match answer.first() {
                Some(b'+' | b'-') if self.has_tls => return Some(no_tls(&server)),
                Some(b'+' | b'-') => {}
                Some(_) => {
                    let stranger = look::stranger(&server, "Redis");
                    return Some(stranger.with_source(look::shown(&answer)));
                }
                None if !self.has_tls && look::speaks_tls(host).await => {
                    return Some(
                        Error::invalid(format!("{server} speaks TLS"))
                            .with_hint("for a server with TLS write `rediss://…`"),
                    );
                }
                None => {}
            }
        }
        None
    }
}

fn no_tls(server: &str) -> Error {
    Error::invalid(format!("{server} does not speak TLS"))
        .with_hint("for a server without TLS write `redis://…`")
}

fn kind(error: &RedisError) -> Kind {
    let code = error.code().unwrap_or_default();
    match error.kind() {
        _ if error.is_timeout() => Kind::Timeout,
        _ if is_half(error) => Kind::Unavailable,
        ErrorKind::AuthenticationFailed => Kind::Denied,
        _ if is_shut_out(error) => Kind::Denied,
        _ if matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM") => Kind::Denied,
        _ if code == "OOM" => Kind::Exhausted,
        _ if matches!(code, "MISCONF" | "NOREPLICAS" | "UNBLOCKED") => Kind::Unavailable,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        )
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel => Kind::Unavailable,
        ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported => Kind::Invalid,
        ErrorKind::Server(_) if code == "WRONGTYPE" => Kind::Corrupt,
        ErrorKind::Server(_) | ErrorKind::Extension => Kind::Internal,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Kind::Corrupt,
        _ => Kind::Unavailable,
    }
}

/// Whether the connection ended in the middle of an answer. The client says so as of an answer that
/// nobody can read, and only in words; those of values that are not what was asked for are others.
fn is_half(error: &RedisError) -> bool {
    let said = error.detail().unwrap_or_default();
    said.starts_with("Parse error at") && said.contains("Unexpected end of input")
}

/// Whether the connection is of no further use: broken, or to who is no longer the master.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || is_half(error)
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly))
}

/// What a cluster says that lets nobody in is told in words alone.
fn in_words(error: &RedisError) -> Option<Wrong> {
    let said = of_cluster(error)?;
    if said.contains("invalid peer certificate") {
        let wrong = match said {
            said if said.contains("not valid for") => CertificateError::NotValidForName,
            said if said.contains("expired") => CertificateError::Expired,
            _ => CertificateError::UnknownIssuer,
        };
        return tls::wrong(&rustls::Error::InvalidCertificate(wrong));
    }
    said.contains("InvalidContentType").then_some(Wrong::Plain)
}

/// Whether the nodes of a cluster refuse the password.
fn is_shut_out(error: &RedisError) -> bool {
    of_cluster(error).is_some_and(|said| {
        ["AuthenticationFailed", "NOAUTH", "WRONGPASS"].iter().any(|word| said.contains(word))
    })
}

/// Why none of a cluster's nodes could be connected to.
fn of_cluster(error: &RedisError) -> Option<&str> {
    error.detail().filter(|_| error.kind() == ErrorKind::Io)
}
