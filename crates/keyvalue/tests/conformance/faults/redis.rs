//! What only Redis does: memory that is full, replicas, shards.

use super::{PLAIN, bound, open, put};
use crate::trial;
use base::Kind;
use bytes::Bytes;
use libtest_mimic::Trial;
use testkit::servers::redis_with;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::redis::a_full_server_refuses_and_keeps_what_it_has", full()),
        trial("faults::redis::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::redis::a_server_without_tls_is_told", no_tls()),
        trial("faults::redis::a_replica_is_refused_with_what_to_do", replica()),
        trial("faults::redis::shards_never_change", shards()),
    ]
}

async fn full() {
    let server = redis_with(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let store = open(&server.url()).await.unwrap();
    put(&store, "before").await.unwrap();
    let big = Bytes::from(vec![7; 1 << 20]);
    let mut refused = None;
    for number in 0..8 {
        if let Err(error) = store.set(&format!("big {number}"), big.clone(), &PLAIN).await {
            refused = Some(error);
        }
    }
    let refused = refused.expect("there is no room for all of it");
    assert_eq!(refused.kind(), Kind::Exhausted, "{refused}");
    assert!(store.exists("before").await.unwrap());
}

async fn wrong_password() {
    let server = redis_with(&["--requirepass", "open sesame"]);
    let address = server.address();
    for url in [format!("redis://:hunter2@{address}"), format!("redis://{address}")] {
        let error = open(&url).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = error.to_string();
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    let store = open(&format!("redis://:open%20sesame@{address}")).await.unwrap();
    put(&store, "key").await.unwrap();
    let error = open(&format!("redis://:open%20sesame@{address}/99")).await.err().unwrap();
    assert!(error.to_string().contains("out of range"), "{error}");
}

async fn no_tls() {
    let server = redis_with(&[]);
    let error = open(&format!("rediss://{}", server.address())).await.err().unwrap();
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
}

async fn replica() {
    let master = redis_with(&[]);
    let port = master.address().port().to_string();
    let replica = redis_with(&["--replicaof", "127.0.0.1", &port]);
    let error = open(&replica.url()).await.err().unwrap();
    assert!(error.to_string().contains("read-only replica"), "{error}");
    assert!(error.hint().unwrap().contains("master"), "{error}");
}

async fn shards() {
    let server = redis_with(&[]);
    let with = async |shards: u16| {
        bound(&format!("{{ url = '{}', shards = {shards} }}", server.url())).await
    };
    let store = with(4).await.unwrap();
    for number in 0..100 {
        put(&store, &format!("{number:03}")).await.unwrap();
    }
    let mut options =
        wharf_keyvalue::ListOptions { limit: 7, ..wharf_keyvalue::ListOptions::default() };
    let mut keys = Vec::new();
    loop {
        let page = store.list(&options).await.unwrap();
        keys.extend(page.keys);
        options.after = page.next;
        if options.after.is_none() {
            break;
        }
    }
    assert_eq!(keys, (0..100).map(|number| format!("{number:03}")).collect::<Vec<_>>());
    let error = with(8).await.err().unwrap();
    assert!(error.to_string().contains("spread over 4 shards, not 8"), "{error}");
    with(4).await.unwrap();
}
