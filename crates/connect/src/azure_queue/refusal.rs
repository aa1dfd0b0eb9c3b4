//! What the service says no to, sorted by what can be done about it.

use base::{Error, Kind};
use http_types::{HeaderMap, StatusCode};

/// The error that a refusal is.
pub(super) fn error(server: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body);
    let within = |begin: &str, end: &str| {
        let (_, rest) = text.split_once(begin)?;
        Some(rest.split_once(end)?.0.to_owned())
    };
    let code = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
    let code = code.map(str::to_owned).or_else(|| within("<Code>", "</Code>")).unwrap_or_default();
    // Behind its first line it has numbers of the call.
    let message = within("<Message>", "</Message>").unwrap_or_default();
    let words = match message.lines().next() {
        Some(line) if !line.is_empty() => line.to_owned(),
        _ if code.is_empty() => status.to_string(),
        _ => code.clone(),
    };
    let error = Error::new(kind(status, &code), format!("{server}: {words}"));
    match error.kind() {
        Kind::Denied => error.with_hint("check the account, its key and this machine's clock"),
        _ => error,
    }
}

fn kind(status: StatusCode, code: &str) -> Kind {
    match code {
        "QueueNotFound" | "ResourceNotFound" => Kind::NotFound,
        "MessageNotFound" | "PopReceiptMismatch" | "QueueAlreadyExists" => Kind::Conflict,
        "QueueBeingDeleted" | "ServerBusy" => Kind::Exhausted,
        "RequestBodyTooLarge" | "MessageTooLarge" => Kind::TooLarge,
        "OperationTimedOut" | "InternalError" => Kind::Unavailable,
        _ => match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Denied,
            StatusCode::TOO_MANY_REQUESTS => Kind::Exhausted,
            status if status.is_server_error() => Kind::Unavailable,
            _ => Kind::Invalid,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_says_is_sorted_by_what_can_be_done() {
        for (status, code, kind) in [
            (404, "QueueNotFound", Kind::NotFound),
            (404, "MessageNotFound", Kind::Conflict),
            (400, "PopReceiptMismatch", Kind::Conflict),
            (409, "QueueBeingDeleted", Kind::Exhausted),
            (503, "ServerBusy", Kind::Exhausted),
            (500, "InternalError", Kind::Unavailable),
            (403, "AuthenticationFailed", Kind::Denied),
            (403, "AuthorizationFailure", Kind::Denied),
            (400, "InvalidHeaderValue", Kind::Invalid),
            (502, "", Kind::Unavailable),
        ] {
            let body = format!(
                "<Error><Code>{code}</Code><Message>It says no.\nRequestId:1</Message></Error>"
            );
            let status = StatusCode::from_u16(status).unwrap();
            let error = error("azure-queue h:1", status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.message(), "azure-queue h:1: It says no.");
        }
    }
}
