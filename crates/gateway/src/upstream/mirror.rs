//! A copy of a request for another upstream, whose answer nobody waits for.
//!
//! The copy never slows what is copied: where its server does not keep up, it is given up.

use super::Upstream;
use super::replay::Pulled;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use http::client::Options;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use http_types::Request;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use wasmtime_wasi_http::Error;

/// How many bytes of a body the copy may be behind.
const BEHIND: usize = 1 << 20;

/// Where copies of a route's requests go.
#[derive(Clone)]
pub struct Mirror {
    /// The upstream that gets them.
    pub upstream: Arc<Upstream>,
    /// How many of a hundred requests are copied.
    pub percent: u8,
}

impl Mirror {
    /// Whether this request is copied.
    pub(crate) fn is_due(&self) -> bool {
        fastrand::u8(..100) < self.percent
    }
}

impl Upstream {
    /// Sends a copy, if there is a place for it at once, and reads the answer for nobody.
    pub(super) async fn mirrored(self: Arc<Self>, request: Request<Pulled>) {
        let Some(_place) = self.places.take() else { return };
        let Some(endpoint) = self.choose(None, &[]).await else { return };
        let active = endpoint.begin();
        self.counts.mirrored.fetch_add(1, Relaxed);
        let total_timeout = self.settings.request_timeout;
        let options = Options { total_timeout, ..Options::default() };
        let failed = match endpoint.client.send(request, options).await {
            Ok(exchange) => {
                self.note(&endpoint, !exchange.response.status().is_server_error());
                let mut body = exchange.response.into_body();
                loop {
                    match body.frame().await {
                        Some(Ok(_)) => {}
                        Some(Err(error)) => break Some(error),
                        None => break None,
                    }
                }
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            tracing::debug!(upstream = self.name(), %endpoint, %error, "a copy failed");
        }
        drop(active);
    }
}

/// Copies a body while it passes.
pub(crate) struct Tee {
    copy: Option<UnboundedSender<Part>>,
    behind: Arc<AtomicUsize>,
}

/// The body of the copy.
struct Copied {
    parts: UnboundedReceiver<Part>,
    behind: Arc<AtomicUsize>,
    ended: bool,
}

enum Part {
    Frame(Frame<Bytes>),
    /// The body that was copied is whole.
    End,
}

/// A tee and the body that it fills.
pub(crate) fn tee() -> (Tee, Pulled) {
    let (copy, parts) = unbounded();
    let behind = Arc::new(AtomicUsize::new(0));
    let copied = Copied { parts, behind: Arc::clone(&behind), ended: false };
    (Tee { copy: Some(copy), behind }, copied.boxed_unsync())
}

impl Tee {
    /// Copies a frame, or gives the copy up if it is too far behind.
    pub(crate) fn copy(&mut self, frame: &Frame<Bytes>) {
        let Some(copy) = &self.copy else { return };
        let frame = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Frame::data(data.clone()),
            (_, Some(trailers)) => Frame::trailers(trailers.clone()),
            _ => return,
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let fits = self.behind.fetch_add(length, Relaxed) + length <= BEHIND;
        if !fits || copy.unbounded_send(Part::Frame(frame)).is_err() {
            self.copy = None;
        }
    }

    /// The body was copied to its end. A tee that is dropped before makes the copy fail.
    pub(crate) fn end(self) {
        if let Some(copy) = self.copy {
            // Whoever read the copy may be gone.
            drop(copy.unbounded_send(Part::End));
        }
    }
}

impl Body for Copied {
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
        let part = ready!(this.parts.poll_next_unpin(cx));
        Poll::Ready(match part {
            Some(Part::Frame(frame)) => {
                this.behind.fetch_sub(frame.data_ref().map_or(0, Bytes::len), Relaxed);
                Some(Ok(frame))
            }
            Some(Part::End) => {
                this.ended = true;
                None
            }
            None => {
                this.ended = true;
                Some(Err(Error::ConnectionTerminated))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    fn data(length: usize) -> Frame<Bytes> {
        static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; BEHIND]));
        Frame::data(ZEROS.slice(..length))
    }

    #[tokio::test]
    async fn a_copy_has_what_passed_and_its_end() {
        let (mut tee, copied) = tee();
        tee.copy(&data(3));
        tee.copy(&data(4));
        tee.end();
        assert_eq!(copied.collect().await.unwrap().to_bytes().len(), 7);
    }

    #[tokio::test]
    async fn a_copy_of_what_did_not_end_does_not_end_either() {
        let (mut tee, copied) = tee();
        tee.copy(&data(3));
        drop(tee);
        assert!(copied.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_copy_that_is_too_far_behind_is_given_up() {
        let (mut tee, mut copied) = tee();
        tee.copy(&data(BEHIND));
        assert!(copied.frame().await.unwrap().is_ok());
        tee.copy(&data(BEHIND));
        assert!(tee.copy.is_some());
        tee.copy(&data(1));
        assert!(tee.copy.is_none());
        tee.end();
        assert!(copied.collect().await.is_err());
    }
}
