//! Messages that arrive in two halves, and halves to which nothing comes any more: every vendor's.

use super::{healed, impatient};
use crate::trial;
use bytes::Bytes;
use futures::future::join_all;
use libtest_mimic::Trial;
use std::time::Duration;
use testkit::proxy::{Proxy, Weather};
use testkit::servers::{CACHES, Vendor};

/// Values of which several, one and less than one are on their way in a piece.
const LENGTHS: [usize; 4] = [0, 10, 1000, 60_000];

pub(super) fn trials() -> Vec<Trial> {
    let trials = CACHES.iter().flat_map(|vendor| {
        let name = |name: &str| format!("faults::{}::{name}", vendor.name);
        let requests: fn(&mut Weather) = |weather| weather.requests_torn = true;
        let answers: fn(&mut Weather) = |weather| weather.answers_torn = true;
        [
            trial(name("messages_in_two_halves_are_put_together"), halves(vendor)),
            trial(name("half_a_request_stores_nothing_by_half"), torn(vendor, requests)),
            trial(name("half_an_answer_is_none"), torn(vendor, answers)),
        ]
    });
    trials.collect()
}

async fn halves(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    // So that what a connection begins with comes in halves too.
    proxy.change(|weather| weather.fragment_pause = Duration::from_millis(2));
    let cache = impatient(vendor, proxy.address()).await;
    for length in LENGTHS {
        let calls = (0..8_u8).map(|number| {
            let cache = &cache;
            async move {
                let key = format!("{length}/{number}");
                let value = Bytes::from(vec![number; length]);
                cache.set(&key, value.clone(), None).await.unwrap();
                assert!(cache.get(&key).await.unwrap() == Some(value), "{key}");
            }
        });
        join_all(calls).await;
    }
}

async fn torn(vendor: &'static Vendor, tear: fn(&mut Weather)) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let cache = impatient(vendor, proxy.address()).await;
    for length in LENGTHS.into_iter().cycle().take(12) {
        let (before, after) = (Bytes::from(vec![b'0'; length]), Bytes::from(vec![b'1'; length]));
        let is_whole = |found: &Bytes| *found == before || *found == after;
        cache.set("key", before.clone(), None).await.unwrap();
        proxy.change(tear);
        let (written, read) =
            futures::join!(cache.set("key", after.clone(), None), cache.get("key"));
        proxy.change(Weather::clear);
        healed(&cache).await;
        let kept = cache.get("key").await.unwrap();
        match written {
            Ok(()) => assert!(kept.is_none_or(|kept| kept == after), "what was stored is there"),
            Err(error) => {
                assert!(error.kind().is_temporary(), "{error:?}");
                assert!(kept.is_none_or(|kept| is_whole(&kept)), "a value is whole");
            }
        }
        match read {
            Ok(found) => assert!(found.is_none_or(|found| is_whole(&found)), "a value is whole"),
            Err(error) => assert!(error.kind().is_temporary(), "{error:?}"),
        }
    }
}
