//! What the service says no to, sorted by what can be done about it.

use base::{Error, Kind};
use http_types::StatusCode;
use serde_json::Value;

/// The error that a refusal is. `None`: it is none of SQS's.
pub(super) fn error(
    server: &str,
    status: StatusCode,
    code: Option<&str>,
    body: &[u8],
) -> Option<Error> {
    let (named, message) = said(body).unwrap_or_default();
    let named = if named.is_empty() { code.unwrap_or_default() } else { &named };
    let code = named.rsplit('#').next().unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default();
    if code.is_empty() {
        // What stands before the service speaks otherwise.
        let away = || Error::unavailable(format!("{server} answers {status}"));
        return status.is_server_error().then(away);
    }
    let words = if message.is_empty() { code } else { &message };
    let error = Error::new(kind(status, code, &message), format!("{server}: {words}"));
    Some(match error.kind() {
        Kind::Denied if code.starts_with("AccessDenied") => {
            error.with_hint("the access key has to be allowed what the manual names")
        }
        Kind::Denied => {
            error.with_hint("check the access key, its secret and this machine's clock")
        }
        _ => error,
    })
}

/// The code and the message of a refusal: in JSON, or in XML by who looks at signatures alone.
fn said(body: &[u8]) -> Option<(String, String)> {
    if let Ok(said) = serde_json::from_slice::<Value>(body) {
        let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
        let message = text("message").or_else(|| text("Message"));
        return Some((text("__type").unwrap_or_default(), message.unwrap_or_default()));
    }
    let text = str::from_utf8(body).ok()?;
    let within = |begin: &str, end: &str| {
        let (_, rest) = text.split_once(begin)?;
        Some(rest.split_once(end)?.0.to_owned())
    };
    let code = within("<Code>", "</Code>")?;
    Some((code, within("<Message>", "</Message>").unwrap_or_default()))
}

fn kind(status: StatusCode, code: &str, message: &str) -> Kind {
    let denied = [
        "AccessDenied",
        "AuthFailure",
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignature",
        "KmsAccessDenied",
        "MissingAuthenticationToken",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClient",
    ];
    let full = ["KmsThrottled", "LimitExceeded", "OverLimit", "RequestLimitExceeded", "Throttl"];
    let begins = |words: &[&str]| words.iter().any(|word| code.starts_with(word));
    match code {
        "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => Kind::NotFound,
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => Kind::Conflict,
        // How Amazon says it of a message that is with another.
        "InvalidParameterValue" | "InvalidParameterValueException"
            if message.contains("ReceiptHandle") =>
        {
            Kind::Conflict
        }
        "RequestThrottled" | "QueueDeletedRecently" => Kind::Exhausted,
        "AWS.SimpleQueueService.QueueDeletedRecently" => Kind::Exhausted,
        _ if begins(&full) => Kind::Exhausted,
        _ if begins(&denied) => Kind::Denied,
        _ if status.is_server_error() => Kind::Unavailable,
        _ => Kind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str, message: &str) -> Option<Error> {
        let body = serde_json::json!({ "__type": code, "message": message }).to_string();
        error("sqs h:1", StatusCode::from_u16(status).unwrap(), None, body.as_bytes())
    }

    #[test]
    fn what_the_service_says_is_sorted_by_what_can_be_done() {
        for (status, code, message, kind) in [
            (400, "com.amazonaws.sqs#QueueDoesNotExist", "", Kind::NotFound),
            (400, "com.amazonaws.sqs#ReceiptHandleIsInvalid", "", Kind::Conflict),
            (400, "InvalidParameterValue", "Value x for parameter ReceiptHandle", Kind::Conflict),
            (400, "InvalidParameterValue", "Value x for parameter QueueName", Kind::Invalid),
            (400, "com.amazonaws.sqs#QueueDeletedRecently", "", Kind::Exhausted),
            (403, "com.amazonaws.sqs#RequestThrottled", "", Kind::Exhausted),
            (400, "com.amazonaws.sqs#OverLimit", "", Kind::Exhausted),
            (403, "InvalidClientTokenId", "", Kind::Denied),
            (403, "AccessDeniedException", "not yours", Kind::Denied),
            (400, "com.amazon.coral.service#ExpiredTokenException", "", Kind::Denied),
            (503, "ServiceUnavailable", "", Kind::Unavailable),
            (500, "", "", Kind::Unavailable),
            (400, "InvalidAddress", "", Kind::Invalid),
        ] {
            let error = said(status, code, message).unwrap();
            assert_eq!(error.kind(), kind, "{code}: {error}");
            assert!(error.to_string().starts_with("sqs h:1"), "{error}");
        }
        assert!(said(400, "", "").is_none());
        let xml = b"<Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error>";
        let denied = error("sqs h:1", StatusCode::FORBIDDEN, None, xml).unwrap();
        assert_eq!((denied.kind(), denied.message()), (Kind::Denied, "sqs h:1: no"));
        let html = |status| error("sqs h:1", status, None, b"<html>");
        assert_eq!(html(StatusCode::BAD_GATEWAY).unwrap().kind(), Kind::Unavailable);
        assert!(html(StatusCode::BAD_REQUEST).is_none());
    }
}
