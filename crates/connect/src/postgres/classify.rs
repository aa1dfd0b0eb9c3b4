//! What a caller can do about an error of PostgreSQL, by its SQLSTATE.

use super::target::Target;
use base::{Error, Kind};
use tokio_postgres::Error as Cause;

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
        // Not the detail, which may show what is stored.
        Some(said) => from_server(said.code().code(), said.message(), server, target),
        None => from_connection(error, server),
    }
}

fn from_server(code: &str, said: &str, server: &str, target: &Target) -> Error {
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
    let error = Error::new(kind, format!("{server}: {said} (SQLSTATE {code})"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_says_is_sorted_by_what_can_be_done() {
        let target = Target::parse("postgres://me:hunter2@h/here", false).unwrap();
        for (code, kind, hint) in [
            // Out of memory, of room on the disk, of connections; and what it was told to take.
            ("53000", Kind::Exhausted, None),
            ("53100", Kind::Exhausted, None),
            ("53200", Kind::Exhausted, None),
            ("53300", Kind::Exhausted, Some("max_connections")),
            ("53400", Kind::Exhausted, None),
            ("54000", Kind::TooLarge, None),
            // It ends, or starts; somebody else is in the way; it took too long.
            ("57P01", Kind::Unavailable, None),
            ("57P03", Kind::Unavailable, None),
            ("08006", Kind::Unavailable, None),
            ("25006", Kind::Unavailable, Some("primary")),
            ("26000", Kind::Unavailable, Some("pool_mode = session")),
            ("40001", Kind::Exhausted, None),
            ("55P03", Kind::Exhausted, None),
            ("57014", Kind::Timeout, None),
            // Who asks, and for what.
            ("28P01", Kind::Denied, Some("the password of `me`")),
            ("28000", Kind::Denied, Some("pg_hba.conf")),
            ("42501", Kind::Denied, Some("TO \"me\"")),
            ("3D000", Kind::Invalid, Some("CREATE DATABASE \"here\"")),
            ("42P01", Kind::NotFound, None),
            // What is stored is broken, or is not; a statement is ours.
            ("XX001", Kind::Corrupt, None),
            ("XX000", Kind::Internal, None),
            ("42601", Kind::Internal, None),
        ] {
            let error = from_server(code, "no", "postgres h:5432", &target);
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.to_string(), format!("postgres h:5432: no (SQLSTATE {code})"));
            match hint {
                Some(words) => assert!(error.hint().unwrap().contains(words), "{error}"),
                None => assert_eq!(error.hint(), None, "{code}"),
            }
            assert!(!error.hint().unwrap_or_default().contains("hunter2"), "{code}");
        }
    }
}
