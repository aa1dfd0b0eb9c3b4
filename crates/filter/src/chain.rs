//! The filters of one stream, in their order, and what flows through them.
//!
//! Nothing here waits: the driver puts in what came, takes out what may go on, and is woken when a
//! filter that held something lets it go.

mod turns;

use crate::abi::{OnData, OnHeaders, Peer};
use crate::buffer::Buffer;
use crate::headers::Headers;
use crate::outside::Attributes;
use crate::plugin::{HeadersStop, OnFailure};
use crate::seat::{Seat, Shared, lock};
use crate::stream::{Handle, Piece, Place, Stream, Wait, Way};
use crate::vm::{Failure, Vm};
use bytes::Bytes;
use http_types::{HeaderMap, StatusCode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;
use turns::{own_reply, report};

/// What comes out of a chain.
#[derive(Debug, PartialEq, Eq)]
pub enum Out {
    /// The head, which [`Chain::head`] has, and whether it is all there is.
    Head(bool),
    /// A part of the body, and whether it is the last.
    Data(Bytes, bool),
    /// Trailers, which [`Chain::trailers`] has and which end the message.
    Trailers,
}

/// One filter of a stream.
struct Link {
    seat: Arc<Seat>,
    vm: Option<Shared>,
    context: u32,
    /// It is out of the way: it failed, or never started.
    is_out: bool,
    /// It was told of the request's head, and so will be of the response's.
    has_seen: bool,
}

/// The filters of one stream.
pub struct Chain {
    links: Vec<Link>,
    place: Handle,
    is_http: bool,
    request: Side,
    response: Side,
    /// A filter answered, or nobody could: the request goes nowhere.
    is_answered: bool,
    is_reset: bool,
    is_ended: bool,
}

/// What came out at one end.
#[derive(Default)]
struct Side {
    out: VecDeque<Out>,
    /// The head of a message was put in.
    has_begun: bool,
    /// The head was taken out by the driver.
    is_taken: bool,
}

impl Chain {
    /// The filters of a stream of HTTP. Each is told that there is one.
    pub fn http(filters: &[Arc<Seat>], attributes: Box<dyn Attributes>) -> Self {
        Self::new(filters, true, attributes)
    }

    /// The filters of a connection of TCP.
    pub fn tcp(filters: &[Arc<Seat>], attributes: Box<dyn Attributes>) -> Self {
        Self::new(filters, false, attributes)
    }

    fn new(filters: &[Arc<Seat>], is_http: bool, attributes: Box<dyn Attributes>) -> Self {
        let place = Place::new(Stream::new(is_http, filters.len(), attributes));
        let links = filters.iter().map(|seat| Link {
            seat: Arc::clone(seat),
            vm: None,
            context: 0,
            is_out: false,
            has_seen: false,
        });
        let mut chain = Self {
            links: links.collect(),
            place,
            is_http,
            request: Side::default(),
            response: Side::default(),
            is_answered: false,
            is_reset: false,
            is_ended: false,
        };
        chain.begin();
        chain
    }

    fn begin(&mut self) {
        for index in 0..self.links.len() {
            let Some(link) = self.links.get_mut(index) else { return };
            match link.seat.running() {
                Ok(running) => {
                    let made =
                        lock(&running.vm).new_stream(running.root, Arc::clone(&self.place), index);
                    link.vm = Some(running.vm);
                    match made {
                        Ok(context) => link.context = context,
                        Err(failure) => self.failed(index, &failure),
                    }
                }
                Err(absent) => {
                    link.is_out = true;
                    let plugin = link.seat.plugin();
                    tracing::debug!(filter = %plugin.name, "a stream goes without it: {absent}");
                    if plugin.on_failure != OnFailure::Open {
                        self.give_up(index);
                    }
                }
            }
        }
    }

    /// Puts in the head of a message.
    pub fn put_head(&mut self, way: Way, headers: Headers, end: bool) {
        if way == Way::Response && self.is_answered {
            return;
        }
        self.side(way).has_begun = true;
        self.with(|stream| stream.pipe_mut(way).headers = Some(headers));
        self.deliver(way, self.first(way), Piece::Head(end));
        self.settle();
    }

    /// Puts in a part of a body, or of a connection's data.
    pub fn put_data(&mut self, way: Way, data: Bytes, end: bool) {
        if self.is_over(way) {
            return;
        }
        let mut buffer = Buffer::default();
        self.with(|stream| stream.pipe_mut(way).size += data.len() as u64);
        buffer.push(data);
        self.deliver(way, self.first(way), Piece::Data(buffer, end));
        self.settle();
    }

    /// Puts in the trailers that end a message.
    pub fn put_trailers(&mut self, way: Way, trailers: HeaderMap) {
        if self.is_over(way) {
            return;
        }
        self.with(|stream| stream.pipe_mut(way).trailers = Some(Headers::trailers(trailers)));
        self.deliver(way, self.first(way), Piece::Trailers);
        self.settle();
    }

    /// A connection of TCP is there. What comes out is a head without fields: the time to connect
    /// to the server.
    pub fn put_connection(&mut self) {
        self.request.has_begun = true;
        self.deliver(Way::Request, self.first(Way::Request), Piece::Head(false));
        self.settle();
    }

    /// A connection of TCP was closed: with the client (`Request`) or with the server.
    pub fn put_close(&mut self, way: Way, peer: Peer) {
        for index in 0..self.links.len() {
            if self.links.get(index).is_some_and(|link| !link.is_out) {
                self.call(way, index, |vm, context| vm.on_connection_close(way, context, peer));
            }
        }
        self.settle();
    }

    /// Takes out what may go on.
    pub fn take(&mut self, way: Way) -> Option<Out> {
        let side = self.side(way);
        let out = side.out.pop_front()?;
        side.is_taken = true;
        Some(out)
    }

    /// The head of a message as the filters have left it.
    pub fn head(&self, way: Way) -> Option<Headers> {
        self.with(|stream| stream.pipe(way).headers.clone()).flatten()
    }

    /// The trailers of a message as the filters have left them.
    pub fn trailers(&self, way: Way) -> Option<Headers> {
        self.with(|stream| stream.pipe(way).trailers.clone()).flatten()
    }

    /// Whether more may be put in: nobody holds so much that it has to be waited for.
    pub fn wants(&self, way: Way) -> bool {
        if self.is_over(way) || self.of(way).out.len() > 4 {
            return false;
        }
        let most =
            |index: usize| self.links.get(index).map_or(0, |link| link.seat.plugin().limits.buffer);
        let is_full = self.with(|stream| {
            let stages = stream.pipe(way).stages.iter().enumerate();
            stages.into_iter().any(|(index, stage)| match stage.wait {
                Wait::All | Wait::Watermark => stage.waiting() >= most(index).min(64 << 10),
                Wait::None | Wait::Head | Wait::Body => false,
            })
        });
        is_full == Some(false)
    }

    /// Whether a filter answered, so that the request goes nowhere.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Whether the stream is to be cut off.
    pub fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// Has `cx` woken when a filter lets something go this way, or the stream takes another turn, and
    /// looks whether that is so.
    pub fn poll(&mut self, way: Way, cx: &Context<'_>) {
        self.place.register(way, cx);
        self.settle();
    }

    /// How long a body is, if all of it may go on now and nothing follows it.
    pub fn whole(&self, way: Way) -> Option<u64> {
        let mut size = 0;
        for out in &self.of(way).out {
            match out {
                Out::Head(true) => return Some(0),
                Out::Head(false) => {}
                Out::Data(data, end) => {
                    size += data.len() as u64;
                    if *end {
                        return Some(size);
                    }
                }
                Out::Trailers => return None,
            }
        }
        None
    }

    /// Tells the filters that the stream is over. Done when dropped, too.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        self.with(|stream| stream.ended = Some(Instant::now()));
        for link in &self.links {
            if let Some(vm) = link.vm.as_ref().filter(|_| link.context > 0 && !link.is_out)
                && let Err(failure) = lock(vm).end(link.context)
            {
                report(&link.seat, &failure);
            }
        }
    }

    /// Puts a piece to a filter, or out if there is none left.
    fn deliver(&mut self, way: Way, at: Option<usize>, piece: Piece) {
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
        let (count, is_http) = (count.unwrap_or_default(), self.is_http);
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

    fn on_data(&mut self, way: Way, index: usize, mut data: Buffer, end: bool) {
        let size = self.with(|stream| {
            let stage = stream.stage(way, index)?;
            data.take().for_each(|part| stage.buffer.push(part));
            (stage.has_body, stage.ended) = (true, stage.ended || end);
            Some(stage.buffer.len())
        });
        let (size, is_http) = (size.flatten().unwrap_or_default(), self.is_http);
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
                self.with(|stream| stream.stage(way, index).map(|stage| stage.buffer.clear()));
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
        let count = count.unwrap_or_default();
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
        match goes_on.flatten() {
            Some(true) => self.release(way, index),
            _ => self.check_size(way, index),
        }
    }

    /// A filter that holds too much ends its stream: 413 for a request, 500 for a response.
    fn check_size(&mut self, way: Way, index: usize) {
        let most = self.links.get(index).map_or(0, |link| link.seat.plugin().limits.buffer);
        let is_over = self.with(|stream| {
            stream.stage(way, index).is_some_and(|stage| {
                matches!(stage.wait, Wait::Body | Wait::Head) && stage.waiting() > most
            })
        });
        if is_over == Some(true) {
            let (status, text) = match way {
                Way::Request => (StatusCode::PAYLOAD_TOO_LARGE, "the request body is too long"),
                Way::Response => (StatusCode::INTERNAL_SERVER_ERROR, "the response is too long"),
            };
            self.answer(way, index, own_reply(status, text));
        }
    }

    /// Passes on what a filter held, and then what waited for it.
    fn release(&mut self, way: Way, index: usize) {
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
        let Some((head, data, ended, trailers)) = held.flatten() else { return };
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
            let Some(piece) = waiting.flatten() else { return };
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
    fn call<T>(
        &mut self,
        way: Way,
        index: usize,
        call: impl FnOnce(&mut Vm, u32) -> Result<T, Failure>,
    ) -> Option<T> {
        let link = self.links.get(index)?;
        let vm = link.vm.as_ref()?;
        let context = link.context;
        let in_call = |stream: &mut Stream, now| {
            if let Some(stage) = stream.stage(way, index) {
                stage.in_call = now;
            }
        };
        self.with(|stream| in_call(stream, true));
        let answer = call(&mut lock(vm), context);
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

    fn with<T>(&self, look: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        self.place.with(look)
    }

    fn side(&mut self, way: Way) -> &mut Side {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }

    fn of(&self, way: Way) -> &Side {
        match way {
            Way::Request => &self.request,
            Way::Response => &self.response,
        }
    }

    fn is_over(&self, way: Way) -> bool {
        // What answers, answers whole; nothing of the request or of another response follows.
        self.is_reset || self.is_answered && (way == Way::Request || self.is_http)
    }

    fn first(&self, way: Way) -> Option<usize> {
        match way {
            Way::Request => (!self.links.is_empty()).then_some(0),
            Way::Response => self.links.len().checked_sub(1),
        }
    }

    fn after(&self, way: Way, index: usize) -> Option<usize> {
        match way {
            Way::Request => Some(index + 1).filter(|next| *next < self.links.len()),
            Way::Response => index.checked_sub(1),
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.end();
    }
}
