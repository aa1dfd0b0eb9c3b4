//! Lines for the log.

use super::{Call, Outcome};
use crate::abi::{LogLevel, Status};
use crate::state::State;
use std::sync::Arc;

/// A line is cut off behind so many bytes.
const LONGEST: usize = 16 << 10;

/// `proxy_log`: `BadArgument` for an unknown level.
pub(crate) fn log(call: &mut Call<'_>, level: u32, data: u32, size: u32) -> Outcome {
    let level = LogLevel::of(level).ok_or(Status::BadArgument)?;
    let (message, state) = call.bytes(data, size)?;
    write(state, level, message);
    Ok(())
}

/// `proxy_get_log_level`.
pub(crate) fn get_level(call: &mut Call<'_>, to: u32) -> Outcome {
    let level = call.state().outside.log_level();
    Ok(call.put_u32(to, level as u32)?)
}

/// Passes a line on, unless nobody wants it.
pub(crate) fn write(state: &mut State, level: LogLevel, message: &[u8]) {
    if level < state.outside.log_level() {
        return;
    }
    let plugin = Arc::clone(state.current());
    let message = message.get(..LONGEST).unwrap_or(message);
    state.outside.log(&plugin, level, message);
}
