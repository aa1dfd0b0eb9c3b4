//! Operations of a store, some in each call: what `cargo xtask bench keyvalue` measures.
use std::cell::OnceCell;

wit_bindgen::generate!({
    path: "../../wit/keyvalue-draft2",
    inline: r#"
        package guests:kv-operations@1.0.0;

        world operations {
            include wasi:keyvalue/imports@0.2.0-draft2;
            export operate: func(operation: string, key: string, times: u32) -> result<_, string>;
        }
    "#,
    generate_all,
});

use wasi::keyvalue::{atomics, batch, store};

/// What is written.
const VALUE: [u8; 100] = [b'x'; 100];
/// So many keys are read or written at once.
const MANY: usize = 100;

thread_local! {
    static BUCKET: OnceCell<store::Bucket> = const { OnceCell::new() };
}

struct Operations;

impl Guest for Operations {
    fn operate(operation: String, key: String, times: u32) -> Result<(), String> {
        BUCKET.with(|bucket| {
            let bucket = bucket.get_or_init(|| store::open("").unwrap());
            (0..times).try_for_each(|_| operate(bucket, &operation, &key))
        })
    }
}

fn operate(bucket: &store::Bucket, operation: &str, key: &str) -> Result<(), String> {
    let failed = |error: store::Error| format!("{error:?}");
    let many = || (0..MANY).map(|number| format!("{key}/{number}"));
    match operation {
        "get" => bucket.get(key).map(drop).map_err(failed),
        "set" => bucket.set(key, &VALUE).map_err(failed),
        "increment" => atomics::increment(bucket, key, 1).map(drop).map_err(failed),
        "swap" => {
            let seen = atomics::Cas::new(bucket, key).map_err(failed)?;
            atomics::swap(seen, &VALUE).map_err(|error| format!("{error:?}"))
        }
        "get-many" => {
            let keys: Vec<String> = many().collect();
            batch::get_many(bucket, &keys).map(drop).map_err(failed)
        }
        "set-many" => {
            let entries: Vec<_> = many().map(|key| (key, VALUE.to_vec())).collect();
            batch::set_many(bucket, &entries).map_err(failed)
        }
        other => Err(format!("no operation is called {other}")),
    }
}

export!(Operations);
