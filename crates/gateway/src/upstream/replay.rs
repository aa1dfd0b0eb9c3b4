//! The body of a request, lent to one attempt after the other.
//!
//! An attempt that never asked for it gives it back as it was. What an attempt did take is kept,
//! up to a few bytes, where the request may be sent again.

use super::mirror::Tee;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_types::HeaderMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use wasmtime_wasi_http::Error;

/// A body that is pulled, whoever stands behind it.
pub(crate) type Pulled = UnsyncBoxBody<Bytes, Error>;

/// How long a connection may take to give a body back that it is told to drop.
const BACK: Duration = Duration::from_secs(1);

/// What became of the body while it was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It can be sent from its beginning.
    Whole,
    /// More of it was taken than is kept.
    Spent,
    /// It is longer than it may be.
    TooLarge,
    /// Its sender went away, or sent what is none.
    Broken,
}

/// The body between attempts.
pub(crate) struct Lending {
    source: Option<Source>,
    lent: Option<oneshot::Receiver<Source>>,
    seen: Arc<Seen>,
    empty: bool,
}

/// What both sides know of the body.
#[derive(Default)]
struct Seen {
    fate: AtomicU8,
    /// Whether it was asked for more than its sender has sent.
    wanting: AtomicBool,
}

struct Source {
    body: Pulled,
    kept: Vec<Piece>,
    /// How many more bytes are kept.
    room: usize,
    seen: Arc<Seen>,
    tee: Option<Tee>,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Lending {
    /// Lends `body`, of which up to `room` bytes are kept; what passes is copied to `tee`.
    pub(crate) fn new(body: Pulled, room: usize, tee: Option<Tee>) -> Self {
        let (seen, empty) = (Arc::<Seen>::default(), body.is_end_stream());
        let source = Source { body, kept: Vec::new(), room, seen: Arc::clone(&seen), tee };
        Self { source: Some(source), lent: None, seen, empty }
    }

    /// Whether there was nothing in it from the start.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// What became of it so far.
    pub(crate) fn fate(&self) -> Fate {
        match self.seen.fate.load(Relaxed) {
            0 => Fate::Whole,
            1 => Fate::Spent,
            2 => Fate::TooLarge,
            _ => Fate::Broken,
        }
    }

    /// Whether it is its sender that is waited for.
    pub(crate) fn is_wanting(&self) -> bool {
        self.seen.wanting.load(Relaxed)
    }

    /// The body for one attempt, if it is here.
    pub(crate) fn lend(&mut self) -> Option<Lent> {
        let (home, lent) = oneshot::channel();
        self.lent = Some(lent);
        Some(Lent { source: Some(self.source.take()?), given: 0, home: Some(home) })
    }

    /// Waits for the attempt that ended to give it back; says whether it is here and whole.
    pub(crate) async fn recover(&mut self) -> bool {
        if let Some(lent) = self.lent.take()
            && let Ok(Ok(source)) = tokio::time::timeout(BACK, lent).await
        {
            self.source = Some(source);
        }
        self.source.is_some() && self.fate() == Fate::Whole
    }

    /// Forgets what there was: a request without a body follows.
    pub(crate) fn clear(&mut self, nothing: Pulled) {
        *self = Self::new(nothing, 0, None);
    }
}

impl Source {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match self.room.checked_sub(length) {
            Some(room) if self.room > 0 => {
                self.room = room;
                let data = frame.data_ref().cloned().map(Piece::Data);
                let trailers = || frame.trailers_ref().cloned().map(Piece::Trailers);
                self.kept.extend(data.or_else(trailers));
            }
            _ => {
                self.room = 0;
                self.kept.clear();
                self.set(Fate::Spent);
            }
        }
    }

    fn set(&self, fate: Fate) {
        self.seen.fate.store(fate as u8, Relaxed);
    }

    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.seen.wanting.store(frame.is_pending(), Relaxed);
        let frame = ready!(frame);
        let ended = match &frame {
            Some(Ok(frame)) => {
                self.keep(frame);
                if let Some(tee) = &mut self.tee {
                    tee.copy(frame);
                }
                self.body.is_end_stream()
            }
            Some(Err(error)) => {
                let long = matches!(error, Error::HttpRequestBodySize(_));
                self.set(if long { Fate::TooLarge } else { Fate::Broken });
                false
            }
            None => true,
        };
        if let Some(tee) = self.tee.take_if(|_| ended) {
            tee.end();
        }
        Poll::Ready(frame)
    }
}

/// The body during one attempt. Dropped, it goes back.
pub(crate) struct Lent {
    source: Option<Source>,
    /// How many of the pieces that are kept this attempt has had.
    given: usize,
    home: Option<oneshot::Sender<Source>>,
}

impl Body for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some(source) = &mut this.source else { return Poll::Ready(None) };
        if let Some(piece) = source.kept.get(this.given) {
            this.given += 1;
            return Poll::Ready(Some(Ok(match piece.clone() {
                Piece::Data(data) => Frame::data(data),
                Piece::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        let frame = ready!(source.pull(cx));
        this.given = source.kept.len();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.source
            .as_ref()
            .is_none_or(|source| self.given >= source.kept.len() && source.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Some(source) if source.kept.is_empty() => source.body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(home), Some(source)) = (self.home.take(), self.source.take()) {
            // Where nobody waits for it, it is not needed again.
            drop(home.send(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full, StreamBody};

    fn pieces(pieces: &'static [&'static str]) -> Pulled {
        let frames =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
    }

    async fn all(body: Lent) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn what_was_never_asked_for_comes_back_as_it_was() {
        let mut body = Lending::new(pieces(&["one", "two"]), 0, None);
        drop(body.lend().unwrap());
        assert!(body.recover().await);
        assert_eq!(all(body.lend().unwrap()).await, "onetwo");
        assert!(!body.recover().await);
        assert_eq!(body.fate(), Fate::Spent);
    }

    #[tokio::test]
    async fn what_is_kept_is_sent_again_from_the_beginning() {
        let mut body = Lending::new(pieces(&["one", "two", "three"]), 100, None);
        for taken in 0..3 {
            let mut lent = body.lend().unwrap();
            for _ in 0..taken {
                lent.frame().await.unwrap().unwrap();
            }
            drop(lent);
            assert!(body.recover().await);
        }
        assert_eq!(all(body.lend().unwrap()).await, "onetwothree");
        assert!(body.recover().await);
        assert_eq!(all(body.lend().unwrap()).await, "onetwothree");
    }

    #[tokio::test]
    async fn what_is_longer_than_is_kept_is_sent_once() {
        let mut body = Lending::new(pieces(&["one", "two", "three"]), 6, None);
        let mut lent = body.lend().unwrap();
        lent.frame().await.unwrap().unwrap();
        lent.frame().await.unwrap().unwrap();
        assert_eq!(body.fate(), Fate::Whole);
        assert_eq!(all(lent).await, "three");
        assert!(!body.recover().await);
    }

    #[tokio::test]
    async fn a_body_that_is_not_given_back_is_not_here() {
        let whole = Full::new(Bytes::from_static(b"x")).map_err(|never| match never {});
        let mut body = Lending::new(whole.boxed_unsync(), 100, None);
        assert!(!body.is_empty());
        let lent = body.lend().unwrap();
        assert!(body.lend().is_none());
        std::mem::forget(lent);
        body.lent = None;
        assert!(!body.recover().await);
    }
}
