//! One request, until a connection has answered it.

use super::body::Limits;
use super::classify::{self, Phase};
use super::pool::{Lease, Pool};
use super::target::{self, Target};
use super::upload::{Flow, Upload};
use super::{Body, Error, Failure, Tunnel, after, connection, later};
use http_body::Body as _;
use http_types::header::EXPECT;
use http_types::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// One request, until a connection has answered it.
pub(super) struct Attempts<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) target: Target,
    /// Whether there is no other server to ask, so that one which refuses is asked again.
    pub(super) alone: bool,
    pub(super) flow: Arc<Flow>,
    pub(super) connect_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    pub(super) limits: Limits,
}

/// A server that takes connections and closes them would otherwise be asked for ever.
const ATTEMPTS: usize = 64;

/// How long a body waits for the server to ask for it, which not every server does (RFC 9110,
/// section 10.1.1).
const CONTINUE: Duration = Duration::from_secs(1);

type Answered = (Response<Body>, Option<Tunnel>);

impl Attempts<'_> {
    pub(super) async fn run(self, mut request: Request<Upload>) -> Result<Answered, Failure> {
        let failed = |unsent| move |error| Failure { error, unsent };
        let bare = request.body().is_end_stream();
        for _ in 0..ATTEMPTS {
            let deadline = after(self.connect_timeout);
            let lease = self.pool.checkout(&self.target.key, &self.flow, deadline).await;
            let mut lease = lease.map_err(failed(true))?;
            self.target.dress(&mut request, lease.version());
            self.hold(&mut request, lease.version(), bare);
            let refusable = bare && self.alone && lease.version() == Version::HTTP_2;
            let twice = bare && lease.reused && request.method().is_idempotent();
            let copy = (refusable || twice).then(|| self.copy(&request));
            let answer = self.answer(&mut lease, request).await.map_err(failed(false))?;
            let mut error = match answer {
                Ok(response) => return self.accept(response, lease).map_err(failed(false)),
                Err(error) => error,
            };
            // What the server never saw is sent again, or says that it did not process; and what
            // may be done twice where a kept connection closed, which says nothing of the server.
            let message = error.take_message();
            let error = error.into_error();
            let unprocessed = classify::is_unprocessed(&error);
            let unsent = message.is_some() || unprocessed;
            let failure = self.failure(&error, lease.end());
            let closed = twice && !unprocessed && matches!(failure, Error::ConnectionTerminated);
            let copy = copy.filter(|_| closed || refusable && unprocessed);
            let again = message.filter(|_| lease.reused).or(copy);
            lease.discard();
            match again {
                Some(again) => request = again,
                None => return Err(failed(unsent)(failure)),
            }
        }
        Err(failed(true)(Error::ConnectionTerminated))
    }

    /// Keeps a body back until the server asks for it, where the request says that it waits.
    fn hold(&self, request: &mut Request<Upload>, version: Version, bare: bool) {
        if !target::expects_continue(request.headers()) {
            return;
        }
        // Only of HTTP/1.1 does hyper tell what comes before the response.
        if bare || version != Version::HTTP_11 {
            request.headers_mut().remove(EXPECT);
            return;
        }
        self.flow.hold();
        let flow = Arc::clone(&self.flow);
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                flow.release();
            }
        });
    }

    /// The head of the response. Waits while the request moves, or while neither does for the
    /// time to the first byte.
    async fn answer(
        &self,
        lease: &mut Lease,
        request: Request<Upload>,
    ) -> Result<connection::Answer, Error> {
        self.flow.begin();
        let asked = after(CONTINUE);
        let answer = lease.send(request).ok_or(Error::InternalError(None))?;
        let mut answer = std::pin::pin!(answer);
        loop {
            let silent = later(self.flow.moved(), self.first_byte_timeout);
            let held = self.flow.is_held();
            let deadline = if held { silent.min(asked) } else { silent };
            if let Ok(answer) = timeout_at(deadline, &mut answer).await {
                return Ok(answer);
            }
            if held && asked <= Instant::now() {
                self.flow.release();
            } else if later(self.flow.moved(), self.first_byte_timeout) <= Instant::now() {
                return Err(Error::ConnectionReadTimeout);
            }
        }
    }

    fn accept(&self, mut response: Response<Incoming>, lease: Lease) -> Result<Answered, Error> {
        let size = target::section_size(response.headers());
        if size > self.pool.dialer().settings.response_headers {
            return Err(Error::HttpResponseHeaderSectionSize(u32::try_from(size).ok()));
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Where nobody asked for an upgrade, nobody could use it.
            if !self.target.upgrade {
                return Err(Error::HttpUpgradeFailed);
            }
            let tunnel = Tunnel::new(hyper::upgrade::on(&mut response), lease);
            return Ok((response.map(|incoming| Body::empty(incoming, self.limits)), Some(tunnel)));
        }
        let (parts, incoming) = response.into_parts();
        Ok((Response::from_parts(parts, Body::new(incoming, lease, self.limits)?), None))
    }

    /// The request once more, where it may have to be sent again. It has no body.
    fn copy(&self, request: &Request<Upload>) -> Request<Upload> {
        let mut copy = Request::new(Upload::empty(Arc::clone(&self.flow)));
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        copy
    }

    /// A request's body that failed is the reason for whatever hyper then says; and what ended
    /// the connection, for a request that is told only that it ended.
    fn failure(&self, error: &hyper::Error, end: Option<Error>) -> Error {
        let case = || match classify::hyper(error, Phase::Head) {
            Error::ConnectionTerminated => end.unwrap_or(Error::ConnectionTerminated),
            case => case,
        };
        self.flow.failure().unwrap_or_else(case)
    }
}
