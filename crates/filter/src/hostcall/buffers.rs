//! Bodies, data of connections, messages, configuration.

use super::{Call, Outcome};
use crate::abi::{BufferType, Status};
use crate::state::{Event, State};
use bytes::Bytes;

/// Where the bytes of a buffer are.
enum Source {
    /// With the stream.
    Stream,
    /// Here.
    Bytes(Bytes),
}

/// Finds a buffer.
///
/// # Errors
/// `NotFound` when it is not to be had in this callback.
fn find(state: &mut State, buffer: BufferType) -> Result<(Source, usize), Status> {
    let bytes = match (buffer, &state.event) {
        (BufferType::CallBody, Event::Http(response)) => &response.body,
        (BufferType::GrpcMessage, Event::GrpcMessage(message)) => message,
        (BufferType::ForeignArguments, Event::Foreign(arguments)) => arguments,
        (BufferType::VmConfiguration, Event::VmStart) => &state.current().vm_configuration,
        (BufferType::PluginConfiguration, Event::Configure) => &state.current().configuration,
        _ => {
            let (stream, index) = state.stream().ok_or(Status::NotFound)?;
            let found = stream.buffer(buffer, index).ok_or(Status::NotFound)?;
            return Ok((Source::Stream, found.len()));
        }
    };
    Ok((Source::Bytes(bytes.clone()), bytes.len()))
}

fn kind(buffer: u32) -> Result<BufferType, Status> {
    BufferType::of(buffer).ok_or(Status::BadArgument)
}

/// `proxy_get_buffer_bytes`: what there is of it from `start` on; nothing behind the end.
/// `BadArgument` for a range that no buffer has.
pub(crate) fn get(
    call: &mut Call<'_>,
    buffer_id: u32,
    start: u32,
    most: u32,
    data: u32,
    size: u32,
) -> Outcome {
    let kind = kind(buffer_id)?;
    start
        .checked_add(most)
        .or_else(|| (most == u32::MAX).then_some(0))
        .ok_or(Status::BadArgument)?;
    call.check_block(data, size)?;
    let (source, length) = find(call.state(), kind)?;
    let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let start = index(start).min(length);
    let length = index(most).min(length - start);
    call.give_with(length, data, size, |block, state| {
        match source {
            Source::Bytes(bytes) => block.copy_from_slice(bytes.get(start..start + length)?),
            Source::Stream => {
                let (stream, index) = state.stream()?;
                stream.buffer(kind, index)?.copy(start, block);
            }
        }
        Some(())
    })
}

/// `proxy_set_buffer_bytes`: puts bytes in front, in the middle, in place of others, or at the end.
/// What is not the stream's cannot be changed.
pub(crate) fn set(
    call: &mut Call<'_>,
    buffer_id: u32,
    start: u32,
    size: u32,
    data: u32,
    data_size: u32,
) -> Outcome {
    let kind = kind(buffer_id)?;
    let value = call.copy(data, data_size)?;
    let state = call.state();
    let most = state.current().limits.buffer;
    let (stream, index) = state.stream().ok_or(Status::NotFound)?;
    let buffer = stream.buffer(kind, index).ok_or(Status::NotFound)?;
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    // A filter may grow a body, but not beyond what it may hold.
    let is_grown = value.len() > number(size);
    if is_grown && buffer.len().saturating_add(value.len()) > most.max(buffer.len()) {
        return Err(Status::InternalFailure.into());
    }
    buffer.splice(number(start), number(size), value);
    Ok(())
}

/// `proxy_get_buffer_status`: how long it is.
pub(crate) fn status(call: &mut Call<'_>, buffer_id: u32, size: u32, unused: u32) -> Outcome {
    let kind = kind(buffer_id)?;
    call.check_block(size, unused)?;
    let (_, length) = find(call.state(), kind)?;
    let length = u32::try_from(length).map_err(|_long| Status::InternalFailure)?;
    call.put_u32(size, length)?;
    Ok(call.put_u32(unused, 0)?)
}
