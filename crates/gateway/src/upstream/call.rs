//! One request until a server has answered it: attempts, waits between them, and redirects.

use super::budget::{self, Spent};
use super::endpoint::{Active, Endpoint};
use super::redirect;
use super::replay::{Fate, Lending};
use super::{Upstream, headers};
use crate::failure::Failure;
use bytes::Bytes;
use http::client::{self, Error, Exchange, Options};
use http_body_util::{BodyExt as _, Empty};
use http_types::header::UPGRADE;
use http_types::uri::{Authority, PathAndQuery, Scheme};
use http_types::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// A request and what was tried for it.
pub(super) struct Call<'a> {
    pub(super) upstream: &'a Arc<Upstream>,
    pub(super) id: &'a str,
    /// The host that servers are asked for.
    pub(super) authority: Authority,
    pub(super) path: PathAndQuery,
    /// The host that the client asked for, and whether over TLS.
    pub(super) host: HeaderValue,
    pub(super) https: bool,
    /// The other protocol that the client asks for.
    pub(super) upgrade: Option<HeaderValue>,
    pub(super) body: Lending,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) hash: Option<u64>,
    pub(super) deadline: Option<Instant>,
    /// The servers that failed.
    pub(super) tried: Vec<Arc<Endpoint>>,
    pub(super) retries: usize,
    pub(super) hops: usize,
}

/// What comes after an attempt.
enum Then {
    Answer(Box<Exchange>),
    Again,
    Fail(Failure),
}

impl Call<'_> {
    /// The answer, and the server that it came from.
    pub(super) async fn run(&mut self) -> Result<(Exchange, Active), Failure> {
        let upstream = Arc::clone(self.upstream);
        // What the attempt that runs takes of the budget.
        let mut spent: Option<Spent<'_>> = None;
        loop {
            let Some(endpoint) = upstream.choose(self.hash, &self.tried).await else {
                upstream.counts.turned_away.fetch_add(1, Relaxed);
                let (name, request) = (upstream.name(), self.id);
                tracing::warn!(upstream = name, request, "no server of the upstream is well");
                return Err(Failure::later("no server of the upstream is well"));
            };
            let active = endpoint.begin();
            let outcome = self.attempt(&endpoint).await;
            drop(spent.take());
            let then = match outcome {
                Ok(exchange) => self.answered(exchange, &endpoint, &upstream, &mut spent).await,
                Err(failure) => self.failed(failure, &endpoint, &upstream, &mut spent).await,
            };
            match then {
                Then::Answer(exchange) => return Ok((*exchange, active)),
                Then::Again => {}
                Then::Fail(failure) => return Err(failure),
            }
        }
    }

    async fn attempt(&mut self, endpoint: &Endpoint) -> Result<Exchange, client::Failure> {
        let unsent = |error| client::Failure { error, unsent: true };
        let body = self.body.lend().ok_or_else(|| unsent(Error::InternalError(None)))?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        let uri = uri(self.authority.clone(), self.path.clone());
        *request.uri_mut() = uri.ok_or_else(|| unsent(Error::HttpRequestUriInvalid))?;
        if let Some(upgrade) = &self.upgrade {
            request.headers_mut().insert(UPGRADE, upgrade.clone());
        }
        let options = Options {
            total_timeout: self.deadline.map(|end| end.saturating_duration_since(Instant::now())),
            upgrade: self.upgrade.is_some(),
            ..Options::default()
        };
        endpoint.client.attempt(request, options).await
    }

    /// Whether an answer is the one that the client gets.
    async fn answered<'b>(
        &mut self,
        exchange: Exchange,
        endpoint: &Arc<Endpoint>,
        upstream: &'b Upstream,
        spent: &mut Option<Spent<'b>>,
    ) -> Then {
        let status = exchange.response.status();
        upstream.note(endpoint, !status.is_server_error());
        if let Some(next) = self.redirect(&exchange) {
            drop(exchange);
            return self.follow(next).await;
        }
        if !self.is_harmless(status) || !self.may_again(upstream, spent) {
            return Then::Answer(Box::new(exchange));
        }
        let (name, status) = (upstream.name(), status.as_u16());
        tracing::debug!(upstream = name, %endpoint, request = self.id, status, "tried again");
        drop(exchange);
        match self.again(endpoint, upstream).await {
            true => Then::Again,
            // Its connection did not give the body back in time.
            false => Then::Fail(self.failure(&Error::ConnectionTerminated, endpoint, upstream)),
        }
    }

    /// Whether a failure is the client's to know.
    async fn failed<'b>(
        &mut self,
        failure: client::Failure,
        endpoint: &Arc<Endpoint>,
        upstream: &'b Upstream,
        spent: &mut Option<Spent<'b>>,
    ) -> Then {
        let client::Failure { error, unsent } = failure;
        match self.body.fate() {
            Fate::TooLarge => return Then::Fail(Failure::too_large()),
            Fate::Broken => {
                let text = "the request body broke off";
                return Then::Fail(Failure::plain(StatusCode::BAD_REQUEST, text));
            }
            Fate::Whole | Fate::Spent => {}
        }
        // Nor is it the server's fault that a client does not send what it said it would.
        if status(&error) == StatusCode::GATEWAY_TIMEOUT && self.body.is_wanting() {
            let text = "the request body did not come in time";
            return Then::Fail(Failure::plain(StatusCode::REQUEST_TIMEOUT, text));
        }
        upstream.blame(endpoint, &error);
        let harmless = unsent || self.is_harmless(status(&error));
        if harmless && self.may_again(upstream, spent) && self.again(endpoint, upstream).await {
            let name = upstream.name();
            tracing::debug!(upstream = name, %endpoint, request = self.id, %error, "tried again");
            return Then::Again;
        }
        Then::Fail(self.failure(&error, endpoint, upstream))
    }

    /// Whether this outcome was asked to be tried again, and doing twice what the request asks
    /// for does no harm.
    fn is_harmless(&self, status: StatusCode) -> bool {
        let twice = self.method.is_idempotent() || self.body.is_empty();
        twice && self.upstream.settings.retries.statuses.contains(&status.as_u16())
    }

    /// Whether there is room for one more attempt; then it is taken.
    fn may_again<'b>(&self, upstream: &'b Upstream, spent: &mut Option<Spent<'b>>) -> bool {
        let rule = &upstream.settings.retries;
        let late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if self.retries >= rule.attempts || late || self.body.fate() != Fate::Whole {
            return false;
        }
        *spent = upstream.budget.spend(upstream.places.taken(), rule.budget);
        spent.is_some()
    }

    /// Waits before the next attempt; says whether the body is there for it.
    async fn again(&mut self, endpoint: &Arc<Endpoint>, upstream: &Upstream) -> bool {
        self.retries += 1;
        self.tried.push(Arc::clone(endpoint));
        if !self.body.recover().await {
            return false;
        }
        let rule = &upstream.settings.retries;
        let wait = budget::backoff(rule, self.retries, fastrand::f64());
        let rest = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        tokio::time::sleep(wait.min(rest.unwrap_or(Duration::MAX))).await;
        upstream.counts.retried.fetch_add(1, Relaxed);
        true
    }

    /// Where a redirect leads that is followed.
    fn redirect(&self, exchange: &Exchange) -> Option<redirect::Next> {
        let settings = &self.upstream.settings;
        if self.hops >= settings.follow_redirects || self.upgrade.is_some() {
            return None;
        }
        let (path, host, places) = (&self.path, &self.host, settings.places.as_slice());
        let asked = redirect::Asked { method: &self.method, path, host, https: self.https, places };
        let response = &exchange.response;
        let next = asked.next(response.status(), response.headers())?;
        // A body that is gone cannot go along; the client may have it still.
        (!next.body || self.body.fate() == Fate::Whole).then_some(next)
    }

    async fn follow(&mut self, next: redirect::Next) -> Then {
        self.hops += 1;
        self.tried.clear();
        if !next.body {
            headers::remove_body(&mut self.headers);
            let nothing = Empty::<Bytes>::new().map_err(|never| match never {});
            self.body.clear(nothing.boxed_unsync());
        } else if !self.body.recover().await {
            let text = "the redirect could not be followed";
            return Then::Fail(Failure::plain(StatusCode::BAD_GATEWAY, text));
        }
        (self.method, self.path) = (next.method, next.path);
        Then::Again
    }

    /// What the client learns, which is little, and what the log learns, which is all.
    fn failure(&self, error: &Error, endpoint: &Endpoint, upstream: &Upstream) -> Failure {
        let (name, request, attempts) = (upstream.name(), self.id, self.retries + 1);
        tracing::warn!(upstream = name, %endpoint, request, attempts, %error, "no answer");
        let status = status(error);
        let (count, failure) = match status {
            StatusCode::GATEWAY_TIMEOUT => (
                &upstream.counts.timed_out,
                Failure::plain(status, "the upstream did not answer in time"),
            ),
            StatusCode::SERVICE_UNAVAILABLE => {
                (&upstream.counts.turned_away, Failure::later("there are too many connections"))
            }
            StatusCode::BAD_REQUEST => {
                (&upstream.counts.failed, Failure::plain(status, "the request's host is no host"))
            }
            _ => (&upstream.counts.failed, Failure::plain(status, "the upstream failed")),
        };
        count.fetch_add(1, Relaxed);
        failure
    }
}

/// What a failure is to the client.
fn status(error: &Error) -> StatusCode {
    match error {
        Error::ConnectionTimeout
        | Error::ConnectionReadTimeout
        | Error::ConnectionWriteTimeout
        | Error::HttpResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        Error::ConnectionLimitReached => StatusCode::SERVICE_UNAVAILABLE,
        Error::HttpRequestUriInvalid => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// The URI of a request. Its scheme says nothing: the server's place does.
pub(crate) fn uri(authority: Authority, path: PathAndQuery) -> Option<Uri> {
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path);
    uri.build().ok()
}
