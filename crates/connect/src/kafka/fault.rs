//! What a caller can do about an error of librdkafka or of a broker.

use super::Context;
use base::{Error, Kind};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// The code of an error, whichever call it is of.
pub fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// Whether a group refuses a member that it counts on no more: what it had is with others.
pub fn is_member_gone(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::FencedInstanceId
            | Code::AssignmentLost
    )
}

/// The error with its kind, and with what kept the client from its servers.
pub(super) fn error(context: &Context, error: KafkaError) -> Error {
    let server = context.server();
    let Some(code) = code(&error) else {
        return Error::internal(format!("{server}: the client failed")).with_source(error);
    };
    let kind = kind(code);
    if !matches!(kind, Kind::Timeout | Kind::Unavailable) {
        let hint = hint(code);
        let error = Error::new(kind, format!("{server}: {code}"));
        return hint.into_iter().fold(error, Error::with_hint);
    }
    match context.trouble() {
        Some((Some(Code::Authentication | Code::SaslAuthenticationFailed), reason)) => {
            Error::denied(format!("{server}: {reason}"))
        }
        // It ended for want of a server, however it was told.
        Some((_, reason)) => Error::unavailable(format!("{server}: {reason}")),
        None => Error::new(kind, format!("{server}: {code}")),
    }
}

fn kind(code: Code) -> Kind {
    match code {
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue => Kind::Timeout,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::PolicyViolation => Kind::Denied,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Kind::TooLarge,
        Code::QueueFull | Code::ThrottlingQuotaExceeded => Kind::Exhausted,
        Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::InvalidRequiredAcks
        | Code::InvalidArgument => Kind::Invalid,
        Code::NonEmptyGroup => Kind::Conflict,
        Code::UnsupportedVersion | Code::UnsupportedFeature | Code::UnsupportedForMessageFormat => {
            Kind::Unsupported
        }
        Code::InvalidMessage | Code::BadCompression | Code::BadMessage => Kind::Corrupt,
        // Brokers change leaders, start and stop; whoever asks again finds another one.
        _ => Kind::Unavailable,
    }
}

fn hint(code: Code) -> Option<&'static str> {
    match code {
        Code::TopicAuthorizationFailed => {
            Some("let the user read, write, create, describe and delete the topic")
        }
        Code::GroupAuthorizationFailed => {
            Some("let the user read, describe and delete groups that begin with the topic's name")
        }
        Code::InvalidReplicationFactor => {
            Some("write as many `replicas` as there are brokers, or fewer")
        }
        _ => None,
    }
}
