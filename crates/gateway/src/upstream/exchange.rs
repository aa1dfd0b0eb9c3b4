//! One request to an upstream, from top to bottom.

use super::answer::{Hold, Proxied};
use super::call::Call;
use super::mirror::{self, Mirror, Tee};
use super::replay::{Lending, Pulled};
use super::settings::{Balance, HashOn};
use super::tunnel::{Joint, Switch};
use super::{Upstream, headers, ring};
use crate::body::{Incoming, Outgoing, Received};
use crate::failure::Failure;
use crate::filter::{Reached, Witness};
use crate::forwarded::Peer;
use crate::id::REQUEST_ID;
use engine::{Stop, Tasks};
use http::client::Exchange;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use http_types::request::Parts;
use http_types::uri::{Authority, PathAndQuery};
use http_types::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How much of a body is kept where the request may have to be sent again.
const KEPT: usize = 64 << 10;

/// What a request brings along besides itself.
pub(crate) struct Asked<'a> {
    pub(crate) peer: &'a Arc<Peer>,
    pub(crate) host: HeaderValue,
    pub(crate) id: &'a Arc<str>,
    pub(crate) id_field: &'a HeaderValue,
    /// Where copies go.
    pub(crate) mirror: Option<&'a Mirror>,
    /// Tunnels and copies are tasks, for which shutdown waits.
    pub(crate) tasks: &'a Tasks,
    /// Copies end when this says so.
    pub(crate) stop: &'a Stop,
}

impl Upstream {
    /// Answers one request with what one of the servers says.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        request: Request<Received>,
        asked: Asked<'_>,
    ) -> Result<Response<Outgoing>, Failure> {
        let place = self.admit(asked.id).await?;
        let limit = self.settings.limits.request_body;
        if headers::is_coded(request.headers()) {
            let text = "the request body is coded in a way that is not served";
            return Err(Failure::plain(StatusCode::NOT_IMPLEMENTED, text));
        }
        if request.body().size_hint().lower() > limit {
            return Err(Failure::too_large());
        }
        let (mut parts, body) = request.into_parts();
        let upgrade = headers::upgrade(&parts, !body.is_end_stream());
        let client = parts.extensions.remove::<OnUpgrade>().filter(|_| upgrade.is_some());
        let reached = parts.extensions.remove::<Reached>();
        let witness = parts.extensions.remove::<Witness>();
        let https = asked.peer.is_https(&parts.headers);
        let hash = self.hash(&parts, asked.peer);
        headers::clean_request(&mut parts.headers, parts.version);
        asked.peer.mark(&mut parts.headers, &asked.host);
        parts.headers.insert(REQUEST_ID, asked.id_field.clone());
        let body = Incoming::new(body, limit).boxed_unsync();
        let tee = asked.mirror.and_then(|mirror| mirror.send(&parts, &asked, body.is_end_stream()));
        let mut call = Call {
            upstream: self,
            id: asked.id,
            authority: self.authority(&asked.host)?,
            path: parts.uri.path_and_query().cloned().unwrap_or_else(root),
            host: asked.host,
            https,
            upgrade,
            body: self.lending(&parts.method, body, tee),
            method: parts.method,
            headers: parts.headers,
            hash,
            deadline: self.settings.request_timeout.map(|timeout| Instant::now() + timeout),
            tried: Vec::new(),
            retries: 0,
            hops: 0,
        };
        let (exchange, active) = call.run().await?;
        if let Some(reached) = reached {
            reached.tell(self.name(), active.endpoint().address);
        }
        self.counts.answered.fetch_add(1, Relaxed);
        let hold = Hold { upstream: Arc::clone(self), id: Arc::clone(asked.id), active, place };
        Ok(answer(exchange, hold, client.map(|client| (client, witness)), asked.peer, asked.tasks))
    }

    /// One of the places for requests, as soon as one is free.
    async fn admit(&self, id: &str) -> Result<OwnedSemaphorePermit, Failure> {
        let deadline = Instant::now() + self.settings.limits.queue_timeout;
        self.places.wait(deadline).await.ok_or_else(|| {
            self.counts.turned_away.fetch_add(1, Relaxed);
            tracing::debug!(upstream = self.name(), request = id, "turned away");
            Failure::later("the upstream is at its limit")
        })
    }

    /// The host that servers are asked for.
    pub(super) fn authority(&self, asked: &HeaderValue) -> Result<Authority, Failure> {
        let host = self.settings.host.as_ref().map_or(asked.as_bytes(), String::as_bytes);
        Authority::try_from(host).map_err(|_invalid| {
            Failure::plain(StatusCode::BAD_REQUEST, "the request's host is no host")
        })
    }

    /// Where on the ring a request lies.
    fn hash(&self, parts: &Parts, peer: &Peer) -> Option<u64> {
        let Balance::RingHash(on) = &self.settings.balance else { return None };
        Some(match on {
            HashOn::Header(name) => ring::hash(parts.headers.get(name.as_str())?.as_bytes()),
            HashOn::Path => ring::hash(parts.uri.path().as_bytes()),
            HashOn::Source => ring::hash(peer.source(&parts.headers).as_bytes()),
        })
    }

    /// A body that can be sent again where it may have to be.
    fn lending(&self, method: &Method, body: Pulled, tee: Option<Tee>) -> Lending {
        let retries = &self.settings.retries;
        let again = retries.attempts > 0 && !retries.statuses.is_empty() && method.is_idempotent();
        let kept = if again || self.settings.follow_redirects > 0 { KEPT } else { 0 };
        Lending::new(body, kept, tee)
    }
}

impl Mirror {
    /// Sends a copy of a request, if it is this one's turn; its body goes through the tee.
    fn send(&self, parts: &Parts, asked: &Asked<'_>, empty: bool) -> Option<Tee> {
        if !self.is_due() {
            return None;
        }
        let authority = self.upstream.authority(&asked.host).ok()?;
        let (tee, body) = mirror::tee();
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.headers_mut() = parts.headers.clone();
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(root);
        *request.uri_mut() = super::call::uri(authority, path)?;
        let (upstream, stop) = (Arc::clone(&self.upstream), asked.stop.clone());
        asked.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.wait() => {}
                () = upstream.mirrored(request) => {}
            }
        });
        if empty {
            tee.end();
            return None;
        }
        Some(tee)
    }
}

/// What the client gets, and a tunnel if that is what it is.
fn answer(
    exchange: Exchange,
    hold: Hold,
    client: Option<(OnUpgrade, Option<Witness>)>,
    peer: &Arc<Peer>,
    tasks: &Tasks,
) -> Response<Outgoing> {
    let Exchange { response, tunnel, sent: _ } = exchange;
    let (mut parts, body) = response.into_parts();
    headers::clean_response(&mut parts.headers, parts.status);
    // What was spoken on the other side is no matter on this one.
    parts.version = Version::HTTP_11;
    parts.extensions.remove::<OnUpgrade>();
    let (Some(server), Some((client, witness))) = (tunnel, client) else {
        let body = Outgoing::proxied(Proxied::new(body, hold), &peer.bodies);
        return Response::from_parts(parts, body);
    };
    let Hold { upstream, id, active, place } = hold;
    let peer = Arc::clone(peer);
    let joint = Joint { upstream, id, peer, client, server, witness, active, place };
    match joint.witness {
        Some(_) => drop(parts.extensions.insert(Switch::new(joint))),
        None => drop(tasks.spawn(joint.run())),
    }
    Response::from_parts(parts, Outgoing::text(""))
}

fn root() -> PathAndQuery {
    PathAndQuery::from_static("/")
}
