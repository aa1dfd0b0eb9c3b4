//! Configuration as ABI 0.1.0 asks for it.

use super::{Call, Outcome};
use crate::state::Event;

/// `proxy_get_configuration` of ABI 0.1.0: of the virtual machine while it starts, else of the
/// plugin.
pub(crate) fn get(call: &mut Call<'_>, data: u32, size: u32) -> Outcome {
    let state = call.state();
    let configuration = match state.event {
        Event::VmStart => state.current().vm_configuration.clone(),
        _ => state.current().configuration.clone(),
    };
    call.give(&configuration, data, size)
}
