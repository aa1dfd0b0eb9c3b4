//! Calls and streams of gRPC.

use super::calls::{GRPC_CALL, GRPC_STREAM, begin, metadata, timeout};
use super::{Call, Outcome};
use crate::abi::Status;
use crate::outside::GrpcCall;
use crate::state::Pending;
use std::sync::Arc;

/// `proxy_grpc_call`: `ParseFailure` for an unknown upstream.
#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(crate) fn unary(
    call: &mut Call<'_>,
    upstream: u32,
    upstream_size: u32,
    service: u32,
    service_size: u32,
    method: u32,
    method_size: u32,
    initial: u32,
    initial_size: u32,
    message: u32,
    message_size: u32,
    millis: u32,
    to: u32,
) -> Outcome {
    call.check(to, 4)?;
    let message = Some(call.copy(message, message_size)?);
    let timeout = timeout(millis)?;
    let request = GrpcCall {
        upstream: call.text(upstream, upstream_size)?,
        service: call.text(service, service_size)?,
        method: call.text(method, method_size)?,
        metadata: metadata(call, initial, initial_size)?,
        message,
        timeout,
    };
    open(call, request, GRPC_CALL, to)
}

/// `proxy_grpc_stream`: `ParseFailure` for an unknown upstream.
#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(crate) fn stream(
    call: &mut Call<'_>,
    upstream: u32,
    upstream_size: u32,
    service: u32,
    service_size: u32,
    method: u32,
    method_size: u32,
    initial: u32,
    initial_size: u32,
    to: u32,
) -> Outcome {
    call.check(to, 4)?;
    let request = GrpcCall {
        upstream: call.text(upstream, upstream_size)?,
        service: call.text(service, service_size)?,
        method: call.text(method, method_size)?,
        metadata: metadata(call, initial, initial_size)?,
        message: None,
        timeout: None,
    };
    open(call, request, GRPC_STREAM, to)
}

fn open(call: &mut Call<'_>, request: GrpcCall, kind: u32, to: u32) -> Outcome {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#'))
    };
    if !is_name(&request.service) || !is_name(&request.method) {
        return Err(Status::BadArgument.into());
    }
    let state = call.state();
    let id = begin(state, kind)?;
    let (plugin, root) = (Arc::clone(state.current()), state.root());
    state.outside.grpc_call(&plugin, id, request)?;
    state.calls.insert(id, Pending { root, is_open: kind == GRPC_STREAM });
    Ok(call.put_u32(to, id)?)
}

/// `proxy_grpc_send`: `BadArgument` for what is no stream or was closed, `NotFound` for one that is
/// not known.
pub(crate) fn send(call: &mut Call<'_>, id: u32, message: u32, size: u32, end: u32) -> Outcome {
    let message = call.copy(message, size)?;
    let state = call.state();
    let stream = find(state, id)?;
    if id & 3 != GRPC_STREAM || !stream.is_open {
        return Err(Status::BadArgument.into());
    }
    stream.is_open = end == 0;
    Ok(state.outside.grpc_send(id, message, end != 0)?)
}

/// `proxy_grpc_cancel`: nothing is heard of it any more.
pub(crate) fn cancel(call: &mut Call<'_>, id: u32) -> Outcome {
    let state = call.state();
    find(state, id)?;
    state.calls.remove(&id);
    state.outside.cancel(id);
    Ok(())
}

/// `proxy_grpc_close`: nothing more is sent; what comes is told.
pub(crate) fn close(call: &mut Call<'_>, id: u32) -> Outcome {
    let state = call.state();
    let stream = find(state, id)?;
    if std::mem::take(&mut stream.is_open) {
        state.outside.grpc_close(id);
    }
    Ok(())
}

fn find(state: &mut crate::state::State, id: u32) -> Result<&mut Pending, Status> {
    if !matches!(id & 3, GRPC_CALL | GRPC_STREAM) {
        return Err(Status::BadArgument);
    }
    state.calls.get_mut(&id).ok_or(Status::NotFound)
}
