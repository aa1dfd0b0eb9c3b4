//! Memory, tables, stack and time of one guest.

use crate::{load, run};
use engine::{Deadline, Ended, Limits};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn memory_stops_at_its_limit_and_the_instance_knows() {
    let limits = Limits { memory: 10 << 16, ..Limits::default() };
    let guest = load("memory", "(memory.grow (local.get 0))", limits, None);
    let grow = |pages| {
        let guest = guest.clone();
        async move { run(guest.clone(), guest.store(Deadline::after(LONG)), pages).await.unwrap() }
    };
    assert_eq!(grow(9).await, 1);
    assert_eq!(grow(10).await, u32::MAX);
    let used = guest.engine().budget().used();
    assert!(used < 10 << 30, "an instance that is gone keeps nothing: {used}");
}

#[tokio::test]
async fn tables_stop_at_their_limit() {
    let limits = Limits { table_elements: 100, ..Limits::default() };
    let body = "(table.grow (ref.null func) (local.get 0))";
    let guest = load("table", body, limits, None);
    let store = || guest.store(Deadline::after(LONG));
    assert_eq!(run(guest.clone(), store(), 99).await.unwrap(), 1);
    assert_eq!(run(guest.clone(), store(), 100).await.unwrap(), u32::MAX);
}

#[tokio::test]
async fn deep_recursion_traps_and_the_next_call_works() {
    let body =
        "(if (result i32) (local.get 0) (then (call $run (i32.const 1))) (else (i32.const 7)))";
    let guest = load("deep", body, Limits::default(), None);
    let store = || guest.store(Deadline::after(LONG));
    let trap = run(guest.clone(), store(), 1).await.unwrap_err();
    assert_eq!(trap.downcast_ref(), Some(&wasmtime::Trap::StackOverflow));
    assert_eq!(run(guest.clone(), store(), 0).await.unwrap(), 7);
}

#[tokio::test]
async fn a_loop_ends_at_its_deadline() {
    let guest = load("loop", "(loop (br 0)) (unreachable)", Limits::default(), None);
    let store = guest.store(Deadline::after(Duration::from_millis(100)));
    let ended = run(guest.clone(), store, 0).await.unwrap_err();
    assert_eq!(ended.downcast_ref(), Some(&Ended::Deadline));
    assert!(engine::describe(&ended).contains("wasm backtrace"), "{}", engine::describe(&ended));
}

#[tokio::test]
async fn a_deadline_that_is_put_off_gives_more_time() {
    let count =
        "(loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.const 5)";
    let guest = load("patient", count, Limits::default(), None);
    let deadline = Deadline::after(Duration::ZERO);
    let store = guest.store(deadline.clone());
    deadline.put_off(LONG);
    assert_eq!(run(guest.clone(), store, 50_000_000).await.unwrap(), 5);
}
