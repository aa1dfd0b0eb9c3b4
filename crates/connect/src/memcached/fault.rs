//! What is wrong when memcached, or the way to it, says no.

use super::protocol::Line;
use crate::look;
use crate::tls::fault::{self as tls, Wrong};
use base::{Error, Kind};
use std::io;

/// An exchange that failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection broke, or did not come about.
    Way(io::Error),
    /// The server said no, and goes on.
    Refused(String),
    /// The server did not like what was asked.
    Misunderstood(String),
    /// The server has a password, and a user that is not named is one that it does not know.
    Unauthenticated,
    /// The server knows no such user, or the user has another password.
    WrongPassword,
    /// The server would let anybody in, and would keep the password for everybody to read.
    NoPassword,
    /// An answer that is longer than what is taken.
    TooLarge,
    /// The server does something else for another.
    Busy,
    /// No answer that memcached gives.
    Strange,
    /// TLS cannot be set up.
    Setup(Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Way(error)
    }
}

impl Fault {
    /// What a line means to who waited for another.
    pub(super) fn of(line: &Line<'_>) -> Self {
        match *line {
            Line::ServerError(words) => Self::Refused(words.to_owned()),
            Line::ClientError("unauthenticated") => Self::Unauthenticated,
            Line::ClientError("authentication failure") => Self::WrongPassword,
            Line::ClientError(words) => Self::Misunderstood(words.to_owned()),
            Line::Busy => Self::Busy,
            _ => Self::Strange,
        }
    }

    /// The server hung up where it had something to say.
    pub(super) fn hung_up() -> Self {
        Self::Way(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up"))
    }

    /// Whether the connection is as good as before.
    pub(super) fn is_harmless(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Busy)
    }

    /// What a caller can do about it.
    pub(super) fn into_error(self, server: &str) -> Error {
        let error = |kind, what: &str| Error::new(kind, format!("{server}: {what}"));
        match self {
            Self::Way(way) => of_way(server, way),
            Self::Refused(words) => {
                let kind = match words.as_str() {
                    words if words.contains("too large") => Kind::TooLarge,
                    words if words.contains("out of memory") => Kind::Exhausted,
                    _ => Kind::Unavailable,
                };
                error(kind, &words)
            }
            Self::Misunderstood(words) => error(Kind::Internal, &words),
            Self::Unauthenticated => error(Kind::Denied, "it wants a user and a password")
                .with_hint("the URL takes them: memcached://USER:PASSWORD@HOST"),
            Self::WrongPassword => error(Kind::Denied, "authentication failure")
                .with_hint("check the user and the password in the URL"),
            Self::NoPassword => error(Kind::Invalid, "it lets everybody in without a password")
                .with_hint("leave user and password out of the URL, or start it with `-Y FILE`"),
            Self::TooLarge => error(Kind::TooLarge, "its answer is larger than what is taken"),
            Self::Busy => error(Kind::Unavailable, "it is busy with the same for another"),
            Self::Strange => look::stranger(server, "memcached"),
            Self::Setup(setup) => setup.context(server),
        }
    }
}

/// The server does not speak TLS, and was asked to.
pub(super) fn no_tls(server: &str) -> Error {
    Error::invalid(format!("{server} does not speak TLS"))
        .with_hint("for a server without TLS write `memcached://HOST[:PORT]`")
}

/// The server speaks TLS, and was not asked to.
pub(super) fn only_tls(server: &str) -> Error {
    Error::invalid(format!("{server} speaks TLS"))
        .with_hint("for a server with TLS write `memcacheds://HOST[:PORT]`")
}

fn of_way(server: &str, way: io::Error) -> Error {
    match tls::said(&way).and_then(tls::wrong) {
        Some(Wrong::Plain) => no_tls(server).with_source(way),
        Some(Wrong::Certificate(hint)) => {
            Error::invalid(server.to_owned()).with_source(way).with_hint(hint)
        }
        None => Error::unavailable(server.to_owned()).with_source(way),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &[u8]) -> Error {
        Fault::of(&Line::read(line).unwrap()).into_error("memcached h:1")
    }

    #[test]
    fn what_memcached_says_is_sorted_by_what_can_be_done() {
        for (line, kind) in [
            ("SERVER_ERROR object too large for cache", Kind::TooLarge),
            ("SERVER_ERROR out of memory storing object", Kind::Exhausted),
            ("SERVER_ERROR temporary failure", Kind::Unavailable),
            ("CLIENT_ERROR unauthenticated", Kind::Denied),
            ("CLIENT_ERROR authentication failure", Kind::Denied),
            ("CLIENT_ERROR bad command line format", Kind::Internal),
            ("BUSY currently processing crawler request", Kind::Unavailable),
            ("ERROR", Kind::Invalid),
            ("STORED", Kind::Invalid),
        ] {
            let error = said(line.as_bytes());
            assert_eq!(error.kind(), kind, "{line}");
            assert!(error.to_string().contains("memcached h:1"), "{error}");
        }
    }

    #[test]
    fn a_broken_way_is_told_from_a_wrong_one() {
        let way = |tls: rustls::Error| Fault::from(io::Error::other(tls)).into_error("memcached h");
        let unknown = rustls::CertificateError::UnknownIssuer;
        let untrusted = way(rustls::Error::InvalidCertificate(unknown));
        assert_eq!(untrusted.kind(), Kind::Invalid, "{untrusted}");
        assert!(untrusted.hint().unwrap().contains("`ca = "));
        let plain = rustls::InvalidMessage::InvalidContentType;
        let plain = way(rustls::Error::InvalidMessage(plain));
        assert!(plain.hint().unwrap().contains("memcached://"));
        let away = Fault::hung_up().into_error("memcached h:1");
        assert_eq!((away.kind(), away.hint()), (Kind::Unavailable, None));
    }
}
