//! Turns that a stream takes: answers of filters, streams cut off, filters that fail.

use super::{Chain, Side};
use crate::buffer::Buffer;
use crate::headers::Headers;
use crate::plugin::OnFailure;
use crate::seat::lock;
use crate::stream::{Piece, Reply, Way};
use crate::vm::Failure;
use bytes::Bytes;
use http_types::{HeaderMap, HeaderValue, StatusCode};

impl Chain {
    /// Does what filters asked for beyond their answers; says whether the stream goes on.
    pub(super) fn take_turn(&mut self, within: Option<Way>) -> bool {
        let asked = self.with(|stream| {
            // An answer is large, and there is seldom one to be moved.
            let is_asked = stream.close.is_some() || stream.reply.is_some();
            is_asked.then(|| (stream.close.take(), stream.reply.take()))
        });
        let Some((close, reply)) = asked else { return true };
        if close.is_some() {
            self.reset();
            return false;
        }
        if let Some((index, reply)) = reply {
            let holds_response = self.with(|stream| {
                stream.stage(Way::Response, index).is_some_and(|stage| stage.holds_head)
            });
            let way = match (within, holds_response) {
                (Some(way), _) => way,
                (None, true) => Way::Response,
                (None, _) => Way::Request,
            };
            self.answer(way, index, reply);
            return false;
        }
        true
    }

    /// Looks for what was asked for outside of a call of this stream's own, and leaves the stream.
    pub(super) fn settle(&mut self) {
        // Whatever is looked for here wakes the stream's driver.
        if !self.is_ended && !self.is_reset && self.place.was_asked() {
            self.look();
        }
        self.here = None;
    }

    fn look(&mut self) {
        for index in 0..self.links.len() {
            let Some(link) = self.links.get(index).filter(|link| !link.is_out) else { continue };
            self.here = None;
            let failure = link.vm.as_ref().and_then(|vm| lock(vm).failure().cloned());
            if let Some(failure) = failure {
                self.failed(index, &failure);
            }
        }
        if !self.take_turn(None) {
            return;
        }
        for way in [Way::Request, Way::Response] {
            for index in 0..self.links.len() {
                let resumed = self.with(|stream| {
                    stream.stage(way, index).is_some_and(|stage| std::mem::take(&mut stage.resume))
                });
                if resumed && !(way == Way::Request && self.is_answered) {
                    self.release(way, index);
                    self.place.wake();
                }
            }
        }
    }

    /// Gives an answer in place of the server's: the filter at `index` says it, those before it see
    /// it, and so does itself if it was about the request.
    pub(super) fn answer(&mut self, way: Way, index: usize, reply: Reply) {
        let holds_head = self.with(|stream| {
            stream.stage(Way::Response, index).is_some_and(|stage| stage.holds_head)
        });
        // The client has, or other filters have, seen the head of another response.
        let is_late = self.response.has_begun && (way == Way::Request || !holds_head);
        if is_late || self.response.is_taken || !self.is_http {
            return self.reset();
        }
        self.is_answered = true;
        self.place.wake();
        self.request.out.clear();
        self.response = Side { has_begun: true, ..Side::default() };
        let Reply { headers, body, details } = reply;
        self.with(|stream| {
            stream.details = details;
            for way in [Way::Request, Way::Response] {
                for stage in &mut stream.pipe_mut(way).stages {
                    *stage = Default::default();
                }
            }
            stream.response.size = body.len() as u64;
            (stream.response.headers, stream.response.trailers) = (Some(headers), None);
        });
        let at = match way {
            Way::Request => Some(index),
            Way::Response => self.after(Way::Response, index),
        };
        self.deliver(Way::Response, at, Piece::Head(body.is_empty()));
        if !body.is_empty() {
            let mut buffer = Buffer::default();
            buffer.push(body);
            self.deliver(Way::Response, at, Piece::Data(buffer, true));
        }
    }

    /// The stream is cut off.
    fn reset(&mut self) {
        self.is_reset = true;
        self.place.wake();
    }

    /// A filter failed: the stream goes on without it, or is answered.
    pub(super) fn failed(&mut self, index: usize, failure: &Failure) {
        let Some(link) = self.links.get_mut(index) else { return };
        if std::mem::replace(&mut link.is_out, true) {
            return;
        }
        link.seat.failed(failure);
        if link.seat.plugin().on_failure == OnFailure::Open {
            self.release(Way::Request, index);
            self.release(Way::Response, index);
        } else {
            self.give_up(index);
        }
    }

    pub(super) fn give_up(&mut self, index: usize) {
        let way = match self.response.has_begun {
            true => Way::Response,
            false => Way::Request,
        };
        self.answer(way, index, own_reply(StatusCode::SERVICE_UNAVAILABLE, "a filter failed"));
    }
}

/// An answer of the host's own.
pub(super) fn own_reply(status: StatusCode, text: &str) -> Reply {
    let body = Bytes::from(format!("{text}\n"));
    let mut fields = HeaderMap::new();
    fields.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert("content-length", HeaderValue::from(body.len()));
    Reply { headers: Headers::response(status, fields), body, details: Bytes::new() }
}
