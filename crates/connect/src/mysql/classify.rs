//! What a caller can do about an error of MySQL or MariaDB, by its number.

use super::target::Target;
use base::{Error, Kind};
use mysql_async::{DriverError, Error as Cause, IoError, ServerError};

/// So MySQL with `require_secure_transport` refuses who comes without TLS.
const INSECURE: u16 = 3159;

/// The number of a server's error.
pub(super) fn code(error: &Cause) -> Option<u16> {
    match error {
        Cause::Server(said) => Some(said.code),
        _ => None,
    }
}

/// Whether the connection is of no further use: broken, or to a server that no longer writes.
pub(super) fn is_lost(error: &Cause) -> bool {
    match error {
        Cause::Server(said) => is_read_only(said) || matches!(said.code, 1053 | 1077 | 1079 | 1927),
        Cause::Driver(error) => !matches!(
            error,
            DriverError::FromValue { .. }
                | DriverError::FromRow { .. }
                | DriverError::Params(_)
                | DriverError::StmtParamsMismatch { .. }
        ),
        _ => true,
    }
}

/// The server runs with `read_only`, or in a transaction that does.
fn is_read_only(said: &ServerError) -> bool {
    said.code == 1836 || (said.code == 1290 && said.message.contains("read"))
}

/// The error that a caller gets.
pub(super) fn error(error: &Cause, target: &Target) -> Error {
    match error {
        Cause::Server(said) => from_server(said, target),
        Cause::Io(IoError::Tls(why)) => tls(&format!("{}: TLS: {why}", target.shown)),
        Cause::Driver(DriverError::NoClientSslFlagFromServer) => {
            Error::invalid(format!("{}: the server does not support TLS", target.shown))
                .with_hint("`?ssl-mode=disabled`")
        }
        // A handshake that fails in the middle is an error of input and output to the client.
        Cause::Io(IoError::Io(why)) if why.to_string().contains("certificate") => {
            tls(&format!("{}: TLS: {why}", target.shown))
        }
        Cause::Driver(_) if !is_lost(error) => {
            Error::internal(format!("{}: {error}", target.shown))
        }
        _ => Error::unavailable(format!("{}: {error}", target.shown)),
    }
}

fn tls(message: &str) -> Error {
    Error::invalid(message.to_owned()).with_hint(
        "name the authority that signed the server's certificate (`ca = \"FILE\"`) and the server \
         as it says; without TLS: `?ssl-mode=disabled`",
    )
}

fn from_server(said: &ServerError, target: &Target) -> Error {
    let kind = match said.code {
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 | 3118 => Kind::Denied,
        1049 | INSECURE => Kind::Invalid,
        1021 | 1037 | 1038 | 1040 | 1041 | 1114 | 1203 | 1205 | 1213 | 1226 => Kind::Exhausted,
        1053 | 1077 | 1079 | 1927 => Kind::Unavailable,
        1969 | 3024 => Kind::Timeout,
        1146 => Kind::NotFound,
        1118 | 1153 | 1301 => Kind::TooLarge,
        _ if is_read_only(said) => Kind::Unavailable,
        _ => Kind::Internal,
    };
    let message = format!("{}: {} (error {})", target.shown, said.message, said.code);
    let error = Error::new(kind, message);
    let user = target.opts.user().unwrap_or_default();
    let database = target.opts.db_name().unwrap_or_default();
    match said.code {
        // MariaDB refuses so who comes without TLS to where it is wanted.
        1045 if !target.has_tls => error.with_hint(format!(
            "check the password of `{user}` in the URL, and whether the server or the user wants \
             TLS: `?ssl-mode=required`"
        )),
        1045 | 1698 => error.with_hint(format!("check the password of `{user}` in the URL")),
        1044 | 1142 | 1143 | 1227 => error.with_hint(format!(
            "as an administrator: GRANT ALL ON `{database}`.* TO '{user}'@'…'; or let somebody \
             who may create tables open the binding once"
        )),
        1049 => error.with_hint(format!("create it first: CREATE DATABASE `{database}`")),
        1040 | 1203 => {
            error.with_hint("lower `connections`, or raise the server's max_connections")
        }
        INSECURE => error.with_hint(
            "add `?ssl-mode=required` to the URL, or name the authority that signed the server's \
             certificate: `ca = \"FILE\"`",
        ),
        1153 => error.with_hint("raise the server's max_allowed_packet"),
        _ if is_read_only(said) => error.with_hint("name the primary"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, words: &str) -> Error {
        let target = Target::parse("mysql://me:hunter2@h/here", false).unwrap();
        let (message, state) = (words.to_owned(), "HY000".to_owned());
        error(&Cause::Server(ServerError { code, message, state }), &target)
    }

    #[test]
    fn what_mysql_says_is_sorted_by_what_can_be_done() {
        for (code, kind, hint) in [
            // Out of room on the disk, of memory, of connections, of files, of room in a table.
            (1021, Kind::Exhausted, None),
            (1037, Kind::Exhausted, None),
            (1038, Kind::Exhausted, None),
            (1040, Kind::Exhausted, Some("max_connections")),
            (1041, Kind::Exhausted, None),
            (1114, Kind::Exhausted, None),
            (1203, Kind::Exhausted, Some("max_connections")),
            (1226, Kind::Exhausted, None),
            (1118, Kind::TooLarge, None),
            (1153, Kind::TooLarge, Some("max_allowed_packet")),
            // It ends; somebody else is in the way; it took too long.
            (1053, Kind::Unavailable, None),
            (1927, Kind::Unavailable, None),
            (1836, Kind::Unavailable, Some("primary")),
            (1205, Kind::Exhausted, None),
            (1213, Kind::Exhausted, None),
            (1969, Kind::Timeout, None),
            (3024, Kind::Timeout, None),
            // Who asks, how, and for what.
            (1045, Kind::Denied, Some("the password of `me`")),
            (1045, Kind::Denied, Some("ssl-mode=required")),
            (1698, Kind::Denied, Some("the password of `me`")),
            (1142, Kind::Denied, Some("TO 'me'")),
            (1049, Kind::Invalid, Some("CREATE DATABASE `here`")),
            (3159, Kind::Invalid, Some("ssl-mode=required")),
            (1146, Kind::NotFound, None),
            (1064, Kind::Internal, None),
        ] {
            let error = said(code, "no");
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.to_string(), format!("mysql h:3306: no (error {code})"));
            match hint {
                Some(words) => assert!(error.hint().unwrap().contains(words), "{error}"),
                None => assert_eq!(error.hint(), None, "{code}"),
            }
            assert!(!error.hint().unwrap_or_default().contains("hunter2"), "{code}");
        }
        // One number for everything that an option forbids.
        assert_eq!(said(1290, "running with the --read-only option").kind(), Kind::Unavailable);
        assert_eq!(said(1290, "running with --secure-file-priv").kind(), Kind::Internal);
    }
}
