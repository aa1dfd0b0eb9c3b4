//! Values as resources, and their bodies as streams: how the oldest draft carries them.

use base::units::Size;
use base::{Error, Result};
use bytes::Bytes;
use engine::{Charge, Held};
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

/// The most bytes that a stream takes in one write.
const PERMIT: usize = 64 << 10;

/// An error in words: the resource `error`.
pub struct Trace(pub(super) String);

/// A value on its way to the guest: the resource `incoming-value`.
pub struct IncomingValue {
    body: Bytes,
    charge: Option<Charge>,
}

impl IncomingValue {
    pub(super) fn new(body: Bytes, held: &Held) -> Result<Self> {
        let charge = held.take(body.len())?;
        Ok(Self { body, charge: Some(charge) })
    }

    /// One that the host itself makes, for a guest that it calls.
    pub(crate) fn lent(body: Bytes) -> Self {
        Self { body, charge: None }
    }

    pub(super) fn size(&self) -> usize {
        self.body.len()
    }

    pub(super) fn whole(self) -> Vec<u8> {
        Vec::from(self.body)
    }

    pub(super) fn stream(self) -> impl InputStream {
        Reader { body: self.body, _charge: self.charge }
    }
}

/// A body that is read piece by piece. All of it is there from the beginning.
struct Reader {
    body: Bytes,
    _charge: Option<Charge>,
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.body.is_empty() {
            return Err(StreamError::Closed);
        }
        Ok(self.body.split_to(size.min(self.body.len())))
    }
}

/// A value on its way into a store: the resource `outgoing-value`.
pub struct OutgoingValue(Arc<Mutex<Outgoing>>);

struct Outgoing {
    body: Body,
    /// What the body is for, if it has a place already.
    filling: Option<Filling>,
}

enum Body {
    /// Nobody has given one.
    None,
    /// What was written to the stream so far, and how much may come.
    Partial { bytes: Vec<u8>, most: usize, charge: Charge },
    /// All of it; nothing can be added.
    Whole { bytes: Bytes, charge: Arc<Charge> },
    /// The stream took more than it may.
    TooLarge { most: usize },
}

/// What becomes of a body once it is whole: it fills a vacancy of a cache. Dropped before, the
/// vacancy is given up.
pub(super) struct Filling {
    /// The most bytes that fit.
    most: usize,
    fill: Box<dyn FnOnce(Bytes) -> Filled + Send>,
}

/// A vacancy that is being filled.
pub(super) type Filled = BoxFuture<'static, Result<()>>;

impl Filling {
    pub(super) fn new<F: Future<Output = Result<()>> + Send + 'static>(
        most: usize,
        fill: impl FnOnce(Bytes) -> F + Send + 'static,
    ) -> Self {
        Self { most, fill: Box::new(move |body| Box::pin(fill(body))) }
    }
}

impl OutgoingValue {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Outgoing { body: Body::None, filling: None })))
    }

    /// One that fills a vacancy with its body.
    pub(super) fn filling(filling: Filling) -> Self {
        Self(Arc::new(Mutex::new(Outgoing { body: Body::None, filling: Some(filling) })))
    }

    /// Gives the whole body. Where it fills a vacancy, that is what remains to be done.
    pub(super) fn write(&self, bytes: Vec<u8>, held: &Held) -> Result<Option<Filled>> {
        let mut outgoing = self.unwritten()?;
        let charge = Arc::new(held.take(bytes.len())?);
        let bytes = Bytes::from(bytes);
        outgoing.body = Body::Whole { bytes: bytes.clone(), charge };
        Ok(outgoing.filling.take().map(|filling| (filling.fill)(bytes)))
    }

    /// Begins a body that may have up to `most` bytes, or as many as fit where it has a place.
    pub(super) fn stream(&self, most: usize, held: &Held) -> Result<impl OutputStream + use<>> {
        let mut outgoing = self.unwritten()?;
        let most = outgoing.filling.as_ref().map_or(most, |filling| filling.most);
        outgoing.body = Body::Partial { bytes: Vec::new(), most, charge: held.take(0)? };
        drop(outgoing);
        Ok(Writer(Arc::clone(&self.0)))
    }

    /// The body, which ends with this: what is written to a stream later comes too late.
    pub(super) fn body(&self) -> Result<Bytes> {
        Ok(self.kept()?.0)
    }

    /// The body, and what it costs for as long as it is kept.
    pub(super) fn kept(&self) -> Result<(Bytes, Arc<Charge>)> {
        lock(&self.0).finish()
    }

    fn unwritten(&self) -> Result<MutexGuard<'_, Outgoing>> {
        let outgoing = lock(&self.0);
        match outgoing.body {
            Body::None => Ok(outgoing),
            _ => Err(Error::invalid("the outgoing value has a body already")),
        }
    }
}

impl Outgoing {
    fn finish(&mut self) -> Result<(Bytes, Arc<Charge>)> {
        let (bytes, charge) = match std::mem::replace(&mut self.body, Body::None) {
            Body::None => {
                return Err(Error::invalid("the outgoing value has no body")
                    .with_hint("give it one before it is stored"));
            }
            Body::TooLarge { most } => {
                self.body = Body::TooLarge { most };
                return Err(too_large(most));
            }
            Body::Partial { bytes, charge, .. } => (Bytes::from(bytes), Arc::new(charge)),
            Body::Whole { bytes, charge } => (bytes, charge),
        };
        self.body = Body::Whole { bytes: bytes.clone(), charge: Arc::clone(&charge) };
        Ok((bytes, charge))
    }
}

/// A body that is written piece by piece.
struct Writer(Arc<Mutex<Outgoing>>);

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, added: Bytes) -> StreamResult<()> {
        let mut outgoing = lock(&self.0);
        let Body::Partial { bytes, most, charge } = &mut outgoing.body else {
            return Err(StreamError::Closed);
        };
        if added.len() > most.saturating_sub(bytes.len()) {
            let most = *most;
            outgoing.body = Body::TooLarge { most };
            // Nothing comes of it any more.
            let given_up = outgoing.filling.take();
            drop(outgoing);
            drop(given_up);
            return Err(failed(too_large(most)));
        }
        charge.grow(added.len()).map_err(failed)?;
        bytes.extend_from_slice(&added);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match lock(&self.0).body {
            // Also where no more fits, so that the write that is too much can say so.
            Body::Partial { .. } => Ok(PERMIT),
            _ => Err(StreamError::Closed),
        }
    }

    /// The guest has dropped the stream, so the body is whole. An instance that ends with its
    /// stream open never comes here: what it wrote is a part, and fills nothing.
    async fn cancel(&mut self) {
        let filled = {
            let mut outgoing = lock(&self.0);
            match (outgoing.filling.take(), outgoing.finish()) {
                (Some(filling), Ok((bytes, _))) => Some((filling.fill)(bytes)),
                _ => None,
            }
        };
        if let Some(filled) = filled
            && let Err(error) = filled.await
        {
            // A stream that is closed has nobody to tell.
            tracing::debug!(%error, "a vacancy was not filled");
        }
    }
}

fn lock(outgoing: &Mutex<Outgoing>) -> MutexGuard<'_, Outgoing> {
    outgoing.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_large(most: usize) -> Error {
    Error::too_large(format!("a value takes at most {}", Size(most as u64)))
}

fn failed(error: Error) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::new(error))
}
