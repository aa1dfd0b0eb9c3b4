//! `wasi:keyvalue@0.2.0-draft` with values and errors as resources.

use super::*;
use crate::host::old::bindings::wasi::keyvalue::types::{
    HostBucket as _, HostIncomingValue as _, HostOutgoingValue as _,
};
use crate::host::old::bindings::wasi::keyvalue::wasi_keyvalue_error::HostError as _;
use crate::host::old::bindings::wasi::keyvalue::{atomic, eventual, eventual_batch};
use crate::host::{Bucket, IncomingValue, OutgoingValue, Trace};
use atomic::Host as _;
use bytes::Bytes;
use eventual::Host as _;
use eventual_batch::Host as _;
use wasmtime_wasi_io::streams::{DynOutputStream, StreamError};

type Answer<T> = wasmtime::Result<Result<T, Resource<Trace>>>;

fn open(instance: &mut Instance) -> Resource<Bucket> {
    instance.host().open_bucket(String::new()).unwrap().unwrap()
}

/// The words of an error.
fn trace<T>(instance: &mut Instance, answer: Answer<T>) -> String {
    let Err(error) = answer.unwrap() else { panic!("it should have failed") };
    instance.host().trace(error).unwrap()
}

fn empty(instance: &mut Instance) -> Resource<OutgoingValue> {
    instance.host().new_outgoing_value().unwrap()
}

async fn outgoing(instance: &mut Instance, body: &str) -> Resource<OutgoingValue> {
    let value = empty(instance);
    let body = body.as_bytes().to_vec();
    instance.host().outgoing_value_write_body_sync(lend(&value), body).await.unwrap().unwrap();
    value
}

fn streamed(instance: &mut Instance, value: &Resource<OutgoingValue>) -> Resource<DynOutputStream> {
    instance.host().outgoing_value_write_body_async(lend(value)).unwrap().unwrap()
}

async fn set(
    instance: &mut Instance,
    bucket: &Resource<Bucket>,
    value: &Resource<OutgoingValue>,
) -> Answer<()> {
    instance.host().set(lend(bucket), "k".to_owned(), lend(value)).await
}

async fn get(instance: &mut Instance, bucket: &Resource<Bucket>) -> Resource<IncomingValue> {
    let value = instance.host().get(lend(bucket), "k".to_owned()).await;
    value.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn a_body_goes_in_and_out_as_a_whole() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance);
    let value = outgoing(&mut instance, "hello").await;
    // The value is lent, so it can be stored again.
    for _ in 0..2 {
        set(&mut instance, &bucket, &value).await.unwrap().unwrap();
    }
    let value = get(&mut instance, &bucket).await;
    let size = instance.host().incoming_value_size(lend(&value)).unwrap();
    assert_eq!(size.unwrap(), 5);
    let body = instance.host().incoming_value_consume_sync(value).unwrap();
    assert_eq!(body.unwrap(), b"hello");
    let mut host = instance.host();
    assert!(host.exists(lend(&bucket), "k".to_owned()).await.unwrap().unwrap());
    host.delete(lend(&bucket), "k".to_owned()).await.unwrap().unwrap();
    assert!(host.get(bucket, "k".to_owned()).await.unwrap().unwrap().is_none());
}

#[tokio::test]
async fn a_body_goes_in_and_out_as_a_stream() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance);
    let value = empty(&mut instance);
    let stream = streamed(&mut instance, &value);
    let writer = instance.table.get_mut(&stream).unwrap();
    writer.blocking_write_and_flush(Bytes::from("hel")).await.unwrap();
    writer.blocking_write_and_flush(Bytes::from("lo")).await.unwrap();
    set(&mut instance, &bucket, &value).await.unwrap().unwrap();
    // What comes after the value was stored comes too late.
    let writer = instance.table.get_mut(&stream).unwrap();
    assert!(matches!(writer.check_write(), Err(StreamError::Closed)));
    assert!(matches!(writer.write(Bytes::from("!")), Err(StreamError::Closed)));
    assert_eq!(in_store(&instance.store, "k").await.unwrap(), b"hello");

    let value = get(&mut instance, &bucket).await;
    let stream = instance.host().incoming_value_consume_async(value).unwrap().unwrap();
    let reader = instance.table.get_mut(&stream).unwrap();
    assert_eq!(reader.blocking_read(2).await.unwrap(), "he");
    assert_eq!(reader.read(10).unwrap(), "llo");
    assert!(matches!(reader.read(10), Err(StreamError::Closed)));
}

#[tokio::test]
async fn a_value_has_one_body_and_is_not_stored_without() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance);
    let value = empty(&mut instance);
    let stored = set(&mut instance, &bucket, &value).await;
    assert!(trace(&mut instance, stored).contains("has no body"));
    let _stream = streamed(&mut instance, &value);
    let again = instance.host().outgoing_value_write_body_async(lend(&value));
    assert!(trace(&mut instance, again).contains("has a body already"));
    let again = instance.host().outgoing_value_write_body_sync(lend(&value), Vec::new()).await;
    assert!(trace(&mut instance, again).contains("has a body already"));
    // A stream to which nothing was written is an empty value.
    set(&mut instance, &bucket, &value).await.unwrap().unwrap();
    assert_eq!(in_store(&instance.store, "k").await.unwrap(), b"");
}

#[tokio::test]
async fn a_stream_takes_as_much_as_the_largest_value() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance);
    let most = instance.store.offer().max_value;
    let value = empty(&mut instance);
    let stream = streamed(&mut instance, &value);
    let writer = instance.table.get_mut(&stream).unwrap();
    writer.write(Bytes::from(vec![7; most])).unwrap();
    assert!(writer.check_write().is_ok());
    writer.flush().unwrap();
    let outcome = writer.write(Bytes::from("x"));
    assert!(matches!(outcome, Err(StreamError::LastOperationFailed(_))), "{outcome:?}");
    assert!(matches!(writer.write(Bytes::from("x")), Err(StreamError::Closed)));
    for _ in 0..2 {
        let stored = set(&mut instance, &bucket, &value).await;
        assert_eq!(trace(&mut instance, stored), "a value takes at most 16MiB");
    }
    assert_eq!(in_store(&instance.store, "k").await, None);
}

#[tokio::test]
async fn handles_to_values_hold_no_more_than_their_instance_may_have_the_host_keep() {
    let mut instance = Instance::with_memory(1000);
    let bucket = open(&mut instance);
    let value = outgoing(&mut instance, &"x".repeat(400)).await;
    set(&mut instance, &bucket, &value).await.unwrap().unwrap();
    let read = get(&mut instance, &bucket).await;
    let more = instance.host().get(lend(&bucket), "k".to_owned()).await;
    assert!(trace(&mut instance, more).contains("drop handles"));
    let more = instance.host().get_many(lend(&bucket), vec!["k".to_owned(); 2]).await;
    assert!(trace(&mut instance, more).contains("drop handles"));
    let other = empty(&mut instance);
    let stream = streamed(&mut instance, &other);
    let writer = instance.table.get_mut(&stream).unwrap();
    assert!(writer.write(Bytes::from(vec![0; 201])).is_err());
    instance.table.get_mut(&stream).unwrap().write(Bytes::from(vec![0; 200])).unwrap();
    // A stream goes on holding what its value held.
    let stream = instance.host().incoming_value_consume_async(read).unwrap().unwrap();
    let more = instance.host().get(lend(&bucket), "k".to_owned()).await;
    assert!(trace(&mut instance, more).contains("drop handles"));
    drop(instance.table.delete(stream).unwrap());
    let read = get(&mut instance, &bucket).await;
    instance.host().incoming_value_consume_sync(read).unwrap().unwrap();
    get(&mut instance, &bucket).await;
}

#[tokio::test]
async fn many_keys_are_answered_in_their_places() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance);
    let (one, two) = (outgoing(&mut instance, "1").await, outgoing(&mut instance, "2").await);
    let entries = [("a", &one), ("b", &two), ("c", &one)];
    let entries = entries.map(|(key, value)| (key.to_owned(), lend(value))).into();
    instance.host().set_many(lend(&bucket), entries).await.unwrap().unwrap();
    let keys = instance.host().keys(lend(&bucket)).await.unwrap();
    assert_eq!(keys.unwrap(), ["a", "b", "c"]);
    let asked = ["c", "absent", "b"].map(str::to_owned).to_vec();
    let values = instance.host().get_many(lend(&bucket), asked.clone()).await.unwrap().unwrap();
    let mut bodies = Vec::new();
    for value in values {
        bodies.push(match value {
            Some(value) => instance.host().incoming_value_consume_sync(value).unwrap().ok(),
            None => None,
        });
    }
    assert_eq!(bodies, [Some(b"1".to_vec()), None, Some(b"2".to_vec())]);
    instance.host().delete_many(lend(&bucket), asked).await.unwrap().unwrap();
    let keys = instance.host().keys(bucket).await.unwrap();
    assert_eq!(keys.unwrap(), ["a"]);
}

#[tokio::test]
async fn every_key_is_listed_or_the_answer_is_an_error() {
    let mut instance = Instance::with_memory(64 << 10);
    let bucket = open(&mut instance);
    let keys: Vec<String> = (0..1500).map(|number| format!("{number:05}")).collect();
    let entries = keys.iter().map(|key| (key.clone(), Bytes::new())).collect();
    instance.store.set_many(entries, &WriteOptions::default()).await.unwrap();
    let listed = instance.host().keys(lend(&bucket)).await.unwrap();
    assert_eq!(listed.unwrap(), keys);
    for number in 0..100 {
        put(&instance.store, &format!("{number}{}", "x".repeat(1000)), "").await;
    }
    let listed = instance.host().keys(bucket).await;
    assert!(trace(&mut instance, listed).contains("the answer takes over 64KiB"));
}

#[tokio::test]
async fn compare_and_swap_is_of_numbers_and_keeps_the_time_to_live() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance);
    let ttl = WriteOptions::living(Duration::from_secs(10));
    instance.store.set("n", Bytes::from("5"), &ttl).await.unwrap();
    put(&instance.store, "text", "five").await;
    let mut host = instance.host();
    let mut cas = async |key: &str, old, new| {
        host.compare_and_swap(lend(&bucket), key.into(), old, new).await
    };
    assert!(!cas("n", 4, 9).await.unwrap().unwrap());
    assert!(cas("n", 5, 9).await.unwrap().unwrap());
    assert!(cas("n", 9, 0).await.unwrap().unwrap());
    assert!(cas("n", 0, 0).await.unwrap().unwrap());
    assert!(!cas("absent", 0, 1).await.unwrap().unwrap());
    let (text, large) = (cas("text", 5, 6).await, cas("n", 0, u64::MAX).await);
    assert_eq!(trace(&mut instance, text), "the value is no number");
    assert!(trace(&mut instance, large).contains("is too large"));
    assert_eq!(in_store(&instance.store, "n").await.unwrap(), b"0");
    assert_eq!(in_store(&instance.store, "absent").await, None);
    instance.clock.advance(Duration::from_secs(10));
    assert_eq!(in_store(&instance.store, "n").await, None);
}

#[tokio::test]
async fn counters_are_those_of_the_other_drafts_and_errors_have_words() {
    let mut instance = Instance::new();
    let bucket = open(&mut instance);
    let sum = instance.host().increment(lend(&bucket), "n".to_owned(), 41).await.unwrap();
    assert_eq!(sum.unwrap(), 41);
    assert_eq!(in_store(&instance.store, "n").await.unwrap(), b"41");
    let refused = instance.host().increment(bucket, "n".to_owned(), u64::MAX).await;
    assert!(trace(&mut instance, refused).contains("is too large"));
    let unknown = instance.host().open_bucket("defualt".to_owned());
    let words = trace(&mut instance, unknown);
    assert_eq!(words, "no binding is named `defualt` (did you mean `default`?)");
    let denied = instance.host().open_bucket("orders".to_owned());
    assert!(trace(&mut instance, denied).contains("not granted"));
}
