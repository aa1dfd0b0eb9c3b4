//! Foreign functions: what a host offers beyond the ABI, by name.

use super::{Call, Outcome};
use std::sync::Arc;

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
    let arguments = call.copy(arguments, arguments_size)?;
    let state = call.state();
    let plugin = Arc::clone(state.current());
    let result = match name.as_str() {
        // The route is looked up when the filters have let the request through.
        "clear_route_cache" => bytes::Bytes::new(),
        _ => state.outside.foreign(&plugin, &name, &arguments)?,
    };
    if is_wanted { call.give(&result, data, size) } else { Ok(()) }
}
