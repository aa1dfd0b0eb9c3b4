//! Counts its runs: each adds one to the key `begun`, and in the end one to the key `ticks`, or to
//! the one that `TIMER_KEY` names. Between the two it sleeps for `TIMER_MS` milliseconds, if said.
//! `TIMER_FIRST` makes the first run go wrong: `trap`, `loop`, or `sleep` for a day.
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/keyvalue-draft2",
        world: "wasi:keyvalue/imports",
    });
}
use bindings::wasi::keyvalue::{atomics, store};
use std::thread::sleep;
use std::time::Duration;

fn main() {
    let told = |name: &str| std::env::var(name).ok();
    let bucket = store::open("").unwrap();
    let run = atomics::increment(&bucket, "begun", 1).unwrap();
    match told("TIMER_FIRST").filter(|_| run == 1).as_deref() {
        Some("trap") => panic!("the first run"),
        Some("loop") => loop {
            std::hint::spin_loop();
        },
        Some("sleep") => sleep(Duration::from_secs(86_400)),
        _ => {}
    }
    if let Some(ms) = told("TIMER_MS") {
        sleep(Duration::from_millis(ms.parse().unwrap()));
    }
    let key = told("TIMER_KEY").unwrap_or_else(|| "ticks".to_owned());
    let ticks = atomics::increment(&bucket, &key, 1).unwrap();
    println!("tick {ticks}");
}
