//! What is wrong when etcd, or the way to it, says no.

use base::{Error, Kind};
use std::error::Error as StdError;

/// Codes of gRPC, which are numbers of its specification.
const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;
const INVALID: i32 = 3;
const DEADLINE: i32 = 4;
const NOT_FOUND: i32 = 5;
const DENIED: i32 = 7;
const EXHAUSTED: i32 = 8;
const RANGE: i32 = 11;
const UNAVAILABLE: i32 = 14;
const LOSS: i32 = 15;
const UNAUTHENTICATED: i32 = 16;

/// What etcd says, by what a caller can do about it, and how. The words are those of its
/// `rpctypes`, which are the same in all versions; a code alone does not tell them apart.
const SAID: &[(&str, Kind, &str)] = &[
    (
        "database space exceeded",
        Kind::Exhausted,
        "compact and defragment it and call `etcdctl alarm disarm`, or give it a larger \
         --quota-backend-bytes",
    ),
    ("too many requests", Kind::Exhausted, ""),
    ("request is too large", Kind::TooLarge, ""),
    ("larger than max", Kind::TooLarge, ""),
    ("too many operations", Kind::TooLarge, "start etcd with --max-txn-ops=128 or more"),
    ("invalid user ID or password", Kind::Denied, ""),
    ("user name is empty", Kind::Denied, "the URL takes a user: etcd://user:password@host:2379"),
    ("permission denied", Kind::Denied, "grant the user's role reading and writing of the prefix"),
    ("authentication is not enabled", Kind::Invalid, "leave user and password out of the URL"),
    ("corrupt", Kind::Corrupt, ""),
];

/// A server that does not speak TLS hangs up.
const NO_TLS: &str = "a server that does not speak TLS has a URL that begins with `etcd:`";

/// What the way to the server says.
const HEARD: &[(&str, &str)] = &[
    ("InvalidContentType", NO_TLS),
    ("tls handshake eof", NO_TLS),
    ("UnknownIssuer", "name the certificate of its authority with `ca = \"FILE\"`"),
    ("CertificateRequired", "it wants a certificate; give `certificate` and `key`"),
];

/// A call that failed.
pub(super) struct Fault {
    kind: Kind,
    text: String,
    hint: &'static str,
    /// The connection is gone, or the node is of no use.
    lost: bool,
    /// The server certainly did not see the call.
    unsent: bool,
}

impl Fault {
    pub(super) fn new(error: etcd_client::Error) -> Self {
        use etcd_client::Error as From;
        match error {
            From::GRpcStatus(status) => match status.source() {
                // Not the server's words.
                Some(source) => Self::of_way(source, status.code() as i32),
                None => Self::of_status(status.code() as i32, status.message()),
            },
            From::TransportError(error) => {
                let mut fault = Self::of_way(&error, UNAVAILABLE);
                // Settings of TLS that cannot be used are found out before anything is sent.
                fault.unsent = true;
                fault
            }
            From::WatchError(text) | From::LeaseKeepAliveError(text) => {
                Self { lost: true, ..Self::plain(Kind::Unavailable, text) }
            }
            error @ (From::InvalidArgs(_) | From::InvalidUri(_) | From::EndpointError(_)) => {
                Self::plain(Kind::Invalid, error.to_string())
            }
            error => Self::plain(Kind::Internal, error.to_string()),
        }
    }

    /// What the server said without a code.
    pub(super) fn of_server(text: &str) -> Self {
        Self::of_status(UNKNOWN, text)
    }

    fn plain(kind: Kind, text: String) -> Self {
        Self { kind, text, hint: "", lost: false, unsent: false }
    }

    fn of_status(code: i32, text: &str) -> Self {
        let kind = match code {
            CANCELLED | UNAVAILABLE => Kind::Unavailable,
            DEADLINE => Kind::Timeout,
            INVALID => Kind::Invalid,
            NOT_FOUND => Kind::NotFound,
            DENIED | UNAUTHENTICATED => Kind::Denied,
            EXHAUSTED => Kind::Exhausted,
            // Longer than what this client takes.
            RANGE if text.contains("too large") => Kind::TooLarge,
            RANGE => Kind::Conflict,
            LOSS => Kind::Corrupt,
            _ => Kind::Internal,
        };
        let said = SAID.iter().find(|(words, ..)| text.contains(words));
        let (kind, hint) = said.map_or((kind, ""), |(_, kind, hint)| (*kind, *hint));
        let text = text.trim_start_matches("etcdserver: ").to_owned();
        Self { kind, text, hint, lost: kind == Kind::Unavailable, unsent: false }
    }

    /// What happened on the way, told by errors that have each other as their source.
    fn of_way(source: &(dyn StdError + 'static), code: i32) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let (mut unsent, mut hint) = (false, "");
        let mut next = Some(source);
        while let Some(error) = next {
            let (text, shape) = (error.to_string(), format!("{error:?}"));
            unsent |= shape.starts_with("ConnectError");
            if let Some((_, found)) = HEARD.iter().find(|(words, _)| shape.contains(words)) {
                hint = found;
            }
            if !texts.iter().any(|known| known.contains(&text)) {
                texts.push(text);
            }
            next = error.source();
        }
        let kind = if code == RANGE { Kind::TooLarge } else { Kind::Unavailable };
        Self { kind, text: texts.join(": "), hint, lost: kind == Kind::Unavailable, unsent }
    }

    /// It happened while connecting, before the call itself was sent.
    pub(super) fn before_sending(mut self) -> Self {
        self.unsent = true;
        self
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn is_unsent(&self) -> bool {
        self.lost && self.unsent
    }

    pub(super) fn wants_another_token(&self) -> bool {
        self.text.contains("revision of auth store is old")
    }

    pub(super) fn into_error(self, server: &str) -> Error {
        let error = Error::new(self.kind, format!("{server}: {}", self.text));
        match self.hint {
            "" => error,
            hint => error.with_hint(hint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_says_is_sorted_by_what_can_be_done() {
        let full = Fault::of_status(EXHAUSTED, "etcdserver: mvcc: database space exceeded");
        let error = full.into_error("etcd h:1");
        assert_eq!(error.kind(), Kind::Exhausted);
        assert_eq!(error.to_string(), "etcd h:1: mvcc: database space exceeded");
        assert!(error.hint().unwrap().contains("alarm disarm"));
        let empty = Fault::of_status(INVALID, "etcdserver: user name is empty");
        assert_eq!(empty.into_error("x").kind(), Kind::Denied);
        let leader = Fault::of_status(UNAVAILABLE, "etcdserver: leader changed");
        assert!(leader.is_lost() && !leader.is_unsent());
        let lease = Fault::of_status(NOT_FOUND, "etcdserver: requested lease not found");
        assert_eq!(lease.into_error("x").kind(), Kind::NotFound);
    }
}
