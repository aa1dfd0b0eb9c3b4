//! Memory, tables, stack and time of one guest.

use crate::{component, load, load_component, run};
use engine::{Deadline, Ended, Limits, describe};
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

/// What becomes of a component whose one core module has this text in the place of `instead_of`.
async fn made_with(instead_of: &str, text: &str, limits: Limits) -> Result<u32, String> {
    let component = component("(local.get 0)").replacen(instead_of, text, 1);
    let guest = load_component("many", &component, limits, None);
    let ran = run(guest.clone(), guest.store(Deadline::after(LONG)), 7).await;
    ran.map_err(|refused| describe(&refused))
}

#[tokio::test]
async fn more_tables_than_allowed_are_refused_by_name() {
    const TABLE: &str = "(table 1 funcref)";
    let limits = || Limits { tables: 3, ..Limits::default() };
    assert_eq!(made_with(TABLE, &TABLE.repeat(3), limits()).await, Ok(7));
    let refused = made_with(TABLE, &TABLE.repeat(4), limits()).await.unwrap_err();
    assert!(refused.starts_with("the limit `tables` was reached"), "{refused}");
}

#[tokio::test]
async fn more_core_instances_than_allowed_are_refused_by_name() {
    const FIRST: &str = "(core instance $main";
    let limits = || Limits { instances: 3, ..Limits::default() };
    let made = |number: usize| {
        let more = "(core instance (instantiate $main))".repeat(number - 1);
        let text = format!("{more}{FIRST}");
        async move { made_with(FIRST, &text, limits()).await }
    };
    assert_eq!(made(3).await, Ok(7));
    let refused = made(4).await.unwrap_err();
    assert!(refused.starts_with("the limit `instances` was reached"), "{refused}");
}

/// Gives the host as many bytes as it is asked for.
const GENEROUS: &str = r#"(component
    (core module $main
        (memory (export "memory") 16)
        (func (export "give") (param i32) (result i32)
            (i32.store offset=4 (i32.const 0) (local.get 0))
            (i32.const 0)))
    (core instance $main (instantiate $main))
    (alias core export $main "memory" (core memory $memory))
    (func (export "give") (param "many" u32) (result (list u8))
        (canon lift (core func $main "give") (memory $memory))))"#;

#[tokio::test]
async fn a_list_beyond_the_buffer_of_a_host_call_is_not_copied() {
    let limits = Limits { hostcall_buffer: 64 << 10, ..Limits::default() };
    let guest = load_component("generous", GENEROUS, limits, None);
    let give = |many: u32| {
        let guest = guest.clone();
        async move {
            let mut store = guest.store(Deadline::after(LONG));
            let instance = guest.pre().instantiate_async(&mut store).await?;
            let give = instance.get_typed_func::<(u32,), (Vec<u8>,)>(&mut store, "give")?;
            Ok::<_, wasmtime::Error>(give.call_async(&mut store, (many,)).await?.0.len())
        }
    };
    assert_eq!(give(64 << 10).await.unwrap(), 64 << 10);
    let refused = describe(&give((64 << 10) + 1).await.unwrap_err());
    assert!(refused.starts_with("the limit `hostcall-buffer` was reached"), "{refused}");
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
    assert!(describe(&ended).contains("wasm backtrace"), "{}", describe(&ended));
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
