//! Told of changes by `wasi:keyvalue/watcher@0.2.0-draft`: writes what it saw under `seen/KEY`.
wit_bindgen::generate!({ path: "../../wit/keyvalue-draft", world: "wasi:keyvalue/watch-service" });

use exports::wasi::keyvalue::watcher::Guest;
use wasi::keyvalue::store::Bucket;

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: Bucket, key: String, value: Vec<u8>) {
        note(&bucket, &key, &value);
    }
    fn on_delete(bucket: Bucket, key: String) {
        note(&bucket, &key, b"(deleted)");
    }
}

/// Its own notes are no news, in case the host watches every key.
fn note(bucket: &Bucket, key: &str, seen: &[u8]) {
    if !key.starts_with("seen/") {
        bucket.set(&format!("seen/{key}"), seen).unwrap();
    }
}

export!(Watcher);
