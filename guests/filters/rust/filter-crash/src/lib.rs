//! Ends its VM where its configuration or the header `x-crash` says; [`kit_filter::harm`] has the
//! places.
//!
//! | how | it |
//! |---|---|
//! | `panic`, or nothing | panics, which a log line tells |
//! | `trap` | runs an unreachable instruction |
//! | `exit` | exits with code 3 |
//! | `recurse` | calls itself for ever |
//! | `pointer` | reads behind the end of its memory |
use kit_filter::harm::Root;
use std::hint::black_box;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::new("x-crash", crash)));
}}

fn crash(how: &str) {
    match how {
        "trap" => core::arch::wasm32::unreachable(),
        "exit" => std::process::exit(3),
        "recurse" => drop(black_box(dive(0))),
        "pointer" => drop(black_box(peek(u32::MAX as usize & !3))),
        _ => panic!("as asked"),
    }
}

fn dive(depth: u64) -> u64 {
    // Called where the compiler cannot see to, lest it makes a loop of this.
    let deeper: fn(u64) -> u64 = black_box(dive);
    deeper(depth + 1) + 1
}

fn peek(address: usize) -> u32 {
    // SAFETY: there is none, and that is the point: the host has to end this.
    unsafe { std::ptr::read_volatile(black_box(address) as *const u32) }
}
