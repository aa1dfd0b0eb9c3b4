//! One request through its filters, from top to bottom: head, body, trailers to the target; head,
//! body, trailers of the answer back.

use super::attributes::{Connection, Reached};
use super::body::{Filtered, Shared as Flow};
use super::{Filters, seats};
use crate::body::{Outgoing, Received};
use crate::failure::Failure;
use crate::forwarded::Peer;
use crate::path::Shared;
use ::filter::{Chain, Headers, Out, Way};
use http_body::Body as _;
use http_types::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, UPGRADE};
use http_types::request::Parts;
use http_types::uri::{Authority, PathAndQuery};
use http_types::{Method, Request, Response, StatusCode, Uri};
use std::sync::Arc;
use wasmtime_wasi_http::Error;

/// A request on its way through filters.
pub(crate) struct Passage {
    flow: Flow,
    method: Method,
    reached: Reached,
}

/// What becomes of a request when its filters have seen its head.
pub(crate) enum Passed {
    /// It goes on as this.
    On(Box<Request<Received>>),
    /// A filter has answered.
    Answered,
}

impl Passage {
    /// Puts a request through the filters, up to its head.
    pub(crate) async fn begin(
        shared: &Shared,
        filters: &Filters,
        peer: &Peer,
        host: &HeaderValue,
        id: &Arc<str>,
        request: Request<Received>,
    ) -> Result<(Self, Passed), Failure> {
        let (mut parts, body) = request.into_parts();
        let connection = Connection::new(peer, parts.version, id);
        let reached = connection.reached();
        let chain = Chain::http(&seats(shared, filters), Box::new(connection));
        let flow = Flow::new(chain);
        let headers = head(&mut parts, host, peer);
        {
            let mut flow = flow.lock();
            let ended = body.is_end_stream();
            flow.feed(Way::Request, body);
            flow.chain.put_head(Way::Request, headers, ended);
        }
        let passage = Self { flow, method: parts.method.clone(), reached };
        match passage.flow.next(Way::Request).await {
            Ok(None) => Ok((passage, Passed::Answered)),
            Ok(Some(out)) => {
                let ended = matches!(out, Out::Head(true));
                let body = Filtered::new(passage.flow.clone(), Way::Request, ended);
                let headers = passage.flow.lock().chain.head(Way::Request);
                let request = rebuilt(parts, host, headers.unwrap_or_default(), &body)?;
                let request = request.map(|()| Received::Filtered(body));
                Ok((passage, Passed::On(Box::new(request))))
            }
            Err(error) => Err(broken(&error)),
        }
    }

    /// To be told which server answers.
    pub(crate) fn reached(&self) -> Reached {
        self.reached.clone()
    }

    /// To be kept by what the request becomes, if that outlasts the answer.
    pub(crate) fn witness(&self) -> Witness {
        Witness(self.flow.clone())
    }

    /// Waits until a filter answers while the target is at it, or cuts the stream off.
    pub(crate) async fn turned(&self) {
        self.flow.turned().await;
    }

    /// Puts the target's answer through the filters; `None` where one of them has answered instead.
    pub(crate) async fn finish(
        self,
        response: Option<Response<Outgoing>>,
    ) -> Result<Response<Filtered>, Failure> {
        if let Some(response) = response {
            let (parts, body) = response.into_parts();
            let mut flow = self.flow.lock();
            let ended = body.is_end_stream();
            flow.feed(Way::Response, body);
            let headers = Headers::response(parts.status, parts.headers);
            flow.chain.put_head(Way::Response, headers, ended);
        }
        let ended = match self.flow.next(Way::Response).await {
            Ok(Some(Out::Head(ended))) => ended,
            Ok(_) => return Err(broken(&Error::InternalError(None))),
            Err(error) => return Err(broken(&error)),
        };
        // First, because what filters do to it with the body comes too late.
        let headers = self.flow.lock().chain.head(Way::Response).unwrap_or_default();
        if !ended {
            self.flow.fill(Way::Response).await;
        }
        let body = Filtered::new(self.flow, Way::Response, ended);
        let status = headers.status().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut fields = headers.into_fields();
        // A length is that of what really comes. Where nothing comes it is of what would have.
        let has_none = self.method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
        if !has_none {
            fields.remove(CONTENT_LENGTH);
        }
        if status != StatusCode::SWITCHING_PROTOCOLS {
            // What a filter answered otherwise, or made of it, is no switch.
            fields.remove(UPGRADE);
            fields.remove(CONNECTION);
        }
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (status, fields);
        Ok(response)
    }
}

/// The filters of a request that became a tunnel. They are told that it is over when this goes.
#[derive(Clone)]
pub(crate) struct Witness(Flow);

impl Witness {
    /// Waits until a filter closes the stream, or fails in a way that ends it. To be asked once the
    /// client gets the answer's head: before, somebody else waits for that.
    pub(crate) async fn cut(&self) {
        self.0.turned().await;
    }
}

/// The head as filters see it: the host is the authority, as in HTTP/2.
fn head(parts: &mut Parts, host: &HeaderValue, peer: &Peer) -> Headers {
    let scheme = if peer.is_https(&parts.headers) { "https" } else { "http" };
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    // A path that was parsed is a value.
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    let mut fields = std::mem::take(&mut parts.headers);
    fields.remove(HOST);
    let scheme = HeaderValue::from_static(scheme);
    Headers::request(&parts.method, scheme, host.clone(), path, fields)
}

/// The request as the filters have left it.
fn rebuilt(
    mut parts: Parts,
    was: &HeaderValue,
    headers: Headers,
    body: &Filtered,
) -> Result<Request<()>, Failure> {
    let part = |name| headers.pseudo(name).map(HeaderValue::as_bytes).unwrap_or_default();
    // Filters can write nothing else, and what they were given came out of a request.
    let wrong = || Failure::plain(StatusCode::INTERNAL_SERVER_ERROR, "a filter made no request");
    let (method, path) = (part(":method"), part(":path"));
    let host = headers.pseudo(":authority").cloned();
    if parts.method.as_str().as_bytes() != method {
        parts.method = Method::from_bytes(method).ok().ok_or_else(wrong)?;
    }
    let same_path = parts.uri.path_and_query().is_some_and(|was| was.as_str().as_bytes() == path);
    if !same_path || host.as_ref() != Some(was) {
        let authority = Authority::try_from(part(":authority")).ok().ok_or_else(wrong)?;
        let path = PathAndQuery::try_from(path).ok().ok_or_else(wrong)?;
        let mut uri = Uri::builder().path_and_query(path);
        // In the form in which it came: with the authority, or without.
        if let Some(scheme) = parts.uri.scheme() {
            uri = uri.scheme(scheme.clone()).authority(authority);
        }
        parts.uri = uri.build().ok().ok_or_else(wrong)?;
    }
    parts.headers = headers.into_fields();
    // The length is that of what really comes.
    parts.headers.remove(CONTENT_LENGTH);
    if let Some(size) = body.size_hint().exact()
        && (size > 0 || parts.method == Method::POST || parts.method == Method::PUT)
    {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    }
    if let Some(host) = host {
        parts.headers.insert(HOST, host);
    }
    Ok(Request::from_parts(parts, ()))
}

/// What the client is told of a stream that broke off in its filters.
fn broken(error: &Error) -> Failure {
    match error {
        Error::HttpRequestBodySize(_) => Failure::too_large(),
        Error::ConnectionTerminated => {
            Failure::plain(StatusCode::BAD_GATEWAY, "a filter closed the stream")
        }
        _ => Failure::plain(StatusCode::BAD_GATEWAY, "the stream broke off"),
    }
}
