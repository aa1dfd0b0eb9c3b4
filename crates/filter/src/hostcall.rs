//! Host calls: what a guest may call, one file for each chapter of the ABI.
//!
//! Each is a function from its arguments to an [`Outcome`]; `link.rs` has the table of all.

pub(crate) mod buffers;
pub(crate) mod calls;
pub(crate) mod configuration;
pub(crate) mod contexts;
pub(crate) mod fields;
pub(crate) mod foreign;
pub(crate) mod grpc;
pub(crate) mod logging;
pub(crate) mod metrics;
pub(crate) mod properties;
pub(crate) mod shared;
pub(crate) mod streams;
pub(crate) mod time;
pub(crate) mod wasi;

use crate::abi::Status;
use crate::state::{Phase, State};
use bytes::Bytes;
use std::ops::Range;
use wasmtime::{AsContext as _, AsContextMut as _, Caller, Extern, Memory, TypedFunc};

/// Why a host call does not do what it was asked.
pub(crate) enum Fail {
    /// The guest is told.
    Status(Status),
    /// The guest's allocator trapped, and so does the callback.
    Trap(wasmtime::Error),
}

impl From<Status> for Fail {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

pub(crate) type Outcome<T = ()> = Result<T, Fail>;

/// One host call: the guest's memory, and what the virtual machine keeps.
pub(crate) struct Call<'a>(Caller<'a, State>);

/// Bytes of a number or a pointer.
const WORD: u32 = 4;

impl<'a> Call<'a> {
    pub(crate) fn new(caller: Caller<'a, State>) -> Self {
        Self(caller)
    }

    pub(crate) fn state(&mut self) -> &mut State {
        self.0.data_mut()
    }

    fn memory(&mut self) -> Result<Memory, Status> {
        if let Some(memory) = self.0.data().memory {
            return Ok(memory);
        }
        // A start function runs before the instance is there to be asked for its exports.
        match self.0.get_export("memory") {
            Some(Extern::Memory(memory)) => Ok(memory),
            _ => Err(Status::InvalidMemoryAccess),
        }
    }

    /// The guest's memory beside the state.
    pub(crate) fn parts(&mut self) -> Result<(&mut [u8], &mut State), Status> {
        let memory = self.memory()?;
        Ok(memory.data_and_store_mut(self.0.as_context_mut()))
    }

    /// Bytes of the guest's, beside the state.
    pub(crate) fn bytes(&mut self, data: u32, size: u32) -> Result<(&[u8], &mut State), Status> {
        let (memory, state) = self.parts()?;
        Ok((slice(memory, data, size)?, state))
    }

    /// Bytes of the guest's, for later.
    pub(crate) fn copy(&mut self, data: u32, size: u32) -> Result<Bytes, Status> {
        self.bytes(data, size).map(|(bytes, _)| Bytes::copy_from_slice(bytes))
    }

    /// Text of the guest's, for later.
    pub(crate) fn text(&mut self, data: u32, size: u32) -> Result<String, Status> {
        self.bytes(data, size).map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Whether something may be written there.
    pub(crate) fn check(&mut self, data: u32, size: u32) -> Result<(), Status> {
        self.bytes(data, size).map(drop)
    }

    /// Whether the place and the size of a block may be written there. Calls that give something
    /// look first, whatever they find.
    pub(crate) fn check_block(&mut self, data: u32, size: u32) -> Result<(), Status> {
        let (memory, _) = self.parts()?;
        slice(memory, data, WORD)?;
        slice(memory, size, WORD).map(drop)
    }

    /// Writes bytes to a place of the guest's.
    pub(crate) fn put(&mut self, data: u32, bytes: &[u8]) -> Result<(), Status> {
        let (memory, _) = self.parts()?;
        let size = u32::try_from(bytes.len()).map_err(|_long| Status::InvalidMemoryAccess)?;
        slice_mut(memory, data, size)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a number to a place of the guest's.
    pub(crate) fn put_u32(&mut self, data: u32, value: u32) -> Result<(), Status> {
        self.put(data, &value.to_le_bytes())
    }

    /// Writes a number to a place of the guest's.
    pub(crate) fn put_u64(&mut self, data: u32, value: u64) -> Result<(), Status> {
        self.put(data, &value.to_le_bytes())
    }

    /// Gives the guest bytes in a block of its own, whose place and size it is told.
    pub(crate) fn give(&mut self, bytes: &[u8], data: u32, size: u32) -> Outcome {
        self.give_with(bytes.len(), data, size, |block, _| {
            block.copy_from_slice(bytes);
            Some(())
        })
    }

    /// Gives the guest a block of `length` bytes that `fill` writes.
    pub(crate) fn give_with(
        &mut self,
        length: usize,
        data: u32,
        size: u32,
        fill: impl FnOnce(&mut [u8], &mut State) -> Option<()>,
    ) -> Outcome {
        self.check_block(data, size)?;
        let length = u32::try_from(length).map_err(|_long| Status::InvalidMemoryAccess)?;
        let block = self.allocate(length)?;
        let (memory, state) = self.parts()?;
        fill(slice_mut(memory, block, length)?, state).ok_or(Status::InternalFailure)?;
        slice_mut(memory, data, WORD)?.copy_from_slice(&block.to_le_bytes());
        slice_mut(memory, size, WORD)?.copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// Has the guest make room. The block is the guest's.
    fn allocate(&mut self, length: u32) -> Outcome<u32> {
        if length == 0 {
            return Ok(0);
        }
        // Taken out, as a copy would cost more than the call; nobody looks for it meanwhile.
        let allocator = self.allocator().ok_or(Status::InvalidMemoryAccess)?;
        let before = std::mem::replace(&mut self.state().phase, Phase::Allocating);
        let block = allocator.call(self.0.as_context_mut(), length);
        let state = self.state();
        (state.phase, state.allocator) = (before, Some(allocator));
        match block.map_err(Fail::Trap)? {
            0 => Err(Status::InvalidMemoryAccess.into()),
            block => Ok(block),
        }
    }

    fn allocator(&mut self) -> Option<TypedFunc<u32, u32>> {
        if let Some(allocator) = self.state().allocator.take() {
            return Some(allocator);
        }
        let names = ["proxy_on_memory_allocate", "malloc"];
        let function = names.iter().find_map(|name| self.0.get_export(name)?.into_func())?;
        function.typed(self.0.as_context()).ok()
    }
}

/// Where a part of the guest's memory lies.
fn range(data: u32, size: u32) -> Result<Range<usize>, Status> {
    let outside = |_wide| Status::InvalidMemoryAccess;
    let start = usize::try_from(data).map_err(outside)?;
    let size = usize::try_from(size).map_err(outside)?;
    Ok(start..start.checked_add(size).ok_or(Status::InvalidMemoryAccess)?)
}

/// A part of the guest's memory.
fn slice(memory: &[u8], data: u32, size: u32) -> Result<&[u8], Status> {
    memory.get(range(data, size)?).ok_or(Status::InvalidMemoryAccess)
}

fn slice_mut(memory: &mut [u8], data: u32, size: u32) -> Result<&mut [u8], Status> {
    memory.get_mut(range(data, size)?).ok_or(Status::InvalidMemoryAccess)
}
