//! The bodies of both directions.

use crate::stall::{Bodies, Mark};
use crate::upstream::Proxied;
use bytes::Bytes;
use http::incoming::Answer;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use wasmtime_wasi_http::Error;

/// The body of an answer: the guest's, a server's, or one of ours.
pub(crate) enum Outgoing {
    /// A guest's, complete.
    Whole(Answer),
    /// A guest's, still being made and taken.
    Flowing(Answer, Arc<Mark>),
    /// A server's, complete or still coming.
    Proxied(Proxied, Option<Arc<Mark>>),
    /// A short text of ours.
    Text(Option<Bytes>),
}

impl Outgoing {
    /// A guest's answer on a connection with these bodies.
    pub(crate) fn guest(answer: Answer, bodies: &Bodies) -> Self {
        match answer.is_complete() {
            true => Self::Whole(answer),
            false => Self::Flowing(answer, bodies.watch()),
        }
    }

    /// A server's answer on a connection with these bodies.
    pub(crate) fn proxied(answer: Proxied, bodies: &Bodies) -> Self {
        let mark = (!answer.is_complete()).then(|| bodies.watch());
        Self::Proxied(answer, mark)
    }

    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self::Text((!text.is_empty()).then_some(text))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Whole(answer) => Pin::new(answer).poll_frame(cx),
            Self::Flowing(answer, mark) => mark.note(Pin::new(answer).poll_frame(cx)),
            Self::Proxied(answer, Some(mark)) => mark.note(Pin::new(answer).poll_frame(cx)),
            Self::Proxied(answer, None) => Pin::new(answer).poll_frame(cx),
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(answer) | Self::Flowing(answer, _) => answer.is_end_stream(),
            Self::Proxied(answer, _) => answer.is_end_stream(),
            Self::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(answer) | Self::Flowing(answer, _) => answer.size_hint(),
            Self::Proxied(answer, _) => answer.size_hint(),
            Self::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}

/// The body of a request, cut off where it is longer than it may be.
pub(crate) struct Incoming {
    body: hyper::body::Incoming,
    rest: u64,
}

impl Incoming {
    pub(crate) fn new(body: hyper::body::Incoming, limit: u64) -> Self {
        Self { body, rest: limit }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => match this.rest.checked_sub(data.len() as u64) {
                    Some(rest) => {
                        this.rest = rest;
                        Some(Ok(frame))
                    }
                    None => Some(Err(Error::HttpRequestBodySize(None))),
                },
                None => Some(Ok(frame)),
            },
            // A client that went away in the middle.
            Some(Err(error)) if error.is_incomplete_message() || error.is_canceled() => {
                Some(Err(Error::ConnectionTerminated))
            }
            Some(Err(_)) => Some(Err(Error::HttpProtocolError)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
