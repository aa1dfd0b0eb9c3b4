//! Values as resources, and their bodies as streams: how the oldest draft carries them.

use super::held::{Charge, Held};
use base::units::Size;
use base::{Error, Result};
use bytes::Bytes;
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
pub struct OutgoingValue(Arc<Mutex<Body>>);

enum Body {
    /// Nobody has given one.
    None,
    /// What was written to the stream so far, and how much may come.
    Partial { bytes: Vec<u8>, most: usize, charge: Charge },
    /// All of it; nothing can be added.
    Whole { bytes: Bytes, _charge: Charge },
    /// The stream took more than it may.
    TooLarge { most: usize },
}

impl OutgoingValue {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Body::None)))
    }

    /// Gives the whole body.
    pub(super) fn write(&self, bytes: Vec<u8>, held: &Held) -> Result<()> {
        let mut body = self.unwritten()?;
        let _charge = held.take(bytes.len())?;
        *body = Body::Whole { bytes: Bytes::from(bytes), _charge };
        Ok(())
    }

    /// Begins a body that may have up to `most` bytes.
    pub(super) fn stream(&self, most: usize, held: &Held) -> Result<impl OutputStream + use<>> {
        let mut body = self.unwritten()?;
        *body = Body::Partial { bytes: Vec::new(), most, charge: held.take(0)? };
        drop(body);
        Ok(Writer(Arc::clone(&self.0)))
    }

    /// The body, which ends with this: what is written to a stream later comes too late.
    pub(super) fn body(&self) -> Result<Bytes> {
        let mut body = lock(&self.0);
        match std::mem::replace(&mut *body, Body::None) {
            Body::None => Err(Error::invalid("the outgoing value has no body")
                .with_hint("give it one before it is stored")),
            Body::TooLarge { most } => {
                *body = Body::TooLarge { most };
                Err(too_large(most))
            }
            Body::Partial { bytes, charge, .. } => {
                let bytes = Bytes::from(bytes);
                *body = Body::Whole { bytes: bytes.clone(), _charge: charge };
                Ok(bytes)
            }
            Body::Whole { bytes, _charge } => {
                *body = Body::Whole { bytes: bytes.clone(), _charge };
                Ok(bytes)
            }
        }
    }

    fn unwritten(&self) -> Result<MutexGuard<'_, Body>> {
        let body = lock(&self.0);
        match *body {
            Body::None => Ok(body),
            _ => Err(Error::invalid("the outgoing value has a body already")),
        }
    }
}

/// A body that is written piece by piece.
struct Writer(Arc<Mutex<Body>>);

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, added: Bytes) -> StreamResult<()> {
        let mut body = lock(&self.0);
        let Body::Partial { bytes, most, charge } = &mut *body else {
            return Err(StreamError::Closed);
        };
        if added.len() > most.saturating_sub(bytes.len()) {
            let most = *most;
            *body = Body::TooLarge { most };
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
        match *lock(&self.0) {
            // Also where no more fits, so that the write that is too much can say so.
            Body::Partial { .. } => Ok(PERMIT),
            _ => Err(StreamError::Closed),
        }
    }
}

fn lock(body: &Mutex<Body>) -> MutexGuard<'_, Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_large(most: usize) -> Error {
    Error::too_large(format!("a value takes at most {}", Size(most as u64)))
}

fn failed(error: Error) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::new(error))
}
