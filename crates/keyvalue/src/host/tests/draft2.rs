//! `wasi:keyvalue@0.2.0-draft2`, where it differs from the draft before.

use super::*;
use crate::host::draft2::bindings::wasi::keyvalue::atomics::{CasError, Host as _, HostCas};
use crate::host::draft2::bindings::wasi::keyvalue::store::{Error, Host as _, HostBucket as _};
use crate::host::{Bucket, Cas};

fn open(instance: &mut Instance, name: &str) -> Resource<Bucket> {
    instance.host().open(name.to_owned()).unwrap()
}

async fn cas(instance: &mut Instance, bucket: &Resource<Bucket>, key: &str) -> Resource<Cas> {
    instance.host().new(lend(bucket), key.to_owned()).await.unwrap()
}

fn current(instance: &mut Instance, cas: &Resource<Cas>) -> Option<String> {
    let value = instance.host().current(lend(cas)).unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

async fn swap(instance: &mut Instance, cas: Resource<Cas>, value: &str) -> Result<(), CasError> {
    instance.host().swap(cas, value.as_bytes().to_vec()).await.unwrap()
}

fn fresh(outcome: Result<(), CasError>) -> Resource<Cas> {
    match outcome {
        Err(CasError::CasFailed(fresh)) => fresh,
        other => panic!("the swap should have come too late: {other:?}"),
    }
}

#[tokio::test]
async fn a_swap_succeeds_when_nobody_wrote_since() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    let absent = cas(&mut instance, &bucket, "k").await;
    assert_eq!(current(&mut instance, &absent), None);
    swap(&mut instance, absent, "one").await.unwrap();
    let present = cas(&mut instance, &bucket, "k").await;
    assert_eq!(current(&mut instance, &present).as_deref(), Some("one"));
    swap(&mut instance, present, "two").await.unwrap();
    assert_eq!(in_store(&instance.store, "k").await.unwrap(), b"two");
    assert!(instance.host().get(bucket, "k".to_owned()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_swap_that_came_too_late_gives_a_fresh_handle() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    let late = cas(&mut instance, &bucket, "k").await;
    put(&instance.store, "k", "theirs").await;
    assert_eq!(current(&mut instance, &late), None, "a handle keeps what it saw");
    let fresh = fresh(swap(&mut instance, late, "mine").await);
    assert_eq!(in_store(&instance.store, "k").await.unwrap(), b"theirs");
    assert_eq!(current(&mut instance, &fresh).as_deref(), Some("theirs"));
    swap(&mut instance, fresh, "mine").await.unwrap();
    assert_eq!(in_store(&instance.store, "k").await.unwrap(), b"mine");
}

#[tokio::test]
async fn a_key_that_was_made_anew_is_not_the_one_that_was_seen() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    put(&instance.store, "k", "same").await;
    let seen = cas(&mut instance, &bucket, "k").await;
    instance.store.delete("k", &WriteOptions::default()).await.unwrap();
    put(&instance.store, "k", "same").await;
    let again = fresh(swap(&mut instance, seen, "mine").await);
    instance.store.delete("k", &WriteOptions::default()).await.unwrap();
    let gone = fresh(swap(&mut instance, again, "mine").await);
    assert_eq!(current(&mut instance, &gone), None);
    swap(&mut instance, gone, "mine").await.unwrap();
}

#[tokio::test]
async fn a_swap_uses_its_handle_up_and_other_failures_are_the_stores() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    let handle = cas(&mut instance, &bucket, "k").await;
    let lent = lend(&handle);
    let too_large = "x".repeat(instance.store.offer().max_value + 1);
    match swap(&mut instance, handle, &too_large).await {
        Err(CasError::StoreError(Error::Other(words))) => assert!(words.contains("at most")),
        other => panic!("the value does not fit: {other:?}"),
    }
    assert!(instance.host().current(lent).is_err());
}

#[tokio::test]
async fn handles_hold_no_more_than_their_instance_may_have_the_host_keep() {
    let mut instance = Instance::with_memory(1000);
    let bucket = open(&mut instance, "");
    put(&instance.store, "k", &"x".repeat(600)).await;
    let first = cas(&mut instance, &bucket, "k").await;
    let second = instance.host().new(lend(&bucket), "k".to_owned()).await;
    assert_eq!(kind(second), Kind::Exhausted);
    HostCas::drop(&mut instance.host(), first).unwrap();
    cas(&mut instance, &bucket, "k").await;
}

#[tokio::test]
async fn counters_have_a_sign_and_cursors_are_text() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance, "");
    for number in 0..1001 {
        put(&instance.store, &format!("{number:04}"), "").await;
    }
    let mut host = instance.host();
    assert_eq!(host.increment(lend(&bucket), "n".to_owned(), -3).await.unwrap(), -3);
    let page = host.list_keys(lend(&bucket), None).await.unwrap();
    assert_eq!(page.keys.len(), 1000);
    let rest = host.list_keys(lend(&bucket), page.cursor).await.unwrap();
    assert_eq!((rest.keys, rest.cursor), (vec!["1000".to_owned(), "n".to_owned()], None));
}
