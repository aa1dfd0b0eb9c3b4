//! The life of contexts.

use super::{Call, Outcome};
use crate::abi::Status;

/// `proxy_done`: `NotFound` when the context did not say that it has more to do.
pub(crate) fn done(call: &mut Call<'_>) -> Outcome {
    let state = call.state();
    let effective = state.effective;
    match state.contexts.get_mut(&effective) {
        Some(context) if context.pending => {
            context.pending = false;
            state.done.push(effective);
            Ok(())
        }
        _ => Err(Status::NotFound.into()),
    }
}

/// `proxy_set_effective_context`: `BadArgument` for one that this virtual machine does not have.
/// It lasts to the end of the callback.
pub(crate) fn set_effective(call: &mut Call<'_>, context: u32) -> Outcome {
    let state = call.state();
    if context == state.effective {
        return Ok(());
    }
    if !state.contexts.contains_key(&context) {
        return Err(Status::BadArgument.into());
    }
    state.go_to(context);
    Ok(())
}
