//! `wasmcloud:keyvalue@0.2.0`, whose calls may overlap.

use super::*;
use crate::host::wasmcloud::Calling;
use crate::host::wasmcloud::bindings::wasmcloud::keyvalue::cas::{CasOptions, CasResult, Entry};
use crate::host::wasmcloud::bindings::wasmcloud::keyvalue::types::{
    Error, Host as _, HostBucketWithStore as Buckets, SetOptions,
};
use crate::host::wasmcloud::bindings::wasmcloud::keyvalue::{atomics, batch, cas, store};
use crate::host::{Bucket, operations};
use engine::Has;
use std::future::pending;

type Serves = Has<KeyValue>;
type Called<'a> = &'a Calling<Instance>;

/// Makes calls as a guest of this instance.
async fn calling(instance: Instance, calls: impl AsyncFnOnce(Called<'_>)) {
    let mut store = wasmtime::Store::new(&wasmtime::Engine::default(), instance);
    let run = store.run_concurrent(async |accessor| {
        calls(&accessor.with_getter::<Serves>(Instance::host)).await;
    });
    run.await.unwrap();
}

async fn open(called: Called<'_>, name: &str) -> Resource<Bucket> {
    <Serves as store::HostWithStore<Instance>>::open(called, name.to_owned()).await.unwrap()
}

async fn set(
    called: Called<'_>,
    bucket: &Resource<Bucket>,
    key: &str,
    value: &str,
    options: Option<SetOptions>,
) -> operations::Result<()> {
    let (key, value) = (key.to_owned(), value.as_bytes().to_vec());
    <Serves as Buckets<Instance>>::set(called, lend(bucket), key, value, options).await
}

async fn get(called: Called<'_>, bucket: &Resource<Bucket>, key: &str) -> Option<String> {
    let value = <Serves as Buckets<Instance>>::get(called, lend(bucket), key.to_owned()).await;
    value.unwrap().map(|value| String::from_utf8(value).unwrap())
}

async fn current(called: Called<'_>, bucket: &Resource<Bucket>, key: &str) -> Option<Entry> {
    let key = key.to_owned();
    <Serves as cas::HostWithStore<Instance>>::current(called, lend(bucket), key).await.unwrap()
}

/// A swap's outcome in words.
async fn swap(
    called: Called<'_>,
    bucket: &Resource<Bucket>,
    value: &str,
    version: Option<&str>,
    required: Option<&str>,
) -> Result<String, Kind> {
    let options = CasOptions {
        require_version: version.map(str::to_owned),
        require_value: required.map(|value| value.as_bytes().to_vec()),
    };
    let (key, value) = ("k".to_owned(), value.as_bytes().to_vec());
    let swap = <Serves as cas::HostWithStore<Instance>>::swap;
    match swap(called, lend(bucket), key, value, options).await {
        Ok(CasResult::Swapped) => Ok("swapped".to_owned()),
        Ok(CasResult::Stale(None)) => Ok("nothing".to_owned()),
        Ok(CasResult::Stale(Some(entry))) => Ok(String::from_utf8(entry.value).unwrap()),
        failed => Err(kind(failed)),
    }
}

#[tokio::test]
async fn each_kind_of_error_has_its_case() {
    let mut instance = Instance::new();
    let mut case = |kind| {
        let failure = Failure::from(base::Error::new(kind, "words").with_hint("hint"));
        match instance.host().convert_error(failure).unwrap() {
            Error::Other(words) => format!("other: {words}"),
            case => format!("{case:?}"),
        }
    };
    for (kind, expected) in [
        (Kind::NotFound, "Error::NoSuchStore"),
        (Kind::Denied, "Error::AccessDenied"),
        (Kind::Invalid, "Error::InvalidArgument"),
        (Kind::Conflict, "Error::PreconditionFailed"),
        (Kind::Timeout, "Error::Timeout"),
        (Kind::Unavailable, "Error::StoreUnavailable"),
        (Kind::Exhausted, "Error::QuotaExceeded"),
        (Kind::TooLarge, "other: words (hint)"),
        (Kind::Unsupported, "other: words (hint)"),
        (Kind::Corrupt, "other: words (hint)"),
    ] {
        assert_eq!(case(kind), expected);
    }
}

#[tokio::test]
async fn values_may_be_written_only_once_and_for_a_time() {
    let instance = Instance::new();
    let clock = instance.clock.clone();
    calling(instance, async |called| {
        let bucket = open(called, "").await;
        let once = |ttl_ms| Some(SetOptions { ttl_ms, if_not_exists: true });
        set(called, &bucket, "k", "one", once(Some(1500))).await.unwrap();
        assert_eq!(kind(set(called, &bucket, "k", "two", once(None)).await), Kind::Conflict);
        clock.advance(Duration::from_millis(1499));
        assert_eq!(get(called, &bucket, "k").await.as_deref(), Some("one"));
        clock.advance(Duration::from_millis(1));
        assert_eq!(get(called, &bucket, "k").await, None);
        set(called, &bucket, "k", "two", once(None)).await.unwrap();
        set(called, &bucket, "k", "three", None).await.unwrap();
        clock.advance(Duration::from_secs(1 << 30));
        assert_eq!(get(called, &bucket, "k").await.as_deref(), Some("three"));
        let ttl = |ttl_ms| Some(SetOptions { ttl_ms: Some(ttl_ms), if_not_exists: false });
        assert_eq!(kind(set(called, &bucket, "k", "no", ttl(0)).await), Kind::Invalid);
        set(called, &bucket, "k", "for ever", ttl(u64::MAX)).await.unwrap();
        assert_eq!(get(called, &bucket, "k").await.as_deref(), Some("for ever"));
    })
    .await;
}

#[tokio::test]
async fn a_swap_requires_a_version_a_value_or_both() {
    let instance = Instance::new();
    calling(instance, async |called| {
        let bucket = open(called, "").await;
        assert_eq!(swap(called, &bucket, "x", None, None).await, Err(Kind::Invalid));
        assert_eq!(swap(called, &bucket, "x", Some("00"), None).await.unwrap(), "nothing");
        assert_eq!(swap(called, &bucket, "x", None, Some("")).await.unwrap(), "nothing");
        set(called, &bucket, "k", "one", None).await.unwrap();
        let first = current(called, &bucket, "k").await.unwrap();
        assert_eq!(first.value, b"one");
        let first = first.version;
        for wrong in ["", "no version", "00", &first.replace('0', "O"), &format!("{first}00")] {
            assert_eq!(swap(called, &bucket, "x", Some(wrong), None).await.unwrap(), "one");
        }
        assert_eq!(swap(called, &bucket, "two", Some(&first), None).await.unwrap(), "swapped");
        assert_eq!(swap(called, &bucket, "x", Some(&first), None).await.unwrap(), "two");
        assert_eq!(swap(called, &bucket, "one", None, Some("one")).await.unwrap(), "two");
        assert_eq!(swap(called, &bucket, "one", None, Some("two")).await.unwrap(), "swapped");
        // The value of the first version, by another write.
        assert_eq!(swap(called, &bucket, "x", Some(&first), Some("one")).await.unwrap(), "one");
        let now = current(called, &bucket, "k").await.unwrap().version;
        assert_eq!(swap(called, &bucket, "x", Some(&now), Some("two")).await.unwrap(), "one");
        assert_eq!(swap(called, &bucket, "x", Some(&now), Some("one")).await.unwrap(), "swapped");
        assert_eq!(get(called, &bucket, "k").await.as_deref(), Some("x"));
    })
    .await;
}

#[tokio::test]
async fn keys_are_listed_by_prefix_page_by_page() {
    let instance = Instance::new();
    for number in 0..1001 {
        put(&instance.store, &format!("in/{number:04}"), "").await;
        put(&instance.store, &format!("out/{number:04}"), "").await;
    }
    calling(instance, async |called| {
        let bucket = open(called, "default").await;
        let page = async |cursor| {
            let prefix = Some("in/".to_owned());
            let page = <Serves as Buckets<Instance>>::list_keys;
            page(called, lend(&bucket), prefix, cursor).await.unwrap()
        };
        let first = page(None).await;
        assert_eq!(first.keys.len(), 1000);
        let rest = page(first.cursor).await;
        assert_eq!((rest.keys, rest.cursor), (vec!["in/1000".to_owned()], None));
    })
    .await;
}

#[tokio::test]
async fn counters_and_batches_are_those_of_the_other_drafts() {
    calling(Instance::new(), async |called| {
        let bucket = open(called, "sessions").await;
        let add = <Serves as atomics::HostWithStore<Instance>>::increment;
        assert_eq!(add(called, lend(&bucket), "n".to_owned(), -3).await.unwrap(), -3);
        let write = <Serves as batch::HostWithStore<Instance>>::set_many;
        let entries = [("a", "1"), ("b", "2")].map(|(key, value)| (key.into(), value.into()));
        write(called, lend(&bucket), entries.to_vec()).await.unwrap();
        let read = <Serves as batch::HostWithStore<Instance>>::get_many;
        let keys = ["b", "none", "n"].map(str::to_owned).to_vec();
        let found = read(called, lend(&bucket), keys).await.unwrap();
        let expected = [Some(("b", "2")), None, Some(("n", "-3"))];
        let expected = expected.map(|pair| pair.map(|(key, value)| (key.into(), value.into())));
        assert_eq!(found, expected);
        let remove = <Serves as batch::HostWithStore<Instance>>::delete_many;
        remove(called, lend(&bucket), vec!["a".to_owned(), "none".to_owned()]).await.unwrap();
        assert_eq!(get(called, &bucket, "a").await, None);
    })
    .await;
}

#[tokio::test]
async fn calls_that_wait_hold_no_more_than_their_instance_may_have_the_host_keep() {
    let mut instance = Instance::with_memory(1000);
    instance.calls = Calls::new("test", Duration::from_secs(10), 1);
    let (calls, store) = (instance.calls.clone(), Arc::clone(&instance.store));
    let large = "x".repeat(600);
    calling(instance, async |called| {
        let bucket = open(called, "").await;
        let mut busy = Box::pin(calls.run("test", "wait", pending::<base::Result<()>>()));
        let mut first = Box::pin(set(called, &bucket, "first", &large, None));
        assert!(futures::poll!(&mut busy).is_pending());
        assert!(futures::poll!(&mut first).is_pending(), "there is one permit");
        let second = set(called, &bucket, "second", &large, None).await;
        assert_eq!(kind(second), Kind::Exhausted);
        drop(busy);
        first.await.unwrap();
        set(called, &bucket, "second", &large, None).await.unwrap();
        // Nor has an answer more room.
        let read = <Serves as batch::HostWithStore<Instance>>::get_many;
        let keys = ["first", "second"].map(str::to_owned).to_vec();
        assert_eq!(kind(read(called, lend(&bucket), keys).await), Kind::TooLarge);
    })
    .await;
    assert!(store.exists("second").await.unwrap());
}

#[tokio::test]
async fn a_call_that_the_guest_gave_up_holds_nothing() {
    let mut instance = Instance::with_memory(1000);
    instance.calls = Calls::new("test", Duration::from_secs(10), 1);
    let calls = instance.calls.clone();
    let large = "x".repeat(600);
    calling(instance, async |called| {
        let bucket = open(called, "").await;
        let mut busy = Box::pin(calls.run("test", "wait", pending::<base::Result<()>>()));
        assert!(futures::poll!(&mut busy).is_pending());
        for _ in 0..3 {
            let mut given_up = Box::pin(set(called, &bucket, "k", &large, None));
            assert!(futures::poll!(&mut given_up).is_pending());
        }
    })
    .await;
}
