//! Answers of the gateway itself.

use crate::body::Outgoing;
use http::incoming::Refused;
use http_types::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http_types::{HeaderValue, Response, StatusCode, Version};

/// An answer of ours.
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    text: &'static str,
    retry: bool,
}

impl Failure {
    pub(crate) fn plain(status: StatusCode, text: &'static str) -> Self {
        Self { status, text, retry: false }
    }

    /// One after which the client may come again.
    pub(crate) fn later(text: &'static str) -> Self {
        Self { retry: true, ..Self::plain(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    pub(crate) fn too_large() -> Self {
        Self::plain(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too long")
    }

    /// What the client learns, which is little, and what the log learns, which is all.
    pub(crate) fn refused(refused: &Refused, component: &str, id: &str) -> Self {
        let failure = match refused {
            Refused::NoRoom(_) => Self::later("the component is at its limit"),
            Refused::Deadline(_) => {
                Self::plain(StatusCode::GATEWAY_TIMEOUT, "the component did not answer in time")
            }
            Refused::TooLarge => Self::too_large(),
            Refused::Trap(_) | Refused::NoAnswer | Refused::Code(_) => {
                Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "the component failed")
            }
        };
        match refused {
            Refused::NoRoom(_) => tracing::debug!(component, request = id, "turned away"),
            refused => tracing::warn!(component, request = id, "{refused}"),
        }
        failure
    }

    pub(crate) fn response(self, version: Version) -> Response<Outgoing> {
        let mut response = Response::new(Outgoing::text(format!("{}\n", self.text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // What follows a request that two servers may read differently is not believed.
        let doubtful =
            [StatusCode::BAD_REQUEST, StatusCode::NOT_IMPLEMENTED, StatusCode::REQUEST_TIMEOUT];
        if doubtful.contains(&self.status) && version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
