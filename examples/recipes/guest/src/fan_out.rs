//! Fan-out: every group gets every message.
use crate::bindings::wasi::messaging::types::{Error, Message};
use crate::{kept, lost, text};

/// Takes note of an order, under the name that the deployment file gives this component.
pub fn note(message: &Message) -> Result<(), Error> {
    let who = std::env::var("ROLE").unwrap_or_default();
    kept()?.set(&format!("{who}/{}", text(message)), b"noted").map_err(lost)
}
