//! What flows from filter to filter: each is told, and lets go of it or holds it.

use super::turns::own_reply;
use super::{Chain, Out};
use crate::abi::{OnData, OnHeaders};
use crate::buffer::Buffer;
use crate::headers::Headers;
use crate::plugin::HeadersStop;
use crate::stream::{Piece, Stream, Wait, Way};
use crate::vm::{Failure, Vm};
use bytes::Bytes;
use http_types::StatusCode;

impl Chain {
    /// Puts a piece to a filter, or out if there is none left.
    pub(super) fn deliver(&mut self, way: Way, at: Option<usize>, piece: Piece) {
        let Some(index) = at else { return self.put_out(way, piece) };
        if self.is_reset || way == Way::Request && self.is_answered {
            return;
        }
        let is_past = self.links.get(index).is_none_or(|link| {
            link.is_out || way == Way::Response && self.is_http && !link.has_seen
        });
        if is_past {
            return self.deliver(way, self.after(way, index), piece);
        }
        let mut piece = Some(piece);
        self.with(|stream| {
            if let Some(stage) = stream.stage(way, index)
                && stage.wait == Wait::All
            {
                stage.queue.extend(piece.take());
            }
        });
        match piece {
            None => self.check_size(way, index),
            Some(Piece::Head(end)) => self.on_head(way, index, end),
            Some(Piece::Data(data, end)) => self.on_data(way, index, data, end),
            Some(Piece::Trailers) => self.on_trailers(way, index),
        }
    }

    fn on_head(&mut self, way: Way, index: usize, end: bool) {
        if let Some(link) = self.links.get_mut(index) {
            link.has_seen = true;
        }
        let count = self.with(|stream| {
            if let Some(stage) = stream.stage(way, index) {
                (stage.holds_head, stage.ended) = (true, end);
            }
            stream.pipe(way).headers.as_ref().map_or(0, Headers::len)
        });
        let is_http = self.is_http;
        let head = |vm: &mut Vm, context| match is_http {
            true => vm.on_headers(way, context, count, end),
            false => vm.on_new_connection(context),
        };
        let Some(action) = self.call(way, index, head) else { return };
        let stop = self.links.get(index).map(|link| link.seat.plugin().headers_stop);
        let wait = match (action, stop) {
            (OnHeaders::Continue, _) => Wait::None,
            (OnHeaders::Stop, Some(HeadersStop::Iteration)) => Wait::Head,
            (OnHeaders::Stop | OnHeaders::StopAll, _) => Wait::All,
        };
        self.hold(way, index, wait);
    }

    fn on_data(&mut self, way: Way, index: usize, data: Buffer, end: bool) {
        let size = self.with(|stream| {
            let Some(stage) = stream.stage(way, index) else { return 0 };
            stage.buffer.append(data);
            (stage.has_body, stage.ended) = (true, stage.ended || end);
            stage.buffer.len()
        });
        let is_http = self.is_http;
        let Some(action) =
            self.call(way, index, |vm, context| vm.on_data(is_http, way, context, size, end))
        else {
            return;
        };
        let wait = match action {
            OnData::Continue => Wait::None,
            OnData::Buffer if is_http => Wait::Body,
            OnData::Buffer | OnData::Watermark => Wait::Watermark,
            OnData::Drop => {
                self.with(|stream| {
                    if let Some(stage) = stream.stage(way, index) {
                        stage.buffer.clear();
                    }
                });
                Wait::Body
            }
        };
        self.hold(way, index, wait);
    }

    fn on_trailers(&mut self, way: Way, index: usize) {
        let count = self.with(|stream| {
            if let Some(stage) = stream.stage(way, index) {
                (stage.holds_trailers, stage.has_body) = (true, true);
            }
            stream.pipe(way).trailers.as_ref().map_or(0, Headers::len)
        });
        let Some(goes_on) =
            self.call(way, index, |vm, context| vm.on_trailers(way, context, count))
        else {
            return;
        };
        self.hold(way, index, if goes_on { Wait::None } else { Wait::All });
    }

    /// What a filter has answered: it lets go of everything, or holds it.
    fn hold(&mut self, way: Way, index: usize, wait: Wait) {
        let goes_on = self.with(|stream| {
            let stage = stream.stage(way, index)?;
            let resumed = std::mem::take(&mut stage.resume);
            stage.wait = if resumed { Wait::None } else { wait };
            Some(stage.wait == Wait::None)
        });
        match goes_on {
            Some(true) => self.release(way, index),
            _ => self.check_size(way, index),
        }
    }

    /// A filter that holds too much ends its stream: 413 for a request, 500 for a response.
    fn check_size(&mut self, way: Way, index: usize) {
        let most = self.most(index);
        let is_over = self.with(|stream| {
            stream.stage(way, index).is_some_and(|stage| {
                matches!(stage.wait, Wait::Body | Wait::Head) && stage.waiting() > most
            })
        });
        if is_over {
            let (status, text) = match way {
                Way::Request => (StatusCode::PAYLOAD_TOO_LARGE, "the request body is too long"),
                Way::Response => (StatusCode::INTERNAL_SERVER_ERROR, "the response is too long"),
            };
            self.answer(way, index, own_reply(status, text));
        }
    }

    /// Passes on what a filter held, and then what waited for it.
    pub(super) fn release(&mut self, way: Way, index: usize) {
        let held = self.with(|stream| {
            let stage = stream.stage(way, index)?;
            stage.wait = Wait::None;
            stage.has_body = false;
            Some((
                std::mem::take(&mut stage.holds_head),
                std::mem::take(&mut stage.buffer),
                std::mem::take(&mut stage.ended),
                std::mem::take(&mut stage.holds_trailers),
            ))
        });
        let Some((head, data, ended, trailers)) = held else { return };
        let next = self.after(way, index);
        let (has_data, ends) = (!data.is_empty(), ended && !trailers);
        if head {
            self.deliver(way, next, Piece::Head(ends && !has_data));
        }
        if has_data || ends && !head {
            self.deliver(way, next, Piece::Data(data, ends));
        }
        if trailers {
            self.deliver(way, next, Piece::Trailers);
        }
        loop {
            let waiting = self.with(|stream| {
                let stage = stream.stage(way, index)?;
                if stage.wait == Wait::All { None } else { stage.queue.pop_front() }
            });
            let Some(piece) = waiting else { return };
            self.deliver(way, Some(index), piece);
        }
    }

    fn put_out(&mut self, way: Way, piece: Piece) {
        let out = &mut self.side(way).out;
        match piece {
            Piece::Head(end) => out.push_back(Out::Head(end)),
            Piece::Data(mut data, end) => {
                let mut parts = data.take().peekable();
                if parts.peek().is_none() {
                    out.push_back(Out::Data(Bytes::new(), end));
                }
                while let Some(part) = parts.next() {
                    let is_last = parts.peek().is_none();
                    out.push_back(Out::Data(part, end && is_last));
                }
            }
            Piece::Trailers => out.push_back(Out::Trailers),
        }
    }

    /// Calls a filter about one way; `None` if the stream took another turn by it.
    pub(super) fn call<T>(
        &mut self,
        way: Way,
        index: usize,
        call: impl FnOnce(&mut Vm, u32) -> Result<T, Failure>,
    ) -> Option<T> {
        let in_call = |stream: &mut Stream, now| {
            if let Some(stage) = stream.stage(way, index) {
                stage.in_call = now;
            }
        };
        self.with(|stream| in_call(stream, true));
        let answer = self.enter(index, call)?;
        self.with(|stream| in_call(stream, false));
        match answer {
            Err(failure) => {
                self.failed(index, &failure);
                None
            }
            Ok(answer) if self.take_turn(Some(way)) => Some(answer),
            Ok(_) => None,
        }
    }
}
