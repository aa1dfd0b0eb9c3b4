//! Requests of filters' own, by way of an upstream.

use crate::upstream::{Pulled, Upstream, uri};
use ::filter::{Headers, HttpCall, HttpResponse, Status};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use http_types::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use http_types::uri::{Authority, PathAndQuery};
use http_types::{HeaderMap, Method, Request, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi_http::Error;

/// A request that is ready to be sent.
pub(super) struct Call {
    request: Request<Pulled>,
    timeout: Option<Duration>,
}

/// Makes a request of what a filter asked.
///
/// # Errors
/// `BadArgument` for a method, a path or an authority that is none.
pub(super) fn prepare(call: HttpCall) -> Result<Call, Status> {
    let HttpCall { headers, body, trailers, timeout, upstream: _ } = call;
    let mut request = head(&headers)?;
    *request.headers_mut() = headers.into_fields();
    request.headers_mut().remove(HOST);
    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut frames = Vec::new();
    if !body.is_empty() {
        frames.push(Ok(Frame::data(body)));
    }
    if !trailers.is_empty() {
        // Of a body with trailers the length is not said beforehand.
        request.headers_mut().remove(CONTENT_LENGTH);
        frames.push(Ok(Frame::trailers(trailers.into_fields())));
    }
    let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
    Ok(Call { request: request.map(|()| body), timeout })
}

/// The first line of a request.
///
/// # Errors
/// `BadArgument` for a method, a path or an authority that is none.
pub(super) fn head(headers: &Headers) -> Result<Request<()>, Status> {
    let part = |name| headers.pseudo(name).map(HeaderValue::as_bytes).unwrap_or_default();
    let wrong = Status::BadArgument;
    let authority = Authority::try_from(part(":authority")).map_err(|_none| wrong)?;
    let path = PathAndQuery::try_from(part(":path")).map_err(|_none| wrong)?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(part(":method")).map_err(|_none| wrong)?;
    *request.uri_mut() = uri(authority, path).ok_or(wrong)?;
    if request.method() == Method::CONNECT {
        return Err(wrong);
    }
    Ok(request)
}

/// Sends a request and gathers the answer, of which the body is at most `most` bytes. A server that
/// cannot be reached is an answer as well: 503, or 504 where it took too long.
pub(super) async fn run(upstream: &Arc<Upstream>, call: Call, most: usize) -> HttpResponse {
    let Call { request, timeout } = call;
    let asked = async {
        let response = upstream.ask(request, timeout).await?;
        let (parts, mut body) = response.into_parts();
        let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
        while let Some(frame) = body.frame().await {
            match frame.map_err(Error::from)?.into_data() {
                Ok(data) if bytes.len() + data.len() > most => {
                    return Err(Error::HttpResponseBodySize(None));
                }
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
        let headers = Headers::response(parts.status, parts.headers);
        let trailers = Headers::trailers(trailers);
        Ok(HttpResponse { headers, body: bytes.into(), trailers })
    };
    asked.await.unwrap_or_else(|error| {
        let name = upstream.name();
        tracing::debug!(upstream = name, %error, "a filter's request failed");
        failed(&error)
    })
}

/// The answer for a server that gave none.
fn failed(error: &Error) -> HttpResponse {
    let (status, text) = match error {
        Error::HttpResponseTimeout
        | Error::ConnectionTimeout
        | Error::ConnectionReadTimeout
        | Error::ConnectionWriteTimeout => {
            (StatusCode::GATEWAY_TIMEOUT, "the upstream did not answer in time")
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the upstream failed"),
    };
    let body = Bytes::from_static(text.as_bytes());
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    HttpResponse { headers: Headers::response(status, fields), body, ..HttpResponse::default() }
}
