//! Counts visits in key-value. What stands behind `default` is its host's business.

wit_bindgen::generate!({
    path: ["../../../crates/keyvalue/wit/draft2", "wit"],
    world: "example:visits/visits",
    generate_all,
});

use wasi::keyvalue::{atomics, store};

struct Visits;

impl Guest for Visits {
    fn visit(name: String) -> Result<i64, String> {
        let counted = store::open("default")
            .and_then(|bucket| atomics::increment(&bucket, &format!("visits/{name}"), 1));
        counted.map_err(|error| format!("{error:?}"))
    }
}

export!(Visits);
