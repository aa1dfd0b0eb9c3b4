//! Requests of a filter's own.

use super::{Call, Outcome};
use crate::abi::Status;
use crate::headers::Headers;
use crate::outside::HttpCall;
use crate::pairs;
use crate::state::{Pending, State};
use http_types::Method;
use http_types::header::{HeaderMap, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// What a number of something begun says in its lowest two bits.
pub(crate) const HTTP: u32 = 0;
pub(crate) const GRPC_CALL: u32 = 1;
pub(crate) const GRPC_STREAM: u32 = 2;

/// A number for something that begins.
///
/// # Errors
/// `InternalFailure` when too much is under way, or no number is left.
pub(crate) fn begin(state: &mut State, kind: u32) -> Result<u32, Status> {
    if state.calls.len() >= state.plugin.limits.calls {
        return Err(Status::InternalFailure);
    }
    let number = state.next_call.checked_add(1).filter(|number| *number < 1 << 30);
    state.next_call = number.ok_or(Status::InternalFailure)?;
    Ok(state.next_call << 2 | kind)
}

/// How long something may take, as the ABI says it.
///
/// # Errors
/// `BadArgument` for a negative time.
pub(crate) fn timeout(millis: u32) -> Result<Option<Duration>, Status> {
    match millis {
        0 => Ok(None),
        1..=0x7fff_ffff => Ok(Some(Duration::from_millis(u64::from(millis)))),
        _ => Err(Status::BadArgument),
    }
}

/// `proxy_http_call`: `BadArgument` for an unknown upstream and for headers without a method, a
/// path or an authority.
#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(crate) fn http(
    call: &mut Call<'_>,
    upstream: u32,
    upstream_size: u32,
    headers: u32,
    headers_size: u32,
    body: u32,
    body_size: u32,
    trailers: u32,
    trailers_size: u32,
    millis: u32,
    to: u32,
) -> Outcome {
    // Before anything begins: whoever does not learn the number cannot tell the answer.
    call.check(to, 4)?;
    let upstream = call.text(upstream, upstream_size)?;
    let body = call.copy(body, body_size)?;
    call.bytes(trailers, trailers_size)?;
    let (headers, _) = call.bytes(headers, headers_size)?;
    let headers = request(&pairs::read(headers).ok_or(Status::BadArgument)?)?;
    let trailers = metadata(call, trailers, trailers_size)?;
    let timeout = timeout(millis)?;
    let state = call.state();
    let id = begin(state, HTTP)?;
    let (plugin, root) = (Arc::clone(state.current()), state.root());
    let request = HttpCall { upstream, headers, body, trailers, timeout };
    state.outside.http_call(&plugin, id, request)?;
    state.calls.insert(id, Pending { root, is_open: false });
    Ok(call.put_u32(to, id)?)
}

/// The head of a request of the filter's own.
fn request(pairs: &[(&[u8], &[u8])]) -> Result<Headers, Status> {
    let find = |name: &[u8]| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    for name in [&b":method"[..], b":path", b":authority"] {
        find(name).filter(|value| !value.is_empty()).ok_or(Status::BadArgument)?;
    }
    let empty = HeaderValue::from_static;
    let mut headers =
        Headers::request(&Method::GET, empty("http"), empty(""), empty("/"), HeaderMap::new());
    for (name, value) in pairs {
        headers.add(name, value)?;
    }
    Ok(headers)
}

/// Trailers or metadata from a guest's memory.
pub(crate) fn metadata(call: &mut Call<'_>, data: u32, size: u32) -> Result<Headers, Status> {
    let (bytes, _) = call.bytes(data, size)?;
    let mut headers = Headers::default();
    for (name, value) in pairs::read(bytes).ok_or(Status::BadArgument)? {
        headers.add(name, value)?;
    }
    Ok(headers)
}
