//! Contents of messages as streams of WASI 0.3.

use super::Messaging;
use base::{Error, Result};
use bytes::Bytes;
use engine::{Charge, Has, Held};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use wasmtime::component::{
    Accessor, Destination, Source, StreamConsumer, StreamProducer, StreamReader, StreamResult,
    VecBuffer,
};
use wasmtime::{AsContextMut, StoreContextMut};

/// So much of a content is put into a buffer at once, where that is none of the guest's.
const PART: usize = 64 << 10;

/// Reads a stream to its end, and says what its bytes take of what the host may keep.
///
/// # Errors
/// [`Kind::TooLarge`](base::Kind) above `most` bytes, [`Kind::Exhausted`](base::Kind) where the
/// instance has no room for them. The rest is not read then.
pub(super) async fn whole<T: Send>(
    calling: &Accessor<T, Has<Messaging>>,
    stream: StreamReader<u8>,
    most: usize,
) -> wasmtime::Result<Result<Body>> {
    let (done, whole) = oneshot::channel();
    calling.with(|mut instance| {
        let reader = Reader::new(most, &instance.get().state.held, done);
        stream.pipe(&mut instance, reader)
    })?;
    // Whoever reads says so in any case, if only when it is dropped.
    Ok(whole.await.unwrap_or_else(|_gone| Err(Error::internal("a stream has no end"))))
}

/// The bytes of a stream, and what they take of the component's memory.
type Body = (Vec<u8>, Charge);

/// What reads a stream.
struct Reader {
    most: usize,
    read: Option<Body>,
    done: Option<oneshot::Sender<Result<Body>>>,
}

impl Reader {
    fn new(most: usize, held: &Held, done: oneshot::Sender<Result<Body>>) -> Self {
        let read = held.take(0).ok().map(|charge| (Vec::new(), charge));
        Self { most, read, done: Some(done) }
    }

    fn add(&mut self, part: &[u8]) -> Result<()> {
        let gone = || Error::internal("a stream was read to its end before");
        let (bytes, charge) = self.read.as_mut().ok_or_else(gone)?;
        if part.len() > self.most.saturating_sub(bytes.len()) {
            let most = self.most;
            return Err(Error::too_large(format!("a message has at most {most} bytes")));
        }
        charge.grow(part.len())?;
        bytes.extend_from_slice(part);
        Ok(())
    }

    fn finish(&mut self, outcome: Result<Body>) {
        if let Some(done) = self.done.take() {
            // Whoever waited may have gone.
            drop(done.send(outcome));
        }
    }
}

impl<D> StreamConsumer<D> for Reader {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let part = source.remaining();
        let (length, added) = (part.len(), self.add(part));
        source.mark_read(length);
        Poll::Ready(Ok(match added {
            Ok(()) => StreamResult::Completed,
            Err(error) => {
                self.finish(Err(error));
                StreamResult::Dropped
            }
        }))
    }
}

impl Drop for Reader {
    /// The guest wrote all of it.
    fn drop(&mut self) {
        if let Some(read) = self.read.take() {
            self.finish(Ok(read));
        }
    }
}

/// A content on its way to the guest, which reads it at its own pace.
pub(crate) struct Content {
    rest: Bytes,
    /// What it takes of what the host may keep for the instance.
    _charge: Charge,
}

impl Content {
    /// A stream of these bytes.
    ///
    /// # Errors
    /// Where the instance has no room for them, or for another stream.
    pub(crate) fn stream(
        store: impl AsContextMut,
        bytes: Bytes,
        held: &Held,
    ) -> wasmtime::Result<Result<StreamReader<u8>>> {
        match held.take(bytes.len()) {
            Ok(charge) => Ok(Ok(StreamReader::new(store, Self { rest: bytes, _charge: charge })?)),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl<D> StreamProducer<D> for Content {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, VecBuffer<u8>>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // Who reads nothing asks whether there is something.
        let asks = destination.remaining(store.as_context_mut()) == Some(0);
        if !asks {
            let mut destination = destination.as_direct(store, self.rest.len().min(PART));
            let room = destination.remaining();
            let length = room.len().min(self.rest.len());
            let part = self.rest.split_to(length);
            room.iter_mut().zip(&part).for_each(|(to, from)| *to = *from);
            destination.mark_written(length);
        }
        Poll::Ready(Ok(match self.rest.is_empty() {
            true => StreamResult::Dropped,
            false => StreamResult::Completed,
        }))
    }
}
