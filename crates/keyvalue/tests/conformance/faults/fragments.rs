//! Messages that arrive in two halves, and halves to which nothing comes any more: every vendor's.

use super::{PLAIN, healed, heard, impatient, put};
use crate::trial;
use bytes::Bytes;
use futures::future::join_all;
use libtest_mimic::Trial;
use std::time::Duration;
use testkit::proxy::{Proxy, Weather};
use testkit::servers::{VENDORS, Vendor};
use wharf_keyvalue::WatchOptions;

/// Values of which several, one and less than one are on their way in a piece.
const LENGTHS: [usize; 4] = [0, 10, 1000, 60_000];

pub(super) fn trials() -> Vec<Trial> {
    let trials = VENDORS.iter().flat_map(|vendor| {
        let name = |name: &str| format!("faults::{}::{name}", vendor.name);
        [
            trial(name("messages_in_two_halves_are_put_together"), halves(vendor)),
            trial(name("half_a_request_changes_nothing_by_half"), torn_requests(vendor)),
            trial(name("half_an_answer_is_none"), torn_answers(vendor)),
        ]
    });
    trials.collect()
}

async fn halves(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    // So that what a connection begins with comes in halves too.
    proxy.change(|weather| weather.fragment_pause = Duration::from_millis(2));
    let store = impatient(vendor, proxy.address()).await;
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    for length in LENGTHS {
        let calls = (0..8_u8).map(|number| {
            let store = &store;
            async move {
                let key = format!("{length}/{number}");
                let value = Bytes::from(vec![number; length]);
                store.put(&key, value.clone()).await.unwrap();
                assert!(store.get(&key).await.unwrap() == Some(value), "{key}");
            }
        });
        join_all(calls).await;
        for _ in 0..8 {
            heard(&mut changes).await;
        }
        let keys: Vec<String> = (0..8).map(|number| format!("{length}/{number}")).collect();
        let found = store.get_many(&keys, 1 << 20).await.unwrap();
        assert!(found.iter().flatten().all(|value| value.len() == length), "{length}");
    }
}

async fn torn_requests(vendor: &'static Vendor) {
    torn(vendor, |weather| weather.requests_torn = true).await;
}

async fn torn_answers(vendor: &'static Vendor) {
    torn(vendor, |weather| weather.answers_torn = true).await;
}

async fn torn(vendor: &'static Vendor, tear: fn(&mut Weather)) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let store = impatient(vendor, proxy.address()).await;
    for (round, length) in LENGTHS.into_iter().cycle().take(12).enumerate() {
        let value = |number: usize| Bytes::from(vec![b'0' + u8::try_from(number).unwrap(); length]);
        // Each value has a key of its own, so that what one call does shows nowhere else.
        let key = |number: usize| format!("{round}/{number}");
        for number in 0..4 {
            store.set(&key(number), value(number), &PLAIN).await.unwrap();
        }
        proxy.change(tear);
        let writes = (0..4).map(|number| {
            let (store, key, value) = (&store, key(number), value(number + 4));
            async move { store.put(&key, value).await }
        });
        let reads = (0..4).map(|number| {
            let (store, key) = (&store, key(number));
            async move { store.get(&key).await }
        });
        let (written, read) = futures::join!(join_all(writes), join_all(reads));
        proxy.change(Weather::clear);
        healed(&store).await;
        for (number, (written, read)) in written.into_iter().zip(read).enumerate() {
            let kept = store.get(&key(number)).await.unwrap().unwrap();
            let (before, after) = (value(number), value(number + 4));
            assert!(kept == before || kept == after, "a value is whole");
            match written {
                Ok(()) => assert!(kept == after, "what was acknowledged is there"),
                Err(error) => assert!(error.kind().is_temporary(), "{error:?}"),
            }
            match read {
                Ok(found) => {
                    let found = found.unwrap();
                    assert!(found == before || found == after, "what was read is whole");
                }
                Err(error) => assert!(error.kind().is_temporary(), "{error:?}"),
            }
        }
        put(&store, "fair").await.unwrap();
    }
}
