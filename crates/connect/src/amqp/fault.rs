//! What a caller can do about an error of the server's, or of the way there.

use crate::tls::fault::{self, Wrong};
use base::{Error, Kind};
use lapin::ErrorKind;
use std::error::Error as StdError;

/// An error of `server`, which is how messages name it.
pub(super) fn error(server: &str, error: lapin::Error) -> Error {
    let (kind, hint) = kind(&error);
    let error = Error::new(kind, server.to_owned()).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The specification's codes, and RabbitMQ's own use of them.
fn kind(error: &lapin::Error) -> (Kind, Option<&'static str>) {
    let said = match error.kind() {
        ErrorKind::ProtocolError(said) => said,
        ErrorKind::ChannelsLimitReached => return (Kind::Exhausted, None),
        ErrorKind::SerialisationError(_) => return (Kind::Internal, None),
        _ => return (Kind::Unavailable, None),
    };
    match said.get_id() {
        311 => (Kind::TooLarge, None),
        403 => {
            (Kind::Denied, Some("check the user and the password, and what the user may do there"))
        }
        404 => (Kind::NotFound, None),
        405 => (Kind::Conflict, None),
        406 => (Kind::Invalid, None),
        506 => (Kind::Exhausted, None),
        530 => (
            Kind::Denied,
            Some("check the virtual host in the URL, and what the user may do there"),
        ),
        // It stops, lost a queue's leader, or met an error of its own.
        313 | 320 | 541 => (Kind::Unavailable, None),
        _ => (Kind::Internal, None),
    }
}

/// An error of the way to `server`.
pub(super) fn of_way(server: &str, way: impl StdError + Send + Sync + 'static) -> Error {
    match fault::said(&way).and_then(fault::wrong) {
        Some(Wrong::Plain) => Error::invalid(format!("{server} does not speak TLS"))
            .with_source(way)
            .with_hint("for a server without TLS write `amqp://…`"),
        Some(Wrong::Certificate(hint)) => {
            Error::invalid(server.to_owned()).with_source(way).with_hint(hint)
        }
        None => Error::unavailable(server.to_owned()).with_source(way),
    }
}

/// `server` speaks TLS, and was spoken to without.
pub(super) fn only_tls(server: &str) -> Error {
    Error::invalid(format!("{server} speaks TLS"))
        .with_hint("for a server with TLS write `amqps://…`")
}
