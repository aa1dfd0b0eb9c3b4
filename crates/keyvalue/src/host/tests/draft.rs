//! `wasi:keyvalue@0.2.0-draft`.

use super::*;
use crate::host::Bucket;
use crate::host::draft::bindings::wasi::keyvalue::store::{Error, Host as _, HostBucket as _};
use crate::host::draft::bindings::wasi::keyvalue::{atomics, batch};
use atomics::Host as _;
use batch::Host as _;
use bytes::Bytes;

fn open(instance: &mut Instance, name: &str) -> Resource<Bucket> {
    instance.host().open(name.to_owned()).unwrap()
}

#[tokio::test]
async fn unknown_and_denied_stores_are_told_apart() {
    let mut instance = Instance::new();
    let mut host = instance.host();
    let mut refused = |name: &str| {
        let failure = host.open(name.to_owned()).unwrap_err();
        host.convert_error(failure).unwrap()
    };
    assert!(matches!(refused("nope"), Error::NoSuchStore));
    assert!(matches!(refused("orders"), Error::AccessDenied));
}

#[tokio::test]
async fn the_empty_name_is_default_and_values_come_back_as_they_were() {
    let mut instance = Instance::new();
    let (unnamed, default) = (open(&mut instance, ""), open(&mut instance, "default"));
    let mut host = instance.host();
    let value = vec![0, 255, 0];
    host.set(lend(&unnamed), "k".to_owned(), value.clone()).await.unwrap();
    host.set(lend(&unnamed), "empty".to_owned(), Vec::new()).await.unwrap();
    assert_eq!(host.get(lend(&default), "k".to_owned()).await.unwrap(), Some(value));
    assert_eq!(host.get(lend(&default), "empty".to_owned()).await.unwrap(), Some(Vec::new()));
    assert!(host.exists(lend(&default), "k".to_owned()).await.unwrap());
    for _ in 0..2 {
        host.delete(lend(&default), "k".to_owned()).await.unwrap();
    }
    assert_eq!(host.get(lend(&default), "k".to_owned()).await.unwrap(), None);
    assert!(!host.exists(lend(&default), "k".to_owned()).await.unwrap());
}

#[tokio::test]
async fn errors_are_words_with_their_hint() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    let mut host = instance.host();
    let failure = host.get(lend(&bucket), String::new()).await.unwrap_err();
    let Error::Other(words) = host.convert_error(failure).unwrap() else { panic!("other") };
    assert_eq!(words, "a key must not be empty");
    let failure = host.list_keys(bucket, Some(7)).await.unwrap_err();
    let Error::Other(words) = host.convert_error(failure).unwrap() else { panic!("other") };
    assert!(words.starts_with("7 is no cursor") && words.ends_with("given to)"), "{words}");
}

#[tokio::test]
async fn a_forged_handle_ends_the_instance() {
    let mut instance = Instance::new();
    let forged = Resource::new_borrow(77);
    let failure = instance.host().get(forged, "k".to_owned()).await.unwrap_err();
    assert!(matches!(failure, Failure::Trap(_)));
    let failure = instance.host().convert_error(failure);
    assert!(failure.is_err());
}

async fn fill(store: &Arc<dyn Store>, count: usize) -> Vec<String> {
    let keys: Vec<String> = (0..count).map(|number| format!("key-{number:05}")).collect();
    let entries = keys.iter().map(|key| (key.clone(), Bytes::new())).collect();
    store.set_many(entries, &WriteOptions::default()).await.unwrap();
    keys
}

#[tokio::test]
async fn a_listing_goes_on_at_its_cursor_as_often_as_asked() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    let keys = fill(&instance.store, 2500).await;
    let mut host = instance.host();
    let (mut listed, mut cursor, mut again) = (Vec::new(), None, None);
    loop {
        let page = host.list_keys(lend(&bucket), cursor).await.unwrap();
        listed.extend(page.keys);
        again = again.or(page.cursor);
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, keys);
    let page = host.list_keys(bucket, again).await.unwrap();
    assert_eq!(page.keys, keys[1000..2000]);
}

#[tokio::test]
async fn cursors_of_other_stores_and_other_instances_are_errors() {
    let (mut instance, mut other) = (Instance::new(), Instance::new());
    let (default, sessions) = (open(&mut instance, ""), open(&mut instance, "sessions"));
    fill(&instance.store, 1001).await;
    fill(&other.store, 1001).await;
    let cursor = instance.host().list_keys(lend(&default), None).await.unwrap().cursor;
    assert!(cursor.is_some_and(|number| number < 1 << 53));
    assert_eq!(kind(instance.host().list_keys(sessions, cursor).await), Kind::Invalid);
    let bucket = open(&mut other, "");
    other.host().list_keys(lend(&bucket), None).await.unwrap();
    assert_eq!(kind(other.host().list_keys(bucket, cursor).await), Kind::Invalid);
    // So many newer ones push it out.
    for _ in 0..64 {
        instance.host().list_keys(lend(&default), None).await.unwrap();
    }
    assert_eq!(kind(instance.host().list_keys(default, cursor).await), Kind::Invalid);
}

#[tokio::test]
async fn counters_stay_as_they_were_when_a_number_does_not_fit() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    let below = instance.store.increment("below", -10, &WriteOptions::default()).await;
    assert_eq!(below.unwrap(), -10);
    put(&instance.store, "text", "seven").await;
    let mut host = instance.host();
    let mut add = async |key: &str, delta| host.increment(lend(&bucket), key.into(), delta).await;
    assert_eq!(add("n", 7).await.unwrap(), 7);
    assert_eq!(kind(add("n", 1 << 63).await), Kind::Invalid);
    assert_eq!(kind(add("n", i64::MAX as u64).await), Kind::Invalid);
    assert_eq!(kind(add("below", 3).await), Kind::Invalid);
    assert_eq!(kind(add("text", 1).await), Kind::Invalid);
    assert_eq!(in_store(&instance.store, "n").await.unwrap(), b"7");
    assert_eq!(in_store(&instance.store, "below").await.unwrap(), b"-10");
    assert_eq!(in_store(&instance.store, "text").await.unwrap(), b"seven");
    let sum = instance.host().increment(bucket, "below".to_owned(), 10).await;
    assert_eq!(sum.unwrap(), 0);
}

#[tokio::test]
async fn many_keys_are_answered_in_their_places() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
    let entry = |key: &str, value: &str| (key.to_owned(), value.as_bytes().to_vec());
    let mut host = instance.host();
    let entries = vec![entry("a", "1"), entry("b", "2"), entry("a", "3")];
    host.set_many(lend(&bucket), entries).await.unwrap();
    let asked = keys(&["a", "absent", "b", "a"]);
    let values = host.get_many(lend(&bucket), asked).await.unwrap();
    assert_eq!(values, [Some(entry("a", "3")), None, Some(entry("b", "2")), Some(entry("a", "3"))]);
    host.delete_many(lend(&bucket), keys(&["a", "absent"])).await.unwrap();
    let many = (0..100).map(|number| if number == 99 { "b" } else { "a" }).collect::<Vec<_>>();
    let values = host.get_many(lend(&bucket), keys(&many)).await.unwrap();
    assert_eq!(values.len(), 100);
    assert_eq!(values.iter().position(Option::is_some), Some(99));
}

#[tokio::test]
async fn an_answer_with_many_values_has_a_limit() {
    let mut instance = Instance::with_memory(1000);
    let bucket = open(&mut instance, "");
    put(&instance.store, "k", &"x".repeat(300)).await;
    let mut host = instance.host();
    let three = host.get_many(lend(&bucket), vec!["k".to_owned(); 3]).await.unwrap();
    assert_eq!(three.len(), 3);
    let four = host.get_many(bucket, vec!["k".to_owned(); 4]).await;
    assert_eq!(kind(four), Kind::TooLarge);
}

#[tokio::test]
async fn a_closed_bucket_is_gone() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    let lent = lend(&bucket);
    instance.host().drop(bucket).unwrap();
    let failure = instance.host().get(lent, "k".to_owned()).await.unwrap_err();
    assert!(matches!(failure, Failure::Trap(_)));
}
