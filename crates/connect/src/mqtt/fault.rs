//! What is wrong when a server of MQTT, or the way to it, says no.

use crate::look;
use crate::tls::fault::{self as tls, Wrong};
use base::{Error, Kind};
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason, SubscribeReasonCode};
use std::io;

/// The session is with another connection now.
const TAKEN_OVER: u8 = 0x8e;

/// The way to the server broke, or did not come about.
pub(super) fn of_way(server: &str, way: io::Error) -> Error {
    match tls::said(&way).and_then(tls::wrong) {
        Some(Wrong::Plain) => no_tls(server).with_source(way),
        Some(Wrong::Certificate(hint)) => {
            Error::invalid(server.to_owned()).with_source(way).with_hint(hint)
        }
        None => Error::unavailable(server.to_owned()).with_source(way),
    }
}

/// The server does not speak TLS, and was asked to.
pub(super) fn no_tls(server: &str) -> Error {
    Error::invalid(format!("{server} does not speak TLS"))
        .with_hint("for a server without TLS write `mqtt://HOST[:PORT]`")
}

/// The server speaks TLS, and was not asked to.
pub(super) fn only_tls(server: &str) -> Error {
    Error::invalid(format!("{server} speaks TLS"))
        .with_hint("for a server with TLS write `mqtts://HOST[:PORT]`")
}

/// What came is no packet of MQTT 5.
pub(super) fn strange(server: &str, said: &[u8]) -> Error {
    look::stranger(server, "MQTT").with_source(look::shown(said))
}

/// The server knows an older version only.
pub(super) fn too_old(server: &str) -> Error {
    Error::unsupported(format!("{server} speaks an older MQTT, and version 5 is needed"))
        .with_hint("update the server to one that speaks MQTT 5")
}

/// The server does not let the client in. `None`: it does.
pub(super) fn of_connect(server: &str, code: ConnectReturnCode) -> Option<Error> {
    use ConnectReturnCode as C;
    let kind = match code {
        C::Success => return None,
        C::RefusedProtocolVersion | C::UnsupportedProtocolVersion => return Some(too_old(server)),
        C::BadUserNamePassword | C::NotAuthorized | C::Banned | C::BadAuthenticationMethod => {
            Kind::Denied
        }
        C::BadClientId
        | C::ClientIdentifierNotValid
        | C::TopicNameInvalid
        | C::PayloadFormatInvalid
        | C::RetainNotSupported
        | C::QoSNotSupported
        | C::ServerMoved => Kind::Invalid,
        C::QuotaExceeded => Kind::Exhausted,
        _ => Kind::Unavailable,
    };
    let error = Error::new(kind, format!("{server} refuses the client: {code:?}"));
    Some(match kind {
        Kind::Denied => error.with_hint("check the user and the password in the URL"),
        _ => error,
    })
}

/// The server does not take a message. `None`: it does.
pub(super) fn of_publish(server: &str, reason: PubAckReason) -> Option<Error> {
    use PubAckReason as R;
    let kind = match reason {
        R::Success | R::NoMatchingSubscribers => return None,
        R::NotAuthorized => Kind::Denied,
        R::TopicNameInvalid | R::PayloadFormatInvalid => Kind::Invalid,
        R::QuotaExceeded => Kind::Exhausted,
        R::UnspecifiedError | R::ImplementationSpecificError | R::PacketIdentifierInUse => {
            Kind::Unavailable
        }
    };
    Some(Error::new(kind, format!("{server} does not take the message: {reason:?}")))
}

/// The server does not subscribe the client. `None`: it does.
pub(super) fn of_subscribe(server: &str, code: SubscribeReasonCode) -> Option<Error> {
    use SubscribeReasonCode as C;
    let kind = match code {
        C::Success(_) => return None,
        C::NotAuthorized => Kind::Denied,
        C::TopicFilterInvalid => Kind::Invalid,
        C::QuotaExceeded => Kind::Exhausted,
        C::SharedSubscriptionsNotSupported
        | C::SubscriptionIdNotSupported
        | C::WildcardSubscriptionsNotSupported => Kind::Unsupported,
        C::Failure | C::Unspecified | C::ImplementationSpecific | C::PkidInUse => Kind::Unavailable,
    };
    Some(Error::new(kind, format!("{server} refuses the subscription: {code:?}")))
}

/// Why the server ended the connection, by its number.
pub(super) fn why(reason: u8) -> String {
    let words = match reason {
        0x81 => "it found a packet malformed",
        0x82 => "it found an error of the protocol",
        0x87 => "the client may not do that",
        0x89 => "it is busy",
        0x8b => "it is shutting down",
        0x8d => "it heard nothing for too long",
        TAKEN_OVER => "another client has the session now",
        0x93 => "it got more messages at once than it takes",
        0x95 => "a packet is too large for it",
        0x97 => "a quota is exceeded",
        0x98 => "somebody ended it",
        other => return format!("it ended the connection with reason {other:#04x}"),
    };
    words.to_owned()
}

/// Whether the server ended the connection because another has its session.
pub(super) fn is_taken_over(reason: u8) -> bool {
    reason == TAKEN_OVER
}
