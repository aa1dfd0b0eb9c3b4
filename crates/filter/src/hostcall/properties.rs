//! Properties: what is known of a stream and its surroundings, by path.

use super::{Call, Outcome};
use crate::Value;
use crate::abi::Status;
use crate::attributes;
use crate::state::State;
use bytes::Bytes;

/// What a plugin's own properties may take together.
const MOST: usize = 64 << 10;

/// `proxy_get_property`: `NotFound` for a path without a value, `ParseFailure` is never said; an
/// empty path has `SerializationFailure`, as Envoy answers.
pub(crate) fn get(call: &mut Call<'_>, path: u32, path_size: u32, data: u32, size: u32) -> Outcome {
    call.check_block(data, size)?;
    let (path, state) = call.bytes(path, path_size)?;
    if path.is_empty() {
        return Err(Status::SerializationFailure.into());
    }
    let value = find(state, path).ok_or(Status::NotFound)?;
    call.give(&value, data, size)
}

fn find(state: &mut State, path: &[u8]) -> Option<Bytes> {
    if let Some(value) = own(state, path) {
        return Some(value);
    }
    let path = std::str::from_utf8(path).ok()?;
    let path: Vec<&str> = path.trim_end_matches('\0').split('\0').collect();
    known(state, &path).map(|value| value.to_bytes())
}

/// What filters have set under a path.
pub(crate) fn own(state: &State, path: &[u8]) -> Option<Bytes> {
    match state.here.as_deref() {
        Some(stream) => stream.properties.get(path).cloned(),
        None => state.properties.get(&(state.effective, Bytes::copy_from_slice(path))).cloned(),
    }
}

/// What is known of a plugin, its stream and their surroundings.
pub(crate) fn known(state: &mut State, path: &[&str]) -> Option<Value> {
    let own = attributes::of_plugin(state.current(), path);
    let of_stream = || state.here.as_deref().and_then(|it| attributes::of_stream(it, path));
    own.or_else(of_stream).or_else(|| state.outside.property(path))
}

/// `proxy_set_property`: kept with the stream, or with the plugin, under the path as it is.
/// `BadArgument` for what was declared to be set once, and was.
pub(crate) fn set(call: &mut Call<'_>, path: u32, path_size: u32, data: u32, size: u32) -> Outcome {
    let value = call.copy(data, size)?;
    let path = call.copy(path, path_size)?;
    if path.is_empty() {
        return Err(Status::NotFound.into());
    }
    let state = call.state();
    let effective = state.effective;
    if !state.declared.is_empty()
        && let Some(stream) = state.here.as_deref()
        && stream.properties.contains_key(&path)
        && state.declared.get(&(state.root(), path.clone())).is_some_and(|it| it.readonly)
    {
        return Err(Status::BadArgument.into());
    }
    let fits = match state.here.as_deref_mut() {
        Some(stream) => stream.set_property(path, value),
        None => {
            let used = |((_, path), value): (&(u32, Bytes), &Bytes)| path.len() + value.len();
            let used: usize = state.properties.iter().map(used).sum();
            let fits = used + path.len() + value.len() <= MOST;
            if fits {
                state.properties.insert((effective, path), value);
            }
            fits
        }
    };
    if fits { Ok(()) } else { Err(Status::InternalFailure.into()) }
}
