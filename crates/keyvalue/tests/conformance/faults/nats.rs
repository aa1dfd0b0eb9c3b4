//! What only NATS does: JetStream that is off, buckets of other clients, marks, clusters.

mod cluster;

use super::{PLAIN, bound, healed, impatient, next, open, put};
use crate::trial;
use async_nats::jetstream::{self, stream};
use base::Kind;
use base::offer::Ttl;
use bytes::Bytes;
use futures::StreamExt as _;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::proxy::Proxy;
use testkit::servers::{Server, VENDORS, nats_tls, nats_with};
use wharf_keyvalue::{Change, ListOptions, WatchOptions};

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("faults::nats::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::nats::a_server_without_jetstream_is_told", no_jetstream()),
        trial("faults::nats::a_server_without_tls_is_told", no_tls()),
        trial("faults::nats::certificates_are_checked_on_both_sides", tls()),
        trial("faults::nats::a_bucket_made_otherwise_is_refused", other_bucket()),
        trial("faults::nats::other_clients_see_the_same_bucket", other_clients()),
        trial("faults::nats::a_full_stream_refuses_and_keeps_what_it_has", full()),
        trial("faults::nats::nothing_is_sent_after_its_caller_was_told", late()),
        trial("faults::nats::marks_of_deleted_keys_are_swept", marks()),
        trial("faults::nats::watchers_that_come_back_miss_nothing_in_silence", resumed()),
        trial("faults::nats::destroying_leaves_nothing_behind", destroyed()),
    ];
    trials.extend(cluster::trials());
    trials
}

/// A client of its own.
async fn raw(server: &Server) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

async fn wrong_password() {
    for arguments in
        [["--user", "u", "--pass", "open sesame"], ["--auth", "open sesame", "-m", "-1"]]
    {
        let server = nats_with(&[&["-js"][..], &arguments[..]].concat());
        let address = server.address();
        let urls = [
            format!("nats://u:hunter2@{address}"),
            format!("nats://hunter2@{address}"),
            server.url(),
        ];
        for url in urls {
            let error = open(&url).await.err().unwrap();
            assert_eq!(error.kind(), Kind::Denied, "{error}");
            let words = format!("{error} {:?}", error.hint());
            assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
        }
        let user = if arguments[0] == "--user" { "u:" } else { "" };
        let store = open(&format!("nats://{user}open%20sesame@{address}")).await.unwrap();
        put(&store, "key").await.unwrap();
    }
    let server = nats_with(&["-js"]);
    let line = format!("{{ url = '{}', credentials = 'none.creds' }}", server.url());
    let error = bound(&line).await.err().unwrap();
    assert!(error.to_string().contains("none.creds"), "{error}");
}

async fn no_jetstream() {
    let server = nats_with(&[]);
    let error = open(&server.url()).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.to_string().contains("without JetStream"), "{error}");
    assert!(error.hint().unwrap().contains("-js"), "{error}");
}

async fn no_tls() {
    let server = nats_with(&["-js"]);
    let error = open(&format!("tls://{}", server.address())).await.err().unwrap();
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().unwrap().contains("does not speak TLS"), "{error}");
}

async fn tls() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let server = nats_tls(&ours);
    let address = server.address();
    let path = |path: &std::path::Path| path.display().to_string();
    let with = async |ca: &Certificates, client: &Certificates| {
        let (ca, certificate, key) = (path(&ca.ca), path(&client.client), path(&client.client_key));
        bound(&format!(
            "{{ url = 'tls://{address}', timeout = '2s', ca = '{ca}', \
             certificate = '{certificate}', key = '{key}' }}"
        ))
        .await
    };
    put(&with(&ours, &ours).await.unwrap(), "key").await.unwrap();
    let untrusted = with(&others, &ours).await.err().unwrap();
    assert_eq!(untrusted.kind(), Kind::Invalid, "{untrusted}");
    assert!(untrusted.hint().unwrap().contains("`ca"), "{untrusted}");
    // One that wants TLS gets it, though the URL says nothing of it.
    let system = open(&server.url()).await.err().unwrap();
    assert!(system.to_string().contains("certificate"), "{system}");
    let stranger = with(&ours, &others).await.err().unwrap();
    assert!(stranger.to_string().contains(&address.to_string()), "{stranger}");
}

async fn other_bucket() {
    let server = nats_with(&["-js"]);
    let theirs = raw(&server).await;
    let make = async |name: &str, change: fn(&mut stream::Config)| {
        let mut config = stream::Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 5,
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            allow_direct: true,
            num_replicas: 1,
            ..stream::Config::default()
        };
        change(&mut config);
        theirs.create_stream(config).await.unwrap();
        bound(&format!("{{ url = '{}', bucket = '{name}' }}", server.url())).await
    };
    // History and direct reads do no harm.
    put(&make("plain", |_| {}).await.unwrap(), "key").await.unwrap();
    for (name, word, refused) in [
        ("short", "max_age", make("short", |it| it.max_age = Duration::from_secs(60)).await),
        ("fast", "storage", make("fast", |it| it.storage = stream::StorageType::Memory).await),
        ("wide", "subjects", make("wide", |it| it.subjects = vec!["wide.>".to_owned()]).await),
        (
            "lossy",
            "discard",
            make("lossy", |it| {
                it.max_bytes = 1 << 20;
                it.discard = stream::DiscardPolicy::Old;
            })
            .await,
        ),
    ] {
        let error = refused.err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        let words = error.to_string();
        assert!(words.contains(word) && words.contains(&format!("KV_{name}")), "{words}");
    }
    let url = server.url();
    let alone = bound(&format!("{{ url = '{url}', replicas = 3 }}")).await.err().unwrap();
    assert!(alone.hint().unwrap().contains("replicas"), "{alone}");
}

async fn other_clients() {
    let server = nats_with(&["-js"]);
    let store = bound(&format!("{{ url = '{}', bucket = 'shared' }}", server.url())).await.unwrap();
    let theirs = raw(&server).await.get_key_value("shared").await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&store, "a.b/c").await.unwrap();
    put(&store, "user:1").await.unwrap();
    assert_eq!(theirs.get("a.b/c").await.unwrap().as_deref(), Some(&b"x"[..]));
    assert_eq!(theirs.get("=user=3A1").await.unwrap().as_deref(), Some(&b"x"[..]));
    theirs.put("theirs", "1".into()).await.unwrap();
    theirs.put("=odd", "1".into()).await.unwrap();
    theirs.purge("a.b/c").await.unwrap();
    assert_eq!(store.increment("theirs", 1, &PLAIN).await.unwrap(), 2);
    assert_eq!(theirs.get("theirs").await.unwrap().as_deref(), Some(&b"2"[..]));
    assert!(!store.exists("a.b/c").await.unwrap());
    store.delete("theirs", &PLAIN).await.unwrap();
    assert_eq!(theirs.get("theirs").await.unwrap(), None);
    theirs.create("theirs", "3".into()).await.unwrap();
    let listed = store.list(&ListOptions::default()).await.unwrap().keys;
    assert_eq!(listed, ["theirs", "user:1"]);
    let mut told = Vec::new();
    while told.len() < 7 {
        told.push(match next(&mut changes).await {
            Change::Set { key, .. } => format!("+{key}"),
            Change::Delete { key, .. } => format!("-{key}"),
            Change::Missed { .. } => "missed".to_owned(),
        });
    }
    let all = ["+a.b/c", "+user:1", "+theirs", "-a.b/c", "+theirs", "-theirs", "+theirs"];
    assert_eq!(told, all);
}

async fn full() {
    let server = nats_with(&["-js"]);
    let config = stream::Config {
        name: "KV_small".to_owned(),
        subjects: vec!["$KV.small.>".to_owned()],
        max_messages_per_subject: 1,
        max_bytes: 1 << 20,
        discard: stream::DiscardPolicy::New,
        num_replicas: 1,
        ..stream::Config::default()
    };
    raw(&server).await.create_stream(config).await.unwrap();
    let store = bound(&format!("{{ url = '{}', bucket = 'small' }}", server.url())).await.unwrap();
    put(&store, "before").await.unwrap();
    let big = Bytes::from(vec![7; 300 << 10]);
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

/// The library keeps what is published while it is disconnected; none of it may arrive.
async fn late() {
    let vendor = VENDORS.iter().find(|vendor| vendor.name == "nats").unwrap();
    let server = nats_with(&["-js"]);
    let proxy = Proxy::start(server.address()).await;
    let store = impatient(vendor, proxy.address()).await;
    let direct = impatient(vendor, server.address()).await;
    for round in 0..5 {
        healed(&store).await;
        proxy.change(|weather| weather.refused = true);
        proxy.cut();
        // Those that were begun before the loss was noticed may be on their way; they say so.
        let writes = (0..50).map(|number| {
            let (store, key) = (Arc::clone(&store), format!("late {round} {number}"));
            async move {
                tokio::time::sleep(Duration::from_millis(number)).await;
                (put(&store, &key).await.is_err(), key)
            }
        });
        let told = futures::future::join_all(writes).await;
        let mut before = Vec::new();
        for (_, key) in &told {
            before.push(direct.exists(key).await.unwrap());
        }
        proxy.change(|weather| weather.refused = false);
        healed(&store).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        for ((failed, key), before) in told.iter().zip(before) {
            assert!(*failed, "{key} was acknowledged while the server was away");
            assert_eq!(direct.exists(key).await.unwrap(), before, "{key} came late");
        }
    }
}

async fn marks() {
    let server = nats_with(&["-js"]);
    let settings = format!("{{ url = '{}', bucket = 'b', keep-deleted = '1s' }}", server.url());
    let store = bound(&settings).await.unwrap();
    assert_eq!(store.offer().levels.ttl, Ttl::None);
    for number in 0..50 {
        let key = format!("key {number}");
        put(&store, &key).await.unwrap();
        store.delete(&key, &PLAIN).await.unwrap();
    }
    put(&store, "stays").await.unwrap();
    put(&store, "again").await.unwrap();
    store.delete("again", &PLAIN).await.unwrap();
    put(&store, "again").await.unwrap();
    let mut theirs = raw(&server).await.get_stream("KV_b").await.unwrap();
    let begun = Instant::now();
    loop {
        let left = theirs.info().await.unwrap().state.messages;
        if left == 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{left} messages are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.list(&ListOptions::default()).await.unwrap().keys, ["again", "stays"]);
    let absent = wharf_keyvalue::WriteOptions::expecting(wharf_keyvalue::Expect::Absent);
    store.set("key 1", Bytes::new(), &absent).await.unwrap();
    // The last message is a mark, and stays; an index that is made now sees the end all the same.
    store.delete("key 1", &PLAIN).await.unwrap();
    let other = bound(&settings).await.unwrap();
    assert_eq!(other.list(&ListOptions::default()).await.unwrap().keys, ["again", "stays"]);
    // Purging everything is told to nobody, so what follows the stream has to find out.
    theirs.purge().await.unwrap();
    let empty = bound(&settings).await.unwrap();
    assert_eq!(empty.list(&ListOptions::default()).await.unwrap().keys, Vec::<String>::new());
}

async fn resumed() {
    let server = nats_with(&["-js"]);
    let settings = format!("{{ url = '{}', bucket = 'b', keep-deleted = '4s' }}", server.url());
    let store = bound(&settings).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&store, "a").await.unwrap();
    let seen = next(&mut changes).await.position();
    drop(changes);
    let from = |position| WatchOptions { from: Some(position), ..WatchOptions::default() };
    for number in 0..1000 {
        put(&store, &format!("b {number}")).await.unwrap();
    }
    // What came meanwhile, then what comes now, once each and in order.
    let mut changes = store.watch(&from(seen)).await.unwrap();
    for number in 1000..1100 {
        put(&store, &format!("b {number}")).await.unwrap();
    }
    for number in 0..1100 {
        let wanted = format!("b {number}");
        let change = next(&mut changes).await;
        assert!(matches!(&change, Change::Set { key, .. } if *key == wanted), "{change:?}");
    }
    // Later than half of the time for which marks are kept.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    put(&store, "c").await.unwrap();
    let mut late = store.watch(&from(seen)).await.unwrap();
    assert!(matches!(next(&mut late).await, Change::Missed { .. }));
    put(&store, "d").await.unwrap();
    assert!(matches!(next(&mut late).await, Change::Set { key, .. } if key == "d"));
    // Many watchers share one consumer.
    let mut watchers = Vec::new();
    for _ in 0..100 {
        watchers.push(store.watch(&WatchOptions::default()).await.unwrap());
    }
    put(&store, "e").await.unwrap();
    for changes in &mut watchers {
        assert!(matches!(next(changes).await, Change::Set { key, .. } if key == "e"));
    }
    let mut theirs = raw(&server).await.get_stream("KV_b").await.unwrap();
    let consumers = theirs.info().await.unwrap().state.consumer_count;
    assert!(consumers <= 4, "{consumers} consumers");
}

async fn destroyed() {
    let server = nats_with(&["-js"]);
    let store = open(&server.url()).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&store, "key").await.unwrap();
    next(&mut changes).await;
    assert_eq!(store.list(&ListOptions::default()).await.unwrap().keys, ["key"]);
    let theirs = raw(&server).await;
    assert_eq!(theirs.stream_names().count().await, 1);
    store.destroy().await.unwrap();
    assert_eq!(theirs.stream_names().count().await, 0);
    let error = put(&store, "late").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    drop((changes, store));
    assert_eq!(theirs.stream_names().count().await, 0);
}
