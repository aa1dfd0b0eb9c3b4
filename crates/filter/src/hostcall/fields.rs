//! Headers, trailers and metadata.

use super::{Call, Outcome};
use crate::abi::{Abi, MapType, Status};
use crate::headers::Headers;
use crate::pairs;
use crate::state::{Event, Here, State};
use crate::words::Words;

/// The fields of a map, or `None` while there are none of its kind.
fn map(state: &mut State, map: MapType) -> Option<&Headers> {
    match (map, &state.event) {
        (MapType::CallHeaders, Event::Http(response)) => Some(&response.headers),
        (MapType::CallTrailers, Event::Http(response)) => Some(&response.trailers),
        (MapType::GrpcInitial, Event::GrpcInitial(headers))
        | (MapType::GrpcTrailing, Event::GrpcTrailing(headers)) => Some(headers),
        _ => state.here.as_deref()?.map(map),
    }
}

/// The fields of a map, for the filter to change.
///
/// # Errors
/// `BadArgument` while there are none of its kind, and for those of a callout.
fn map_mut(here: &mut Option<Here>, map: MapType) -> Result<&mut Headers, Status> {
    let here = here.as_mut().ok_or(Status::BadArgument)?;
    let index = here.index;
    here.map_mut(map, index).ok_or(Status::BadArgument)
}

fn kind(map: u32) -> Result<MapType, Status> {
    MapType::of(map).ok_or(Status::BadArgument)
}

/// `proxy_get_header_map_size`: bytes of the map in the ABI's form. One that is not there is empty.
pub(crate) fn size(call: &mut Call<'_>, map_id: u32, to: u32) -> Outcome {
    let kind = kind(map_id)?;
    let size = map(call.state(), kind).map_or(0, |fields| pairs::size(fields.iter()));
    let size = u32::try_from(size).map_err(|_long| Status::InternalFailure)?;
    Ok(call.put_u32(to, size)?)
}

/// `proxy_get_header_map_pairs`. A map that is not there is empty.
pub(crate) fn pairs(call: &mut Call<'_>, map_id: u32, data: u32, size: u32) -> Outcome {
    let kind = kind(map_id)?;
    let length = map(call.state(), kind).map_or(0, |fields| pairs::size(fields.iter()));
    call.give_with(length, data, size, |block, state| match map(state, kind) {
        Some(fields) => pairs::write(|| fields.iter(), block),
        None => Some(()),
    })
}

/// `proxy_set_header_map_pairs`: `BadArgument` for what is no map, which leaves all as it was.
pub(crate) fn set_pairs(call: &mut Call<'_>, map_id: u32, data: u32, size: u32) -> Outcome {
    let kind = kind(map_id)?;
    let (bytes, state) = call.bytes(data, size)?;
    let pairs = pairs::read(bytes).ok_or(Status::BadArgument)?;
    Ok(map_mut(&mut state.here, kind)?.replace_all(&pairs)?)
}

/// `proxy_get_header_map_value`: of several values all, with commas between them.
pub(crate) fn get(
    call: &mut Call<'_>,
    map_id: u32,
    key: u32,
    key_size: u32,
    data: u32,
    size: u32,
) -> Outcome {
    let kind = kind(map_id)?;
    call.check_block(data, size)?;
    let (name, state) = call.bytes(key, key_size)?;
    let abi = state.abi;
    let mut value = std::mem::take(&mut state.scratch);
    value.clear();
    let is_there = map(state, kind).is_some_and(|fields| write_all(fields, name, &mut value));
    let given = match is_there {
        true => call.give(&value, data, size),
        // Before 0.2.0 what is missing is an empty value.
        false if abi == Abi::V0_1_0 => call.give(&[], data, size),
        false => Err(Status::NotFound.into()),
    };
    if value.capacity() <= MOST_SCRATCH {
        call.state().scratch = value;
    }
    given
}

/// What is kept for the next header.
const MOST_SCRATCH: usize = 4 << 10;

/// Writes every value of a name as one (RFC 9110, section 5.3); cookies are put together in their
/// own way. Says whether there is any.
fn write_all(fields: &Headers, name: &[u8], to: &mut Vec<u8>) -> bool {
    let mut is_there = false;
    for value in fields.get_all(name) {
        if is_there {
            let is_cookie = name.eq_ignore_ascii_case(b"cookie");
            to.extend_from_slice(if is_cookie { b"; " } else { b", " });
        }
        to.extend_from_slice(value.as_bytes());
        is_there = true;
    }
    is_there
}

/// `proxy_add_header_map_value`.
pub(crate) fn add(
    call: &mut Call<'_>,
    map_id: u32,
    key: u32,
    key_size: u32,
    value: u32,
    value_size: u32,
) -> Outcome {
    edit(call, map_id, (key, key_size), (value, value_size), Headers::add_with)
}

/// `proxy_replace_header_map_value`.
pub(crate) fn replace(
    call: &mut Call<'_>,
    map_id: u32,
    key: u32,
    key_size: u32,
    value: u32,
    value_size: u32,
) -> Outcome {
    edit(call, map_id, (key, key_size), (value, value_size), Headers::replace_with)
}

fn edit(
    call: &mut Call<'_>,
    map_id: u32,
    key: (u32, u32),
    value: (u32, u32),
    edit: impl FnOnce(&mut Headers, Option<&mut Words>, &[u8], &[u8]) -> Result<(), Status>,
) -> Outcome {
    let kind = kind(map_id)?;
    let (memory, state) = call.parts()?;
    let name = super::slice(memory, key.0, key.1)?;
    let value = super::slice(memory, value.0, value.1)?;
    let State { here, words, .. } = state;
    Ok(edit(map_mut(here, kind)?, Some(words), name, value)?)
}

/// `proxy_remove_header_map_value`.
pub(crate) fn remove(call: &mut Call<'_>, map_id: u32, key: u32, key_size: u32) -> Outcome {
    let kind = kind(map_id)?;
    let (name, state) = call.bytes(key, key_size)?;
    Ok(map_mut(&mut state.here, kind)?.remove(name)?)
}
