//! Counts its runs on WASI 0.3: each adds one to the key `ticks`.
use wasip3::exports::cli::run::Guest;

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/keyvalue-draft2",
        world: "wasi:keyvalue/imports",
    });
}
use bindings::wasi::keyvalue::{atomics, store};

struct Timer;

impl Guest for Timer {
    async fn run() -> Result<(), ()> {
        let bucket = store::open("").map_err(|_| ())?;
        atomics::increment(&bucket, "ticks", 1).map(|_| ()).map_err(|_| ())
    }
}

wasip3::cli::command::export!(Timer);
