//! Both bodies of a request whose filters see them: pulled by whoever reads, put through the chain.

use ::filter::{Chain, Out, Way};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use wasmtime_wasi_http::Error;

/// A chain, and what is put into it.
pub(super) struct Flow {
    pub(super) chain: Chain,
    request: Sourced,
    response: Sourced,
}

/// Where a body comes from.
type Source = Pin<Box<dyn Body<Data = Bytes, Error = Error> + Send>>;

/// A body as it comes: not there while it is asked, and once it has ended.
#[derive(Default)]
struct Sourced {
    body: Option<Source>,
    error: Option<Error>,
}

/// What there is to be done.
enum Ready {
    Out(Result<Option<Out>, Error>),
    Ask(Source),
    Nothing,
}

/// A flow that both directions share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Flow>>);

impl Shared {
    pub(super) fn new(chain: Chain) -> Self {
        let (request, response) = Default::default();
        Self(Arc::new(Mutex::new(Flow { chain, request, response })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes out next this way; `None` when nothing does any more.
    pub(super) async fn next(&self, way: Way) -> Result<Option<Out>, Error> {
        std::future::poll_fn(|cx| self.poll(way, cx)).await
    }

    /// Never locked while a body is asked: the body of an answer may be a guest that reads the
    /// request's.
    fn poll(&self, way: Way, cx: &mut Context<'_>) -> Poll<Result<Option<Out>, Error>> {
        loop {
            let ready = self.lock().ready(way, cx);
            let mut body = match ready {
                Ready::Out(out) => return Poll::Ready(out),
                Ready::Nothing => return Poll::Pending,
                Ready::Ask(body) => body,
            };
            let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
                self.lock().source(way).body = Some(body);
                return Poll::Pending;
            };
            self.lock().put(way, frame, body);
        }
    }

    /// Puts in what is there of a body, so that a short one is whole when its head goes on.
    pub(super) async fn fill(&self, way: Way) {
        std::future::poll_fn(|cx| {
            loop {
                let Some(mut body) = self.lock().wanted(way) else { return Poll::Ready(()) };
                let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
                    // Whoever reads what comes out asks again.
                    self.lock().source(way).body = Some(body);
                    return Poll::Ready(());
                };
                self.lock().put(way, frame, body);
            }
        })
        .await;
    }

    /// Waits until a filter has answered, or the stream is cut off.
    pub(super) async fn turned(&self) {
        std::future::poll_fn(|cx| {
            let mut flow = self.lock();
            flow.chain.poll(Way::Response, cx);
            match flow.chain.is_answered() || flow.chain.is_reset() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

impl Flow {
    /// Has what `body` gives put through the filters.
    pub(super) fn feed(
        &mut self,
        way: Way,
        body: impl Body<Data = Bytes, Error = Error> + Send + 'static,
    ) {
        self.source(way).body = (!body.is_end_stream()).then(|| Box::pin(body) as _);
    }

    fn source(&mut self, way: Way) -> &mut Sourced {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }

    /// What can be done without asking for more: what comes out, or that nothing does for now, or
    /// the body to ask.
    fn ready(&mut self, way: Way, cx: &Context<'_>) -> Ready {
        self.chain.poll(way, cx);
        if self.chain.is_reset() {
            return Ready::Out(Err(Error::ConnectionTerminated));
        }
        if let Some(out) = self.chain.take(way) {
            return Ready::Out(Ok(Some(out)));
        }
        if let Some(error) = self.source(way).error.take() {
            return Ready::Out(Err(error));
        }
        if self.chain.is_answered() {
            // The answer is whole; what is left of the request is nobody's.
            return match way {
                Way::Request => Ready::Out(Ok(None)),
                Way::Response => Ready::Nothing,
            };
        }
        match self.chain.wants(way).then(|| self.source(way).body.take()).flatten() {
            Some(body) => Ready::Ask(body),
            None => Ready::Nothing,
        }
    }

    /// The body to ask, unless all of it is there or it has to wait.
    fn wanted(&mut self, way: Way) -> Option<Source> {
        let asks = self.chain.whole(way).is_none() && self.chain.wants(way);
        asks.then(|| self.source(way).body.take()).flatten()
    }

    /// Puts in what a body gave; the body comes back unless it has ended.
    fn put(&mut self, way: Way, frame: Option<Result<Frame<Bytes>, Error>>, body: Source) {
        let is_last = body.is_end_stream();
        match frame {
            None => self.chain.put_data(way, Bytes::new(), true),
            Some(Err(error)) => self.source(way).error = Some(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.source(way).body = (!is_last).then_some(body);
                    self.chain.put_data(way, data, is_last);
                }
                Err(frame) => {
                    self.chain.put_trailers(way, frame.into_trailers().unwrap_or_default());
                }
            },
        }
    }
}

/// A body as the filters have left it.
pub(crate) struct Filtered {
    flow: Shared,
    way: Way,
    /// How long it is, where that is known.
    size: Option<u64>,
    ended: bool,
}

impl Filtered {
    /// What comes after the head. `ended`: nothing does.
    pub(super) fn new(flow: Shared, way: Way, ended: bool) -> Self {
        let size = flow.lock().chain.whole(way);
        let size = if ended { Some(0) } else { size };
        Self { flow, way, size, ended }
    }

    /// Whether all of it is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.size.is_some()
    }
}

impl Body for Filtered {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            let polled = this.flow.poll(this.way, cx);
            let Poll::Ready(out) = polled else { return Poll::Pending };
            return Poll::Ready(match out {
                Err(error) => {
                    this.ended = true;
                    Some(Err(error))
                }
                Ok(None) => {
                    this.ended = true;
                    // Whoever reads a request that is answered elsewhere is not told that it ended.
                    (this.way == Way::Request).then_some(Err(Error::ConnectionTerminated))
                }
                // The head was taken before.
                Ok(Some(Out::Head(end))) => {
                    this.ended = end;
                    match end {
                        true => None,
                        false => continue,
                    }
                }
                Ok(Some(Out::Data(data, end))) => {
                    this.ended = end;
                    if data.is_empty() {
                        match end {
                            true => return Poll::Ready(None),
                            false => continue,
                        }
                    }
                    if let Some(size) = &mut this.size {
                        *size = size.saturating_sub(data.len() as u64);
                    }
                    Some(Ok(Frame::data(data)))
                }
                Ok(Some(Out::Trailers)) => {
                    this.ended = true;
                    let trailers = this.flow.lock().chain.trailers(this.way).unwrap_or_default();
                    Some(Ok(Frame::trailers(trailers.into_fields())))
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.size == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
