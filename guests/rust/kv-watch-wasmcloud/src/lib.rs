//! Told of changes by `wasmcloud:keyvalue/watcher@0.2.0`: writes what it saw under `seen/KEY`.
wit_bindgen::generate!({
    path: "../../wit/keyvalue-wasmcloud",
    world: "wasmcloud:keyvalue/watch-service",
});

use exports::wasmcloud::keyvalue::watcher::Guest;
use wasmcloud::keyvalue::types::Bucket;

struct Watcher;

impl Guest for Watcher {
    async fn on_set(bucket: Bucket, key: String, value: Vec<u8>) {
        note(&bucket, &key, value).await;
    }
    async fn on_delete(bucket: Bucket, key: String) {
        note(&bucket, &key, b"(deleted)".to_vec()).await;
    }
}

/// Its own notes are no news, in case the host watches every key.
async fn note(bucket: &Bucket, key: &str, seen: Vec<u8>) {
    if !key.starts_with("seen/") {
        bucket.set(format!("seen/{key}"), seen, None).await.unwrap();
    }
}

export!(Watcher);
