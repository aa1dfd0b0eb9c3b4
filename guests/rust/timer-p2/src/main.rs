//! Counts its runs: each adds one to the key `ticks`, or to the one that `TIMER_KEY` names.
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/keyvalue-draft2",
        world: "wasi:keyvalue/imports",
    });
}
use bindings::wasi::keyvalue::{atomics, store};

fn main() {
    let key = std::env::var("TIMER_KEY").unwrap_or_else(|_| "ticks".to_owned());
    let bucket = store::open("").unwrap();
    let ticks = atomics::increment(&bucket, &key, 1).unwrap();
    println!("tick {ticks}");
}
