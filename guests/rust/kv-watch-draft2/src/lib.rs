//! Told of changes by `wasi:keyvalue/watcher@0.2.0-draft2`: writes what it saw under `seen/KEY`.
//! Where `WATCH_MS` says so, it prints that it was told and sleeps so many milliseconds before.
wit_bindgen::generate!({ path: "../../wit/keyvalue-draft2", world: "wasi:keyvalue/watch-service" });

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
        if let Ok(ms) = std::env::var("WATCH_MS") {
            println!("told of {key}");
            std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap()));
        }
        bucket.set(&format!("seen/{key}"), seen).unwrap();
    }
}

export!(Watcher);
