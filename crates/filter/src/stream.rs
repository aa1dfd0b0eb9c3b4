//! One stream as all its filters share it: what is held where, and what they asked for.

use crate::Value;
use crate::abi::{BufferType, MapType, StreamType};
use crate::buffer::Buffer;
use crate::headers::Headers;
use crate::outside::Attributes;
use bytes::Bytes;
use futures::task::AtomicWaker;
use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Context;
use std::time::Instant;

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client: through the filters in their order.
    Request,
    /// To the client: through the filters from the last to the first.
    Response,
}

/// What comes to a filter, or out of the last one.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The head, and whether it is all there is.
    Head(bool),
    /// A part of the body, and whether it is the last.
    Data(Buffer, bool),
    /// Trailers, which end the message.
    Trailers,
}

/// Why a filter holds what came to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It does not.
    #[default]
    None,
    /// The head waits; the body still comes to the filter.
    Head,
    /// Everything waits, and what comes is put into a queue.
    All,
    /// The body waits.
    Body,
    /// The body waits, and when the buffer is full nothing more is read.
    Watermark,
}

/// One filter's part of one way.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    pub(crate) wait: Wait,
    /// The filter is being called about this way.
    pub(crate) in_call: bool,
    /// It asked to go on.
    pub(crate) resume: bool,
    pub(crate) holds_head: bool,
    pub(crate) holds_trailers: bool,
    /// The end has come here and was not passed on yet.
    pub(crate) ended: bool,
    /// The bytes that it holds, and whether it may look at them.
    pub(crate) buffer: Buffer,
    pub(crate) has_body: bool,
    /// What came while everything waits.
    pub(crate) queue: VecDeque<Piece>,
}

impl Stage {
    /// Bytes that wait here.
    pub(crate) fn waiting(&self) -> usize {
        let queued = self.queue.iter().map(|piece| match piece {
            Piece::Data(buffer, _) => buffer.len(),
            Piece::Head(_) | Piece::Trailers => 0,
        });
        self.buffer.len() + queued.sum::<usize>()
    }
}

/// One way of a stream.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// The head, once it has come.
    pub(crate) headers: Option<Headers>,
    pub(crate) trailers: Option<Headers>,
    /// Bytes of the body that came.
    pub(crate) size: u64,
    pub(crate) stages: Vec<Stage>,
}

impl Pipe {
    fn new(filters: usize) -> Self {
        let stages = (0..filters).map(|_| Stage::default()).collect();
        Self { stages, ..Self::default() }
    }
}

/// An answer that a filter gives instead of the server.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
    /// For `response.code_details`.
    pub(crate) details: Bytes,
}

/// One stream.
pub(crate) struct Stream {
    pub(crate) is_http: bool,
    pub(crate) request: Pipe,
    pub(crate) response: Pipe,
    pub(crate) attributes: Box<dyn Attributes>,
    /// What filters have set, by the path as they wrote it.
    pub(crate) properties: HashMap<Bytes, Bytes>,
    pub(crate) details: Bytes,
    pub(crate) begun: Instant,
    pub(crate) ended: Option<Instant>,
    /// The answer that a filter gave, and which.
    pub(crate) reply: Option<(usize, Reply)>,
    /// A filter wants it closed.
    pub(crate) close: Option<StreamType>,
}

/// So many bytes of properties are kept.
const MOST_PROPERTIES: usize = 64 << 10;

impl Stream {
    pub(crate) fn new(is_http: bool, filters: usize, attributes: Box<dyn Attributes>) -> Self {
        Self {
            is_http,
            request: Pipe::new(filters),
            response: Pipe::new(filters),
            attributes,
            properties: HashMap::new(),
            details: Bytes::new(),
            begun: Instant::now(),
            ended: None,
            reply: None,
            close: None,
        }
    }

    pub(crate) fn pipe(&self, way: Way) -> &Pipe {
        match way {
            Way::Request => &self.request,
            Way::Response => &self.response,
        }
    }

    pub(crate) fn pipe_mut(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }

    pub(crate) fn stage(&mut self, way: Way, index: usize) -> Option<&mut Stage> {
        self.pipe_mut(way).stages.get_mut(index)
    }

    /// The fields of a map of this stream; `None` while they have not come.
    pub(crate) fn map(&self, map: MapType) -> Option<&Headers> {
        match map {
            MapType::RequestHeaders => self.request.headers.as_ref(),
            MapType::RequestTrailers => self.request.trailers.as_ref(),
            MapType::ResponseHeaders => self.response.headers.as_ref(),
            MapType::ResponseTrailers => self.response.trailers.as_ref(),
            _ => None,
        }
    }

    /// The fields of a map of this stream, for the filter at `index` to change. Trailers are made
    /// while it holds the end of a body that has none.
    pub(crate) fn map_mut(&mut self, map: MapType, index: usize) -> Option<&mut Headers> {
        let (way, are_trailers) = match map {
            MapType::RequestHeaders => (Way::Request, false),
            MapType::RequestTrailers => (Way::Request, true),
            MapType::ResponseHeaders => (Way::Response, false),
            MapType::ResponseTrailers => (Way::Response, true),
            _ => return None,
        };
        let is_http = self.is_http;
        let pipe = self.pipe_mut(way);
        if !are_trailers {
            return pipe.headers.as_mut();
        }
        if pipe.trailers.is_none() {
            let stage = pipe.stages.get_mut(index)?;
            if !(is_http && stage.ended && stage.has_body) {
                return None;
            }
            stage.holds_trailers = true;
            pipe.trailers = Some(Headers::default());
        }
        pipe.trailers.as_mut()
    }

    /// The bytes that the filter at `index` holds.
    pub(crate) fn buffer(&mut self, buffer: BufferType, index: usize) -> Option<&mut Buffer> {
        let (way, is_http) = match buffer {
            BufferType::RequestBody => (Way::Request, true),
            BufferType::ResponseBody => (Way::Response, true),
            BufferType::Downstream => (Way::Request, false),
            BufferType::Upstream => (Way::Response, false),
            _ => return None,
        };
        if is_http != self.is_http {
            return None;
        }
        self.stage(way, index).filter(|stage| stage.has_body).map(|stage| &mut stage.buffer)
    }

    /// Keeps what a filter has set; says whether there is room.
    pub(crate) fn set_property(&mut self, path: Bytes, value: Bytes) -> bool {
        let size = |(path, value): (&Bytes, &Bytes)| path.len() + value.len();
        let used: usize = self.properties.iter().filter(|it| *it.0 != path).map(size).sum();
        let fits = used + path.len() + value.len() <= MOST_PROPERTIES;
        if fits {
            self.properties.insert(path, value);
        }
        fits
    }

    /// The value that a stream's surroundings or its own state have under a path.
    pub(crate) fn attribute(&self, path: &[&str]) -> Option<Value> {
        self.attributes.get(path)
    }
}

/// A stream where its filters and its driver find it.
#[derive(Clone)]
pub(crate) struct Handle {
    stream: Arc<Mutex<Stream>>,
    signal: Arc<Signal>,
}

/// A stream that nobody else is at.
pub(crate) type Locked = ArcMutexGuard<RawMutex, Stream>;

/// How those who drive a stream hear of it.
#[derive(Default)]
struct Signal {
    /// Of whoever drives each way, which may be two.
    wakers: [AtomicWaker; 2],
    /// Somebody asked for something since the driver last looked.
    is_asked: AtomicBool,
}

impl Handle {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), signal: Arc::default() }
    }

    /// Waits until nobody else is at it: at most for one callback.
    ///
    /// Who has a stream never waits for a virtual machine, because who is in one may wait for a
    /// stream.
    pub(crate) fn lock(&self) -> Locked {
        self.stream.lock_arc()
    }

    /// Somebody else changed something: whoever drives the stream looks.
    pub(crate) fn wake(&self) {
        self.signal.is_asked.store(true, SeqCst);
        self.signal.wakers.iter().for_each(AtomicWaker::wake);
    }

    /// Whether there is something to look for; asked once.
    pub(crate) fn was_asked(&self) -> bool {
        self.signal.is_asked.load(SeqCst) && self.signal.is_asked.swap(false, SeqCst)
    }

    pub(crate) fn register(&self, way: Way, cx: &Context<'_>) {
        let [request, response] = &self.signal.wakers;
        let waker = if way == Way::Request { request } else { response };
        waker.register(cx.waker());
    }
}
