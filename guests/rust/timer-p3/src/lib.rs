//! Counts its runs on WASI 0.3: each adds one to the key `begun`, and in the end one to the key
//! `ticks`. Between the two it sleeps for `TIMER_MS` milliseconds, if said. `TIMER_FIRST` makes the
//! first run go wrong: `trap`, `loop`, or `sleep` for a day.
use wasip3::clocks::monotonic_clock::wait_for;
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
        let told = |name: &str| std::env::var(name).ok();
        let bucket = store::open("").map_err(|_| ())?;
        let run = atomics::increment(&bucket, "begun", 1).map_err(|_| ())?;
        match told("TIMER_FIRST").filter(|_| run == 1).as_deref() {
            Some("trap") => panic!("the first run"),
            Some("loop") => loop {
                std::hint::spin_loop();
            },
            Some("sleep") => wait_for(86_400 * 1_000_000_000).await,
            _ => {}
        }
        if let Some(ms) = told("TIMER_MS") {
            wait_for(ms.parse::<u64>().map_err(|_| ())? * 1_000_000).await;
        }
        atomics::increment(&bucket, "ticks", 1).map(|_| ()).map_err(|_| ())
    }
}

wasip3::cli::command::export!(Timer);
