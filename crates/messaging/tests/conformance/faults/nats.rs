//! What only NATS does: JetStream that is off, streams of other programs, clusters.

use super::{PLAIN, bound, hosts, next, nothing, of_group, publish, text, trial};
use async_nats::jetstream::{self, stream};
use base::{Kind, Place};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::servers::{NatsCluster, Server, nats_tls, nats_with};
use wharf_messaging::promises::PROMISES;
use wharf_messaging::{BACKENDS, Filter, Message, Position, Start, Subscription};

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("faults::nats::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::nats::a_server_without_jetstream_is_told", no_jetstream()),
        trial("faults::nats::certificates_are_checked_on_both_sides", tls()),
        trial("faults::nats::a_stream_made_otherwise_is_refused", other_stream()),
        trial("faults::nats::other_programs_share_a_stream", other_programs()),
        trial("faults::nats::a_full_stream_makes_room_of_what_is_done_with", full()),
        trial("faults::nats::what_every_group_is_done_with_is_swept", swept()),
        trial("faults::nats::who_is_alone_goes_on_without_its_consumer", alone_again()),
        trial("faults::nats::destroying_leaves_nothing_behind", destroyed()),
        trial("faults::nats::a_leader_that_crashes_loses_nothing", leader()),
    ];
    trials.extend(hosts::trials("nats"));
    trials.extend(testkit::conformance::trials_with("nats-cluster", PROMISES, |place| {
        let settings = NatsCluster::shared().settings();
        let place = Place { capability: "messaging", ..place };
        async move { base::backend::open_line(BACKENDS, &format!("{{ {settings} }}"), place).await }
            .boxed()
    }));
    trials
}

/// A client of its own.
async fn raw(server: &Server) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

fn alone(topics: &[&str]) -> Subscription {
    Subscription { group: None, ..of_group("", topics) }
}

async fn wrong_password() {
    let server = nats_with(&["-js", "--user", "u", "--pass", "open sesame"]);
    let address = server.address();
    for url in [format!("nats://u:hunter2@{address}"), server.url()] {
        let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = format!("{error} {:?}", error.hint());
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    bound(&format!("{{ url = 'nats://u:open%20sesame@{address}' }}")).await.unwrap();
}

async fn no_jetstream() {
    let server = nats_with(&[]);
    let error = bound(&format!("{{ url = '{}' }}", server.url())).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("-js")), "{error}");
}

async fn tls() {
    let certificates = Certificates::new();
    let server = nats_tls(&certificates);
    let url = format!("tls://{}", server.address());
    let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let (ca, certificate, key) = (&certificates.ca, &certificates.client, &certificates.client_key);
    let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
    let settings =
        format!("{{ url = '{url}', ca = '{ca}', certificate = '{certificate}', key = '{key}' }}");
    publish(&bound(&settings).await.unwrap(), "a", "1").await.unwrap();
}

async fn other_stream() {
    let server = nats_with(&["-js"]);
    let theirs = raw(&server).await;
    let plain = || stream::Config {
        name: "S".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        num_replicas: 1,
        ..stream::Config::default()
    };
    let configs = [
        (stream::Config { max_age: Duration::from_secs(60), ..plain() }, "max_age"),
        (stream::Config { max_bytes: 1 << 20, ..plain() }, "discard"),
        (stream::Config { max_messages_per_subject: 1, ..plain() }, "max_msgs_per_subject"),
        (stream::Config { storage: stream::StorageType::Memory, ..plain() }, "storage"),
        (stream::Config { subjects: vec!["orders.*".to_owned()], ..plain() }, "subjects"),
        (stream::Config { retention: stream::RetentionPolicy::Interest, ..plain() }, "retention"),
    ];
    let url = server.url();
    for (config, word) in configs {
        theirs.create_stream(config).await.unwrap();
        let settings = format!("{{ url = '{url}', stream = 'S', prefix = 'orders' }}");
        let error = bound(&settings).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        theirs.delete_stream("S").await.unwrap();
    }
    // The subjects are those of another stream.
    theirs.create_stream(plain()).await.unwrap();
    let settings = format!("{{ url = '{url}', prefix = 'orders' }}");
    let error = bound(&settings).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("`stream`")), "{error}");
}

async fn other_programs() {
    let server = nats_with(&["-js"]);
    let theirs = raw(&server).await;
    let config = stream::Config {
        name: "S".to_owned(),
        subjects: vec!["orders.>".to_owned(), "bills.>".to_owned()],
        num_replicas: 1,
        duplicate_window: Duration::from_secs(1),
        ..stream::Config::default()
    };
    theirs.create_stream(config).await.unwrap();
    let settings = format!("{{ url = '{}', stream = 'S', prefix = 'orders' }}", server.url());
    let broker = bound(&settings).await.unwrap();
    assert_eq!(broker.offer().levels.dedup, base::offer::Dedup::None);
    let subscriber = broker.subscribe(&of_group("g", &[">"])).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.append("x", "1");
    headers.append("x", "2");
    let sent = theirs.publish_with_headers("orders.new", headers, "theirs".into()).await.unwrap();
    sent.await.unwrap();
    theirs.publish("bills.new", "not ours".into()).await.unwrap().await.unwrap();
    let delivery = next(&*subscriber).await;
    assert_eq!(delivery.topic, "new");
    assert_eq!(delivery.message.data, "theirs");
    let wanted = [("x", "1"), ("x", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(delivery.message.headers, wanted);
    delivery.ack().await.unwrap();
    nothing(&*subscriber).await;
    let message = Message {
        content_type: Some("text/plain".to_owned()),
        headers: vec![("b".to_owned(), "é".to_owned()), ("a".to_owned(), "2".to_owned())],
        ..Message::new("ours")
    };
    broker.publish("new", message, &PLAIN).await.unwrap();
    let theirs = theirs.get_stream("S").await.unwrap();
    let last = theirs.get_last_raw_message_by_subject("orders.new").await.unwrap();
    assert_eq!(last.payload, "ours");
    for (name, value) in [("Content-Type", "text/plain"), ("b", "é"), ("a", "2")] {
        assert_eq!(last.headers.get(name).map(|value| value.as_str()), Some(value));
    }
    // Somebody else's consumer is no group.
    let push = jetstream::consumer::push::Config {
        durable_name: Some("pushed".to_owned()),
        deliver_subject: "there".to_owned(),
        ..Default::default()
    };
    theirs.create_consumer(push).await.unwrap();
    let error = broker.subscribe(&of_group("pushed", &["new"])).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}

/// A stream with little room, whose ids are known for a second.
async fn small(server: &Server) {
    let config = stream::Config {
        name: "small".to_owned(),
        subjects: vec!["small.>".to_owned()],
        max_bytes: 1 << 20,
        discard: stream::DiscardPolicy::New,
        duplicate_window: Duration::from_secs(1),
        num_replicas: 1,
        ..stream::Config::default()
    };
    raw(server).await.create_stream(config).await.unwrap();
}

async fn full() {
    let server = nats_with(&["-js"]);
    small(&server).await;
    let settings =
        format!("url = '{}', stream = 'small', prefix = 'small', max-age = '1h'", server.url());
    let broker = bound(&format!("{{ {settings} }}")).await.unwrap();
    let slow = broker.subscribe(&of_group("slow", &["a"])).await.unwrap();
    let quick = broker.subscribe(&of_group("quick", &["a"])).await.unwrap();
    let big = || Message::new(Bytes::from(vec![7; 300 << 10]));
    let mut sent = 0;
    let full = loop {
        match broker.publish("a", big(), &PLAIN).await {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(sent, 3);
    assert_eq!(full.kind(), Kind::Exhausted, "{full}");
    for _ in 0..sent {
        next(&*quick).await.ack().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let full = broker.publish("a", big(), &PLAIN).await.unwrap_err();
    assert_eq!(full.kind(), Kind::Exhausted, "{full}");
    assert!(full.hint().is_some_and(|hint| hint.contains("`slow`")), "{:?}", full.hint());
    // What was confirmed is all there; when it is done with there is room.
    let mut held = Vec::new();
    for _ in 0..sent {
        held.push(next(&*slow).await);
    }
    assert!(held.iter().all(|delivery| delivery.attempt == 1), "{held:?}");
    drop(held);
    for _ in 0..sent {
        next(&*slow).await.ack().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    broker.publish("a", big(), &PLAIN).await.unwrap();
    // Another `max-size` is given to the stream that is there.
    drop(bound(&format!("{{ {settings}, max-size = '3MiB' }}")).await.unwrap());
    for _ in 0..6 {
        broker.publish("a", big(), &PLAIN).await.unwrap();
    }
}

async fn swept() {
    let server = nats_with(&["-js"]);
    small(&server).await;
    let settings =
        format!("url = '{}', stream = 'small', prefix = 'small', max-age = '1s'", server.url());
    let broker = bound(&format!("{{ {settings} }}")).await.unwrap();
    let slow = broker.subscribe(&of_group("slow", &["a"])).await.unwrap();
    let quick = broker.subscribe(&of_group("quick", &["a", "b.c"])).await.unwrap();
    for number in 0..20 {
        publish(&broker, "a", &number.to_string()).await.unwrap();
    }
    for number in 0..20 {
        assert_eq!(text(&*quick).await, number.to_string());
    }
    for number in 0..10 {
        assert_eq!(text(&*slow).await, number.to_string());
    }
    let mut theirs = raw(&server).await.get_stream("small").await.unwrap();
    let begun = Instant::now();
    while theirs.info().await.unwrap().state.first_sequence < 11 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is swept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What a group waits for stays, however old.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(theirs.info().await.unwrap().state.first_sequence, 11);
    for number in 10..20 {
        assert_eq!(text(&*slow).await, number.to_string());
    }
    while theirs.info().await.unwrap().state.messages > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "not all is swept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(theirs.info().await.unwrap().state.consumer_count, 2);
}

async fn alone_again() {
    let server = nats_with(&["-js"]);
    let broker = bound(&format!("{{ url = '{}' }}", server.url())).await.unwrap();
    let subscriber = broker.subscribe(&alone(&["a.*"])).await.unwrap();
    for number in 0..4 {
        publish(&broker, "a.b", &number.to_string()).await.unwrap();
    }
    assert_eq!(text(&*subscriber).await, "0");
    let held = next(&*subscriber).await;
    let theirs = raw(&server).await.get_stream("wharf_app_default").await.unwrap();
    let consumers: Vec<_> = theirs.consumer_names().collect().await;
    assert_eq!(consumers.len(), 1);
    theirs.delete_consumer(consumers[0].as_ref().unwrap()).await.unwrap();
    // What was not settled comes again, with all behind it.
    let mut left = BTreeSet::from(["1", "2", "3"].map(str::to_owned));
    while !left.is_empty() {
        left.remove(&text(&*subscriber).await);
    }
    drop(held);
    subscriber.close().await;
    assert_eq!(theirs.consumer_names().count().await, 0);
}

async fn destroyed() {
    let server = nats_with(&["-js"]);
    let broker = bound(&format!("{{ url = '{}' }}", server.url())).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    let position = broker.publish("a", Message::new("2"), &PLAIN).await.unwrap().position.unwrap();
    let theirs = raw(&server).await;
    assert_eq!(theirs.stream_names().count().await, 1);
    broker.destroy().await.unwrap();
    broker.destroy().await.unwrap();
    assert_eq!(theirs.stream_names().count().await, 0);
    let error = publish(&broker, "a", "late").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    drop((subscriber, broker));
    assert_eq!(theirs.stream_names().count().await, 0);
    // A stream of the same name that is made later is another one.
    let broker = bound(&format!("{{ url = '{}' }}", server.url())).await.unwrap();
    for _ in 0..3 {
        publish(&broker, "a", "3").await.unwrap();
    }
    let from = |position: Position| Subscription {
        start: Start::After(position),
        ..Subscription::new(vec![Filter::parse("a").unwrap()])
    };
    let error = broker.subscribe(&from(position)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}

async fn leader() {
    let mut cluster = NatsCluster::start();
    let settings = format!("{{ {}, timeout = '2s' }}", cluster.settings());
    let broker = bound(&settings).await.unwrap();
    assert_eq!(broker.offer().levels.durability, base::offer::Durability::Replicated);
    let (kept, is_kept) = tokio::sync::oneshot::channel();
    let harm = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let index = cluster.leader("wharf_app_default");
            cluster.nodes[index].crash();
            tokio::time::sleep(Duration::from_secs(3)).await;
            cluster.again(index);
        }
        drop(kept.send(cluster));
    };
    super::loses_nothing("a leader that crashes", &broker, harm).await;
    drop(is_kept.await);
}
