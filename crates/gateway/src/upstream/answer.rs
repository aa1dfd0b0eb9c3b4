//! The body of a server's answer on its way to the client.

use super::Upstream;
use super::endpoint::Active;
use bytes::Bytes;
use http::client;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::Error;

/// A body, and what it holds until it ends. Dropped before, it ends the request to the server.
pub(crate) struct Proxied {
    body: client::Body,
    hold: Option<Hold>,
}

/// What a request holds as long as its answer is under way.
pub(crate) struct Hold {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) id: Arc<str>,
    pub(crate) active: Active,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Hold {
    /// Tells the log that an answer is not whole; the client sees it for itself.
    fn broke_off(&self, error: &client::Error) {
        let Self { upstream, id, active, place: _ } = self;
        let (name, endpoint, request) = (upstream.name(), active.endpoint(), &**id);
        tracing::warn!(upstream = name, %endpoint, request, %error, "an answer broke off");
        upstream.counts.failed.fetch_add(1, Relaxed);
        upstream.note(endpoint, false);
    }
}

impl Proxied {
    pub(crate) fn new(body: client::Body, hold: Hold) -> Self {
        let hold = Some(hold).filter(|_| !body.is_end_stream());
        Self { body, hold }
    }

    /// Whether nothing more comes.
    pub(crate) fn is_complete(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Body for Proxied {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let frame = frame.map(|frame| {
            frame.map_err(|error| {
                this.hold.iter().for_each(|hold| hold.broke_off(&error));
                Error::from(error)
            })
        });
        if this.body.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            this.hold = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
