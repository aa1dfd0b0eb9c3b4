//! The path of one request, from top to bottom.

use crate::body::{Incoming, Outgoing, Received};
use crate::failure::Failure;
use crate::filter::{Filters, Passage, Passed, Services};
use crate::forwarded::Peer;
use crate::routes::{Found, Routes, Target};
use crate::settings::Settings;
use crate::tcp::Inlet;
use crate::upstream::{Asked, Switch};
use crate::{id, quiet};
use arc_swap::ArcSwap;
use engine::{Stop, Tasks};
use http::incoming::Handler;
use http_body::Body as _;
use http_types::header::{HOST, UPGRADE};
use http_types::{HeaderValue, Method, Request, Response, StatusCode, Version};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// What every request of the program shares.
pub(crate) struct Shared {
    pub(crate) routes: ArcSwap<Routes>,
    /// Listeners for bare TCP.
    pub(crate) inlets: Vec<Arc<Inlet>>,
    pub(crate) settings: Settings,
    pub(crate) tasks: Tasks,
    /// What filters share.
    pub(crate) services: Arc<Services>,
    /// Told when there are other routes.
    pub(crate) rerouted: watch::Sender<()>,
    /// Given when the server is to come to its end.
    pub(crate) stop: Stop,
}

impl Shared {
    /// Every filter that stands before something, each once.
    pub(crate) fn filters(&self) -> Filters {
        let leads: Vec<_> = self.inlets.iter().map(|inlet| inlet.leads()).collect();
        let (routes, mut filters) = (self.routes.load(), Vec::new());
        for filter in routes.filters().chain(leads.iter().flat_map(|leads| leads.filters.iter())) {
            if !filters.iter().any(|known| Arc::ptr_eq(known, filter)) {
                filters.push(Arc::clone(filter));
            }
        }
        filters.into()
    }

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
        let mut response = match self.answer(&peer, request, &id, &id_field).await {
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
        peer: &Arc<Peer>,
        request: Request<hyper::body::Incoming>,
        id: &Arc<str>,
        id_field: &HeaderValue,
    ) -> Result<Response<Outgoing>, Failure> {
        let host = host(&request)?;
        // CONNECT asks for a tunnel to anywhere, which nobody here gives.
        if request.method() == Method::CONNECT {
            return Err(Failure::plain(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served"));
        }
        let route = self.route(&host, request.uri().path())?;
        let request = request.map(Received::Client);
        let asked = Client { peer, host, id, id_field };
        match route.filters.is_empty() {
            true => self.reach(&route.target, request, asked).await,
            // In a box, because most requests meet none.
            false => Box::pin(self.filtered(route, request, asked)).await,
        }
    }

    /// Answers with what the target says.
    async fn reach(
        &self,
        target: &Target,
        request: Request<Received>,
        client: Client<'_>,
    ) -> Result<Response<Outgoing>, Failure> {
        let Client { peer, host, id, id_field } = client;
        match target {
            Target::Component(handler) => self.call(handler, request, peer, &host, id).await,
            Target::Upstream(forward) => {
                let (mirror, tasks, stop) = (forward.mirror.as_ref(), &self.tasks, &self.stop);
                let asked = Asked { peer, host, id, id_field, mirror, tasks, stop };
                // In a box, because most requests are another's and need not be as large.
                Box::pin(forward.upstream.serve(request, asked)).await
            }
            Target::Respond(respond) => Ok(respond.response()),
        }
    }

    /// Answers with what filters leave of what the target says, or say themselves.
    async fn filtered(
        &self,
        route: Found,
        request: Request<Received>,
        client: Client<'_>,
    ) -> Result<Response<Outgoing>, Failure> {
        let Client { peer, host, id, id_field } = client;
        let version = request.version();
        let path = request.uri().path().to_owned();
        let (passage, passed) =
            Passage::begin(self, &route.filters, peer, &host, id, request).await?;
        let mut response = match passed {
            Passed::Answered => None,
            Passed::On(mut request) => {
                let new = request.headers().get(HOST).cloned().unwrap_or(host.clone());
                // Filters may send a request elsewhere; the filters there it has behind it.
                let target = match new == host && request.uri().path() == path {
                    true => route.target,
                    false => self.route(&new, request.uri().path())?.target,
                };
                if let Target::Upstream(_) = target {
                    request.extensions_mut().insert(passage.reached());
                    if request.headers().contains_key(UPGRADE) {
                        request.extensions_mut().insert(passage.witness());
                    }
                }
                let client = Client { peer, host: new, id, id_field };
                tokio::select! {
                    biased;
                    response = self.reach(&target, *request, client) => {
                        Some(response.unwrap_or_else(|failure| failure.response(version)))
                    }
                    () = passage.turned() => None,
                }
            }
        };
        let switch = response.as_mut().and_then(|it| it.extensions_mut().remove::<Switch>());
        let response = passage.finish(response).await?;
        if let Some(switch) = switch
            && response.status() == StatusCode::SWITCHING_PROTOCOLS
        {
            switch.join(&self.tasks);
        }
        Ok(response.map(|body| Outgoing::filtered(body, &peer.bodies)))
    }

    /// Answers with what a component says.
    async fn call(
        &self,
        handler: &Arc<Handler>,
        mut request: Request<Received>,
        peer: &Peer,
        host: &HeaderValue,
        id: &Arc<str>,
    ) -> Result<Response<Outgoing>, Failure> {
        let limit = handler.guest().limits().request_body;
        if request.body().size_hint().lower() > limit {
            return Err(Failure::too_large());
        }
        let https = peer.is_https(request.headers());
        peer.mark(request.headers_mut(), host);
        let request = request.map(|body| Incoming::new(body, limit));
        let of = engine::Request { id: Some(Arc::clone(id)), deadline: None };
        match handler.handle(request, of, https, &self.tasks).await {
            Ok(response) => Ok(response.map(|answer| Outgoing::guest(answer, &peer.bodies))),
            Err(refused) => Err(Failure::refused(&refused, handler.guest().name(), id)),
        }
    }

    fn route(&self, host: &HeaderValue, path: &str) -> Result<Found, Failure> {
        let routes = self.routes.load();
        let found = routes.find(host.to_str().unwrap_or_default(), path);
        let nowhere = || Failure::plain(StatusCode::NOT_FOUND, "no route leads there");
        found.ok_or_else(nowhere)
    }
}

/// Who asks.
struct Client<'a> {
    peer: &'a Arc<Peer>,
    host: HeaderValue,
    id: &'a Arc<str>,
    id_field: &'a HeaderValue,
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
