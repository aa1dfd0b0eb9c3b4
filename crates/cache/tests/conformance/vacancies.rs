//! Vacancies that are out for too long, or fill a cache that fails.

use crate::{bound, trial};
use base::Kind;
use bytes::Bytes;
use futures::future::join_all;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wharf_cache::{Cache, Entry, Look, Vacancy};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("vacancies::one_that_is_out_too_long_goes_to_the_next", too_long()),
        trial("vacancies::one_that_nobody_else_wants_may_come_late", late()),
        trial("vacancies::whoever_asks_after_the_time_gets_it_at_once", asked_late()),
        trial("vacancies::the_first_to_wait_is_the_first_to_get_it", in_order()),
        trial("vacancies::no_more_are_out_than_there_is_room_for", bounded()),
        trial("vacancies::callers_that_come_and_go_leave_nothing_behind", come_and_go()),
    ]
}

const SHORT: &str = "{ url = 'memory:', vacancy-timeout = '200ms' }";

async fn vacant(cache: &Arc<dyn Cache>, key: &str) -> Vacancy {
    match cache.get_or_set(key).await.unwrap() {
        Entry::Vacant(vacancy) => vacancy,
        Entry::Occupied(value) => panic!("{value:?}"),
    }
}

async fn fill(vacancy: Vacancy, value: &'static str) -> base::Result<()> {
    vacancy.fill(Bytes::from_static(value.as_bytes()), None).await
}

async fn too_long() {
    let cache = bound(SHORT).await.unwrap();
    let first = vacant(&cache, "key").await;
    let begun = Instant::now();
    let second = vacant(&cache, "key").await;
    let waited = begun.elapsed();
    assert!((Duration::from_millis(150)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
    // Whoever had it comes too late, and does not get in the way of the other.
    let error = fill(first, "late").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert_eq!(cache.get("key").await.unwrap(), None);
    assert!(matches!(cache.look("key").await.unwrap(), Look::Busy(_)));
    fill(second, "in time").await.unwrap();
    assert_eq!(cache.get("key").await.unwrap().unwrap(), "in time");
}

async fn late() {
    let cache = bound(SHORT).await.unwrap();
    let vacancy = vacant(&cache, "key").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    fill(vacancy, "late").await.unwrap();
    assert_eq!(cache.get("key").await.unwrap().unwrap(), "late");
}

async fn asked_late() {
    let cache = bound(SHORT).await.unwrap();
    let first = vacant(&cache, "key").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let Look::Vacant(second) = cache.look("key").await.unwrap() else { panic!("it is free") };
    drop(first);
    assert!(matches!(cache.look("key").await.unwrap(), Look::Busy(_)), "the second has it");
    drop(second);
    assert!(matches!(cache.look("key").await.unwrap(), Look::Vacant(_)));
}

async fn in_order() {
    let cache = bound(SHORT).await.unwrap();
    let first = vacant(&cache, "key").await;
    let mut waiting = Vec::new();
    for number in 0..5 {
        let Look::Busy(place) = cache.look("key").await.unwrap() else { panic!("it is out") };
        waiting.push(async move { (number, place.end().await, Instant::now()) });
    }
    let (waited, ()) = futures::join!(join_all(waiting), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(first);
    });
    // Each drops what it gets only when all are done, so each next one waited for the time out.
    let mut order: Vec<_> = waited.iter().map(|(number, _, when)| (*when, *number)).collect();
    order.sort_unstable();
    assert!(order.iter().map(|(_, number)| *number).eq(0..5), "{order:?}");
    let held = waited.iter().filter(|(_, end, _)| matches!(end, Some(Entry::Vacant(_))));
    assert_eq!(held.count(), 5);
}

async fn bounded() {
    let cache = bound("{ url = 'none:' }").await.unwrap();
    let mut vacancies = Vec::new();
    let refused = loop {
        match cache.look(&vacancies.len().to_string()).await {
            Ok(Look::Vacant(vacancy)) => vacancies.push(vacancy),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        assert!(vacancies.len() < 1 << 20, "there is no end of them");
    };
    assert_eq!(refused.kind(), Kind::Exhausted, "{refused}");
    let mut waiting = Vec::new();
    let refused = loop {
        match cache.look("0").await {
            Ok(Look::Busy(place)) => waiting.push(place),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        assert!(waiting.len() < 1 << 20, "there is no end of them");
    };
    assert_eq!(refused.kind(), Kind::Exhausted, "{refused}");
    drop((waiting, vacancies));
    drop(vacant(&cache, "new").await);
}

async fn come_and_go() {
    let cache = bound("{ url = 'memory:' }").await.unwrap();
    let vacancy = vacant(&cache, "key").await;
    // More than may wait at once.
    for _ in 0..100_000 {
        assert!(matches!(cache.look("key").await.unwrap(), Look::Busy(_)));
    }
    fill(vacancy, "made").await.unwrap();
    assert_eq!(cache.get("key").await.unwrap().unwrap(), "made");
}
