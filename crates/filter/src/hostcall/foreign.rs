//! Foreign functions: what a host offers beyond the ABI, by name. Those of Envoy, one file for each
//! kind.

mod cost;
mod expression;
mod signature;
mod state;
mod zlib;

use super::{Call, Outcome};
use crate::abi::Status;
use crate::state::State;
use bytes::Bytes;
use std::sync::Arc;

pub(crate) use expression::Expressions;
pub(crate) use state::Declared;

/// What the functions of this crate may be given, and give, where a filter's `buffer` is less.
const LEAST: usize = 64 << 10;

/// `proxy_call_foreign_function`: `NotFound` for a name without a function. Whoever wants no result
/// passes nothing for where to put it.
pub(crate) fn call(
    call: &mut Call<'_>,
    name: u32,
    name_size: u32,
    arguments: u32,
    arguments_size: u32,
    data: u32,
    size: u32,
) -> Outcome {
    let is_wanted = data != 0 || size != 0;
    if is_wanted {
        call.check_block(data, size)?;
    }
    let name = call.text(name, name_size)?;
    let (arguments, state) = call.bytes(arguments, arguments_size)?;
    let most = state.current().limits.buffer.max(LEAST);
    // What belongs to nobody but Envoy is looked up last.
    let result = match (find(&name), arguments.len() > most) {
        (Some(_), true) => return Err(Status::InternalFailure.into()),
        (Some(function), false) => function(state, arguments, most)?,
        (None, _) => {
            let plugin = Arc::clone(state.current());
            state.outside.foreign(&plugin, &name, arguments)?
        }
    };
    if is_wanted { call.give(&result, data, size) } else { Ok(()) }
}

/// A function on behalf of the current context, which is given bytes and gives so many at most.
type Function = fn(&mut State, &[u8], usize) -> Result<Bytes, Status>;

fn find(name: &str) -> Option<Function> {
    let function: Function = match name {
        // The route is looked up when the filters have let the request through.
        "clear_route_cache" => |_, _, _| Ok(Bytes::new()),
        "compress" => |_, bytes, most| zlib::compress(bytes, most),
        "uncompress" => |_, bytes, most| zlib::uncompress(bytes, most),
        "sign" => |_, arguments, _| signature::sign(arguments),
        "verify_signature" => |_, arguments, _| signature::verify(arguments),
        "declare_property" => |state, arguments, _| state::declare(state, arguments),
        "set_envoy_filter_state" => |state, arguments, _| state::set(state, arguments),
        "expr_create" => |state, text, _| expression::create(state, text),
        "expr_evaluate" => |state, token, most| expression::evaluate(state, token, most),
        "expr_delete" => |state, token, _| expression::delete(state, token),
        _ => return None,
    };
    Some(function)
}
