//! The path of one request, from top to bottom.

use crate::body::{Incoming, Outgoing};
use crate::forwarded::Peer;
use crate::routes::{Routes, Target};
use crate::settings::Settings;
use crate::{id, quiet};
use arc_swap::ArcSwap;
use engine::Tasks;
use http::incoming::{Handler, Refused};
use http_body::Body as _;
use http_types::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http_types::{HeaderValue, Method, Request, Response, StatusCode, Version};
use std::sync::Arc;
use std::time::Instant;

/// What every request of the program shares.
pub(crate) struct Shared {
    pub(crate) routes: ArcSwap<Routes>,
    pub(crate) settings: Settings,
    pub(crate) tasks: Tasks,
}

impl Shared {
    /// Answers one request. Never fails: what goes wrong is an answer too.
    pub(crate) async fn serve(
        self: Arc<Self>,
        peer: Arc<Peer>,
        mut request: Request<hyper::body::Incoming>,
    ) -> Response<Outgoing> {
        let begun = Instant::now();
        quiet::count();
        let (id, id_field) = id::assign(request.headers_mut());
        let log = self.settings.access_log.then(|| Line::new(&request, &id));
        let version = request.version();
        let mut response = match self.answer(&peer, request, &id).await {
            Ok(response) => response,
            Err(failure) => failure.response(version),
        };
        response.headers_mut().entry(id::REQUEST_ID).or_insert(id_field);
        if let Some(line) = log {
            line.write(response.status(), begun);
        }
        response
    }

    async fn answer(
        &self,
        peer: &Peer,
        mut request: Request<hyper::body::Incoming>,
        id: &Arc<str>,
    ) -> Result<Response<Outgoing>, Failure> {
        let host = host(&request)?;
        // CONNECT asks for a tunnel, which no component can give.
        if request.method() == Method::CONNECT {
            return Err(Failure::plain(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served"));
        }
        let handler = self.route(&host, request.uri().path())?;
        let limit = handler.guest().limits().request_body;
        if request.body().size_hint().lower() > limit {
            return Err(Failure::plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request body is too long",
            ));
        }
        let https = peer.is_https(request.headers());
        peer.mark(request.headers_mut(), &host);
        let request = request.map(|body| Incoming::new(body, limit));
        let of = engine::Request { id: Some(Arc::clone(id)), deadline: None };
        match handler.handle(request, of, https, &self.tasks).await {
            Ok(response) => Ok(response.map(|answer| Outgoing::guest(answer, &peer.bodies))),
            Err(refused) => Err(Failure::refused(&refused, handler.guest().name(), id)),
        }
    }

    fn route(&self, host: &HeaderValue, path: &str) -> Result<Arc<Handler>, Failure> {
        let routes = self.routes.load();
        let host = host.to_str().unwrap_or_default();
        match routes.find(host, path) {
            Some(Target::Component(handler)) => Ok(Arc::clone(handler)),
            None => Err(Failure::plain(StatusCode::NOT_FOUND, "no route leads there")),
        }
    }
}

/// The one host that the request is for (RFC 9112, 3.2): none or several are a client's mistake,
/// and several are how requests are smuggled past a proxy.
fn host(request: &Request<hyper::body::Incoming>) -> Result<HeaderValue, Failure> {
    let bad = |what| Failure::plain(StatusCode::BAD_REQUEST, what);
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(bad("the request names several hosts"));
    }
    let found = match (request.uri().authority(), field) {
        (Some(authority), None) => HeaderValue::from_str(authority.as_str()).ok(),
        (Some(authority), Some(field)) if request.version() == Version::HTTP_2 => {
            let same = field.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
            same.then(|| field.clone())
        }
        // In HTTP/1.1 the target wins over the field.
        (Some(authority), Some(_)) => HeaderValue::from_str(authority.as_str()).ok(),
        (None, Some(field)) => Some(field.clone()),
        (None, None) => None,
    };
    let found = found.ok_or_else(|| bad("the request names no host"))?;
    let is_name = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@' | b'?' | b'#');
    match !found.is_empty() && found.as_bytes().iter().all(is_name) {
        true => Ok(found),
        false => Err(bad("the request's host is no host")),
    }
}

/// An answer of ours.
struct Failure {
    status: StatusCode,
    text: &'static str,
    retry: bool,
}

impl Failure {
    fn plain(status: StatusCode, text: &'static str) -> Self {
        Self { status, text, retry: false }
    }

    /// What the client learns, which is little, and what the log learns, which is all.
    fn refused(refused: &Refused, component: &str, id: &str) -> Self {
        let failure = match refused {
            Refused::NoRoom(_) => Self {
                retry: true,
                ..Self::plain(StatusCode::SERVICE_UNAVAILABLE, "the component is at its limit")
            },
            Refused::Deadline(_) => {
                Self::plain(StatusCode::GATEWAY_TIMEOUT, "the component did not answer in time")
            }
            Refused::TooLarge => {
                Self::plain(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too long")
            }
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

    fn response(self, version: Version) -> Response<Outgoing> {
        let mut response = Response::new(Outgoing::text(format!("{}\n", self.text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // What follows a request that two servers may read differently is not believed.
        if self.status == StatusCode::BAD_REQUEST && version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// One line of the access log, begun before the request is gone.
struct Line {
    id: Arc<str>,
    method: Method,
    path: String,
    version: Version,
}

impl Line {
    fn new(request: &Request<hyper::body::Incoming>, id: &Arc<str>) -> Self {
        Self {
            id: Arc::clone(id),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            version: request.version(),
        }
    }

    /// Written when the head of the answer is there; a body may still flow.
    fn write(self, status: StatusCode, begun: Instant) {
        tracing::info!(
            target: "wharf::access",
            request = &*self.id,
            method = %self.method,
            path = self.path,
            version = ?self.version,
            status = status.as_u16(),
            micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        );
    }
}
