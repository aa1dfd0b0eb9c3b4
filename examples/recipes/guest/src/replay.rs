//! Replay: what comes later reads what was there before.
use crate::bindings::wasi::messaging::types::{Error, Message};
use crate::{kept, lost, text};

/// Notes a visit under its own name, so that one that comes twice counts once.
pub fn count(message: &Message) -> Result<(), Error> {
    kept()?.set(&format!("visit/{}", text(message)), b"seen").map_err(lost)
}
