//! The filters of one stream, in their order, and what flows through them.
//!
//! Nothing here waits: the driver puts in what came, takes out what may go on, and is woken when a
//! filter that held something lets it go.

mod flow;
mod turns;

use crate::abi::Peer;
use crate::buffer::Buffer;
use crate::headers::Headers;
use crate::outside::Attributes;
use crate::plugin::OnFailure;
use crate::seat::{Running, Seat, Shared, lock, try_lock};
use crate::state::Here;
use crate::stream::{Handle, Locked, Piece, Stream, Wait, Way};
use crate::vm::{Failure, Vm};
use bytes::Bytes;
use http_types::HeaderMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

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
    /// The stream, while something is done with it.
    here: Option<Locked>,
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
        let place = Handle::new(Stream::new(is_http, filters.len(), attributes));
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
            here: None,
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
        // Who has a stream waits for no virtual machine, so these come first.
        let found: Vec<_> = self.links.iter().map(|link| link.seat.running()).collect();
        let mut has_failed = false;
        for (index, found) in found.into_iter().enumerate() {
            if has_failed {
                self.here = None;
            }
            let Some(link) = self.links.get_mut(index) else { return };
            let plugin = Arc::clone(link.seat.plugin());
            // Others may have been in what failed.
            match if has_failed { link.seat.running() } else { found } {
                Ok(Running { vm, root }) => {
                    link.vm = Some(vm);
                    let place = self.place.clone();
                    let made =
                        self.visit(index, |vm, _, here| vm.new_stream(root, plugin, place, here));
                    match (made, self.links.get_mut(index)) {
                        (Some(Ok(context)), Some(link)) => link.context = context,
                        (Some(Err(failure)), _) => {
                            has_failed = true;
                            self.failed(index, &failure);
                        }
                        _ => return,
                    }
                }
                Err(absent) => {
                    link.is_out = true;
                    tracing::debug!(filter = %plugin.name, "a stream goes without it: {absent}");
                    if plugin.on_failure != OnFailure::Open {
                        self.give_up(index);
                    }
                }
            }
        }
        self.here = None;
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
        self.place.lock().pipe(way).headers.clone()
    }

    /// The trailers of a message as the filters have left them.
    pub fn trailers(&self, way: Way) -> Option<Headers> {
        self.place.lock().pipe(way).trailers.clone()
    }

    /// Whether more may be put in: nobody holds so much that it has to be waited for.
    pub fn wants(&self, way: Way) -> bool {
        if self.is_over(way) || self.of(way).out.len() > 4 {
            return false;
        }
        // A connection is not told when a message is whole, so all that may wait has to come.
        let bound = if self.is_http { 64 << 10 } else { usize::MAX };
        let stream = self.place.lock();
        let mut stages = stream.pipe(way).stages.iter().enumerate();
        !stages.any(|(index, stage)| match stage.wait {
            Wait::All | Wait::Watermark => stage.waiting() >= self.most(index).min(bound),
            Wait::None | Wait::Head | Wait::Body => false,
        })
    }

    /// Whether a filter answered, so that the request goes nowhere.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Whether the stream is to be cut off.
    pub fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// Has `cx` woken when a filter lets something go this way, or the stream takes another turn,
    /// and looks whether that is so.
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
        for index in 0..self.links.len() {
            let Some(link) = self.links.get(index) else { return };
            if link.context == 0 || link.is_out {
                continue;
            }
            if let Some(Err(failure)) = self.enter(index, Vm::end)
                && let Some(link) = self.links.get(index)
            {
                link.seat.failed(&failure);
            }
        }
        self.here = None;
    }

    /// Bytes of a body that may wait for a filter.
    fn most(&self, index: usize) -> usize {
        self.links.get(index).map_or(0, |link| link.seat.plugin().limits.buffer)
    }

    /// Does something with the stream, which stays here for what follows.
    fn with<T>(&mut self, look: impl FnOnce(&mut Stream) -> T) -> T {
        look(self.here.get_or_insert_with(|| self.place.lock()))
    }

    /// Calls a filter, and brings the stream along; `None` for one that has no virtual machine.
    fn enter<T>(
        &mut self,
        index: usize,
        call: impl FnOnce(&mut Vm, u32) -> Result<T, Failure>,
    ) -> Option<Result<T, Failure>> {
        self.visit(index, |vm, context, here| vm.with(context, here, |vm| call(vm, context)))
    }

    /// Goes into a filter's virtual machine with the stream, and comes back with it.
    fn visit<T>(
        &mut self,
        index: usize,
        call: impl FnOnce(&mut Vm, u32, Here) -> (T, Option<Locked>),
    ) -> Option<T> {
        let Link { vm, context, .. } = self.links.get(index)?;
        let vm = vm.as_ref()?;
        let mut vm = try_lock(vm).unwrap_or_else(|| {
            // Who is in there may wait for this stream.
            self.here = None;
            lock(vm)
        });
        let stream = self.here.take().unwrap_or_else(|| self.place.lock());
        let (answer, stream) = call(&mut vm, *context, Here { stream, index });
        self.here = stream;
        Some(answer)
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
