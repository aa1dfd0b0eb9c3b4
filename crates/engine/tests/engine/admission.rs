//! How many calls of a component run, wait, and are turned away.

use crate::load;
use base::Kind;
use engine::Limits;
use std::time::Duration;

#[tokio::test]
async fn a_call_waits_for_its_place_and_one_too_many_is_turned_away() {
    let limits = Limits {
        concurrency: 1,
        queue: 1,
        queue_timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    let guest = load("queue", "(local.get 0)", limits, None);
    let first = guest.admit().await.unwrap();
    assert_eq!(guest.running(), 1);
    let waiting = tokio::spawn({
        let guest = guest.clone();
        async move { guest.admit().await.map(drop) }
    });
    // Until the other one stands in the queue.
    while guest.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(guest.admit().await.unwrap_err().kind(), Kind::Exhausted);
    drop(first);
    waiting.await.unwrap().unwrap();
    assert_eq!((guest.running(), guest.waiting()), (0, 0));
}

#[tokio::test]
async fn waiting_has_an_end() {
    let limits =
        Limits { concurrency: 1, queue_timeout: Duration::from_millis(20), ..Limits::default() };
    let guest = load("patience", "(local.get 0)", limits, None);
    let _first = guest.admit().await.unwrap();
    assert_eq!(guest.admit().await.unwrap_err().kind(), Kind::Exhausted);
    assert_eq!(guest.waiting(), 0);
}
