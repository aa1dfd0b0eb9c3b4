//! What a caller can do about an error of PostgreSQL, by its SQLSTATE.

use super::target::Target;
use base::{Error, Kind};
use tokio_postgres::Error as Cause;
use tokio_postgres::error::DbError;

/// Whether the connection is of no further use: broken, or to a server that no longer writes.
pub(super) fn is_lost(error: &Cause) -> bool {
    match error.code() {
        Some(code) => {
            let code = code.code();
            // 26000: somebody between us and the server forgot a statement.
            code.starts_with("57P0") || code.starts_with("08") || matches!(code, "25006" | "26000")
        }
        None => !is_our_mistake(error),
    }
}

/// Whether the server gave the work up because of another's, and changed nothing.
pub(super) fn is_in_the_way(error: &Cause) -> bool {
    matches!(error.code().map(|code| code.code()), Some("40001" | "40P01"))
}

/// A parameter or a column of the wrong type: nothing was sent, or everything was received.
fn is_our_mistake(error: &Cause) -> bool {
    let words = error.to_string();
    ["error serializing", "error deserializing", "invalid column", "expected", "query returned"]
        .iter()
        .any(|beginning| words.starts_with(beginning))
}

/// The error that a caller gets.
pub(super) fn error(error: &Cause, server: &str, target: &Target) -> Error {
    match error.as_db_error() {
        Some(said) => from_server(said, server, target),
        None => from_connection(error, server),
    }
}

fn from_server(said: &DbError, server: &str, target: &Target) -> Error {
    let code = said.code().code();
    let kind = match code {
        "28P01" | "28000" | "42501" => Kind::Denied,
        "3D000" | "3F000" => Kind::Invalid,
        "25006" => Kind::Unavailable,
        "57014" => Kind::Timeout,
        "55P03" | "40001" | "40P01" => Kind::Exhausted,
        "42P01" => Kind::NotFound,
        "26000" | "42P05" => Kind::Unavailable,
        "54000" => Kind::TooLarge,
        _ => match code.get(..2).unwrap_or_default() {
            "53" => Kind::Exhausted,
            "08" | "57" => Kind::Unavailable,
            "XX" if code != "XX000" => Kind::Corrupt,
            _ => Kind::Internal,
        },
    };
    // Not the detail, which may show what is stored.
    let message = format!("{server}: {} (SQLSTATE {code})", said.message());
    let error = Error::new(kind, message);
    match code {
        "28P01" => error.with_hint(format!("check the password of `{}` in the URL", target.user())),
        "28000" => error.with_hint(
            "the server's pg_hba.conf decides who may connect from where, and whether with TLS: \
             `?sslmode=require`",
        ),
        "42501" => error.with_hint(format!(
            "as the owner: GRANT CREATE, USAGE ON SCHEMA public TO \"{}\"; or let the owner open \
             the binding once",
            target.user()
        )),
        "3D000" => {
            error.with_hint(format!("create it first: CREATE DATABASE \"{}\"", target.database()))
        }
        "25006" => error.with_hint("name the primary, or all servers: postgres://one,other/…"),
        "53300" => error.with_hint("lower `connections`, or raise the server's max_connections"),
        "26000" | "42P05" => error
            .with_hint("a pooler in between must keep sessions together (`pool_mode = session`)"),
        _ => error,
    }
}

fn from_connection(error: &Cause, server: &str) -> Error {
    let words = error.to_string();
    let why = causes(error);
    let (kind, hint) = match words.as_str() {
        "error performing TLS handshake" if why.contains("does not support TLS") => {
            (Kind::Invalid, Some("the server has no TLS: `?sslmode=disable`"))
        }
        "error performing TLS handshake" if why.contains("certificate") => (
            Kind::Invalid,
            Some(
                "name the authority that signed it (`ca = \"FILE\"`) and the server as it says; \
                 without TLS: `?sslmode=disable`",
            ),
        ),
        "invalid configuration" if !why.contains("password") => (Kind::Invalid, None),
        "invalid configuration" | "authentication error" => {
            (Kind::Denied, Some("check user and password in the URL"))
        }
        _ if is_our_mistake(error) => (Kind::Internal, None),
        _ => (Kind::Unavailable, None),
    };
    let found = Error::new(kind, format!("{server}: {words}{why}"));
    match hint {
        Some(hint) => found.with_hint(hint),
        None => found,
    }
}

/// The chain behind an error, as text: its own types say nothing more.
fn causes(error: &Cause) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
