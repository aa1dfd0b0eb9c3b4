//! A guest that burns the processor delays nobody but itself.

use crate::{load, run};
use engine::background::Fair;
use engine::{Deadline, Ended, Guest, Limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const LOOP: &str = "(loop (br 0)) (unreachable)";

#[tokio::test]
async fn a_good_call_is_answered_beside_many_loops_on_one_thread() {
    let bad = load("bad", LOOP, Limits::default(), None);
    let good = load("good", "(local.get 0)", Limits::default(), None);
    let deadline = Deadline::after(Duration::from_secs(3));
    let loops: Vec<_> = (0..20)
        .map(|_| {
            let store = bad.store(deadline.clone());
            tokio::spawn(Fair::new(bad.clone(), run(bad.clone(), store, 0)))
        })
        .collect();
    let begun = Instant::now();
    let mut answered = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let store = good.store(Deadline::after(Duration::from_secs(10)));
        let answer = Fair::new(good.clone(), run(good.clone(), store, 3)).await;
        assert_eq!(answer.unwrap().unwrap(), 3);
        answered += 1;
        tokio::task::yield_now().await;
    }
    // On one thread, 20 loops that each held it to their deadline would leave room for none.
    assert!(answered > 100, "only {answered} good calls were answered in two seconds");
    for bad in loops {
        let ended = bad.await.unwrap().unwrap().unwrap_err();
        assert_eq!(ended.downcast_ref(), Some(&Ended::Deadline));
    }
}

#[tokio::test]
async fn of_two_that_burn_each_gets_on() {
    let count =
        "(loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.const 5)";
    let [crowd, alone] = ["crowd", "alone"].map(|name| load(name, count, Limits::default(), None));
    let burn = async |guest: &Arc<Guest>| {
        let store = guest.store(Deadline::after(Duration::from_secs(600)));
        let call = Fair::new(guest.clone(), run(guest.clone(), store, 20_000_000)).await;
        assert_eq!(call.unwrap().unwrap(), 5);
    };
    // Thirty calls at a time beside one: turns are taken between components, not between calls.
    let done = Arc::new(AtomicUsize::new(0));
    let crowding: Vec<_> = (0..30)
        .map(|_| {
            let (crowd, done) = (crowd.clone(), done.clone());
            tokio::spawn(async move {
                loop {
                    burn(&crowd).await;
                    done.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..40 {
        burn(&alone).await;
    }
    let done = done.load(Relaxed);
    crowding.iter().for_each(|call| call.abort());
    // With more threads than components, those that are left over are the crowd's.
    let most = 30 + 40 * 4 * std::thread::available_parallelism().unwrap().get();
    assert!((5..most).contains(&done), "{done} calls of the crowd beside 40 of the other");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_ends() {
    let guest = load("abandoned", LOOP, Limits::default(), None);
    let store = guest.store(Deadline::after(Duration::from_secs(600)));
    let call = Fair::new(guest.clone(), run(guest.clone(), store, 0));
    // Long enough to have moved to the background.
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    let begun = Instant::now();
    // The store holds the guest; when the last call is gone, only this test does.
    while Arc::strong_count(&guest) > 1 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the call goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
