//! Told of changes by the older `handle-watch@0.2.0-draft`: writes what it saw under `seen/KEY`.
//!
//! The interface lends the new value and has it consumed only by its owner: what can be asked of
//! a lent one is its size, so that is what `seen/KEY` holds.
wit_bindgen::generate!({
    path: "../../wit/keyvalue-old",
    world: "wasi:keyvalue/keyvalue-handle-watch",
    generate_all,
});

use exports::wasi::keyvalue::handle_watch::{Bucket, Guest, IncomingValue};
use wasi::keyvalue::eventual;
use wasi::keyvalue::types::OutgoingValue;

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: Bucket, key: String, value: &IncomingValue) {
        let size = value.incoming_value_size().map_err(|error| error.trace()).unwrap();
        note(&bucket, &key, &size.to_string());
    }
    fn on_delete(bucket: Bucket, key: String) {
        note(&bucket, &key, "(deleted)");
    }
}

/// Its own notes are no news, in case the host watches every key.
fn note(bucket: &Bucket, key: &str, seen: &str) {
    if key.starts_with("seen/") {
        return;
    }
    let value = OutgoingValue::new_outgoing_value();
    let written = value.outgoing_value_write_body_sync(seen.as_bytes());
    written.map_err(|error| error.trace()).unwrap();
    let set = eventual::set(bucket, &format!("seen/{key}"), &value);
    set.map_err(|error| error.trace()).unwrap();
}

export!(Watcher);
