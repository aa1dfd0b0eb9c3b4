//! From what went wrong below to the case that the standard has for it.
//!
//! Errors of hyper, h2, rustls and the system come wrapped in each other; the innermost that means
//! something decides.

use super::Error;
use std::error::Error as StdError;
use std::io;

/// What the client was waiting for when it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The head of a response.
    Head,
    /// The body or trailers of a message whose head arrived.
    Body,
}

/// The case for an error of hyper.
pub fn hyper(error: &hyper::Error, phase: Phase) -> Error {
    tracing::debug!(error = error as &dyn StdError, ?phase, "HTTP failed");
    if let Some(case) = known(error, phase) {
        return case;
    }
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    if error.is_parse() {
        return Error::HttpProtocolError;
    }
    match phase {
        Phase::Body if error.is_incomplete_message() => Error::HttpResponseIncomplete,
        _ if error.is_timeout() => Error::ConnectionReadTimeout,
        // Closed, cancelled, or the runtime that drove the connection went away.
        _ if gone(error) => Error::ConnectionTerminated,
        Phase::Body => Error::ConnectionTerminated,
        Phase::Head => Error::HttpProtocolError,
    }
}

fn gone(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || error.is_user()
}

/// The case for an error of a handshake.
pub fn tls(error: &io::Error) -> Error {
    tracing::debug!(%error, "TLS failed");
    known(error, Phase::Head).unwrap_or(Error::TlsProtocolError)
}

/// The case for an error of `connect`.
pub fn connect(error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Error::ConnectionRefused,
        Kind::TimedOut => Error::ConnectionTimeout,
        Kind::ConnectionReset | Kind::ConnectionAborted => Error::ConnectionTerminated,
        // The last is what a machine without IPv6 says to an IPv6 address.
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable => {
            Error::DestinationIpUnroutable
        }
        // A firewall of this machine.
        Kind::PermissionDenied => Error::DestinationIpProhibited,
        _ => match error.raw_os_error() {
            // EMFILE and ENFILE: no more files.
            Some(24 | 23) => Error::ConnectionLimitReached,
            _ => Error::DestinationUnavailable,
        },
    }
}

/// The case for an error of a name look-up.
///
/// The system's resolver hands out text only. What is not recognised goes without an rcode.
pub(super) fn lookup(error: &io::Error) -> Error {
    const ABSENT: &[&str] = &["not known", "does not resolve", "No address associated"];
    const FAILED: &[&str] = &["Temporary failure", "Try again", "Non-recoverable"];
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let rcode = match error.kind() {
        io::ErrorKind::NotFound => Some("NXDOMAIN"),
        _ if says(ABSENT) => Some("NXDOMAIN"),
        _ if says(FAILED) => Some("SERVFAIL"),
        _ => None,
    };
    Error::DnsError { rcode: rcode.map(str::to_owned), info_code: None }
}

/// The case that the chain of causes names by a type that we know.
fn known(error: &(dyn StdError + 'static), phase: Phase) -> Option<Error> {
    let mut found = None;
    for cause in std::iter::successors(Some(error), |error| cause(*error)) {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            return Some(ours.clone());
        } else if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Some(of_rustls(error));
        } else if let Some(error) = cause.downcast_ref::<h2::Error>() {
            found = of_h2(error, phase).or(found);
        } else if let Some(error) = cause.downcast_ref::<io::Error>() {
            found = of_io(error, phase).or(found);
        }
    }
    found
}

/// `source`, except where the outer error shows only the source of its source.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.get_ref().map(|error| error as &(dyn StdError + 'static));
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return error.get_io().map(|error| error as &(dyn StdError + 'static));
    }
    error.source()
}

fn of_rustls(error: &rustls::Error) -> Error {
    use rustls::Error as Tls;
    match error {
        Tls::AlertReceived(alert) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Tls::InvalidCertificate(_)
        | Tls::InvalidCertRevocationList(_)
        | Tls::NoCertificatesPresented
        | Tls::UnsupportedNameType => Error::TlsCertificateError,
        _ => Error::TlsProtocolError,
    }
}

fn of_h2(error: &h2::Error, phase: Phase) -> Option<Error> {
    use h2::Reason;
    Some(match error.reason()? {
        // Our side's word for a head so large that it stops reading.
        Reason::ENHANCE_YOUR_CALM if error.is_library() && phase == Phase::Head => {
            Error::HttpResponseHeaderSectionSize(None)
        }
        Reason::REFUSED_STREAM | Reason::ENHANCE_YOUR_CALM => Error::DestinationUnavailable,
        Reason::NO_ERROR if error.is_go_away() => Error::ConnectionTerminated,
        Reason::NO_ERROR | Reason::CANCEL | Reason::INTERNAL_ERROR => Error::HttpResponseIncomplete,
        _ if phase == Phase::Body && error.is_remote() => Error::HttpResponseIncomplete,
        _ => Error::HttpProtocolError,
    })
}

fn of_io(error: &io::Error, phase: Phase) -> Option<Error> {
    use io::ErrorKind as Kind;
    match (error.kind(), phase) {
        (Kind::UnexpectedEof, Phase::Body) => Some(Error::HttpResponseIncomplete),
        // Only hyper's decoder of chunks says these, and only its text tells its parts apart.
        (Kind::InvalidInput | Kind::InvalidData, Phase::Body) => Some({
            if error.to_string().contains("trailer") {
                Error::HttpResponseTrailerSectionSize(None)
            } else {
                Error::HttpResponseTransferCoding(Some("chunked".to_owned()))
            }
        }),
        (Kind::ConnectionRefused, _) => Some(Error::ConnectionRefused),
        (
            Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
            | Kind::UnexpectedEof
            | Kind::TimedOut,
            _,
        ) => Some(Error::ConnectionTerminated),
        _ => None,
    }
}

/// Whether the server says that it did not process the request: RFC 9113, section 8.7. Of a
/// connection that it closes in peace, only streams that it never began are told so.
pub(super) fn is_unprocessed(error: &hyper::Error) -> bool {
    let refuses = |error: &h2::Error| match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) => true,
        Some(h2::Reason::NO_ERROR) => error.is_go_away(),
        _ => false,
    };
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| cause(*error))
        .filter_map(|error| error.downcast_ref::<h2::Error>())
        .any(|error| error.is_remote() && refuses(error))
}
