//! Loops where its configuration or the header `x-loop` says; [`kit_filter::harm`] has the places.
//!
//! | how | it |
//! |---|---|
//! | nothing | loops for ever and never calls the host |
//! | `calls` | calls the host for ever |
//! | a number | loops for so many milliseconds, then goes on |
use kit_filter::harm::Root;
use proxy_wasm::hostcalls;
use std::hint::black_box;
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::new("x-loop", spin)));
}}

fn spin(how: &str) {
    if let Ok(number) = how.parse() {
        return spin_for(Duration::from_millis(number));
    }
    loop {
        match how {
            "calls" => drop(black_box(hostcalls::get_current_time())),
            _ => drop(black_box(0)),
        }
    }
}

/// The host is asked for the time now and then only: most of this is the filter's own.
fn spin_for(duration: Duration) {
    let Ok(start) = hostcalls::get_current_time() else { return };
    loop {
        (0..10_000).for_each(|number| _ = black_box(number));
        let now = hostcalls::get_current_time();
        let passed = now.ok().and_then(|now| now.duration_since(start).ok());
        if passed.is_none_or(|passed| passed >= duration) {
            return;
        }
    }
}
