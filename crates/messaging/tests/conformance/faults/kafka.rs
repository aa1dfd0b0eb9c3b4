//! What only Kafka does: topics of other programs, hosts that share the parts of a topic, servers
//! that lose what they confirmed.

mod hosts;

use super::{PATIENCE, PLAIN, bound, content, next, nothing, of_group, publish, text, trial};
use base::Kind;
use connect::kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use connect::kafka::rdkafka::client::DefaultClientContext;
use connect::kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use connect::kafka::rdkafka::message::{Header, Headers as _, OwnedHeaders};
use connect::kafka::rdkafka::producer::{FutureProducer, FutureRecord};
use connect::kafka::rdkafka::{ClientConfig, Message as _};
use futures::FutureExt as _;
use libtest_mimic::Trial;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::servers::{BROKERS, Server, Vendor, kafka_that_forgets, kafka_with, memcached_tls};
use wharf_messaging::{Filter, Message, Position, Start, Subscription};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::kafka::a_server_that_wants_tls_is_told", tls()),
        trial("faults::kafka::a_topic_that_forgets_is_refused", forgetful()),
        trial("faults::kafka::other_programs_share_a_topic", other_programs()),
        trial(
            "faults::kafka::hosts_with_other_topics_agree_on_those_of_the_group",
            hosts::new_topics(),
        ),
        trial(
            "faults::kafka::hosts_share_a_group_and_keep_the_order_of_keys",
            hosts::hosts().boxed(),
        ),
        trial("faults::kafka::the_next_host_knows_what_the_last_one_did", hosts::handed_over()),
        trial("faults::kafka::one_that_waits_holds_up_no_offset_for_ever", hosts::waits()),
        trial("faults::kafka::a_group_that_another_host_forgot_is_told", hosts::forgotten()),
        trial("faults::kafka::what_every_group_is_done_with_is_swept", swept()),
        trial("faults::kafka::a_server_that_lost_what_it_confirmed_is_used_again", lost()),
        trial("faults::kafka::destroying_leaves_nothing_behind", destroyed()),
        trial("faults::kafka::a_position_beyond_the_end_is_refused", beyond()),
        trial("faults::kafka::many_in_flight_go_together", together()),
    ]
}

fn vendor() -> &'static Vendor {
    BROKERS.iter().find(|vendor| vendor.name == "kafka").unwrap()
}

/// The settings of a client of its own.
fn raw(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.address().to_string());
    config
}

async fn make(server: &Server, topic: &str, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = raw(server).create().unwrap();
    let new = NewTopic::new(topic, 2, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
    let made = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
    made.into_iter().next().unwrap().unwrap();
}

fn line(server: &Server) -> String {
    format!("{{ url = '{}' }}", server.url())
}

async fn tls() {
    let certificates = Certificates::new();
    let server = memcached_tls(&certificates, &[], &[]);
    let url = format!("kafka://{}", server.address());
    let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("wants TLS"), "{error}");
}

async fn forgetful() {
    let server = kafka_with();
    let url = server.url();
    make(&server, "compacted", &[("cleanup.policy", "compact"), ("retention.ms", "-1")]).await;
    make(&server, "short", &[("retention.ms", "60000")]).await;
    make(&server, "small", &[("retention.ms", "-1"), ("retention.bytes", "1000000")]).await;
    for (topic, word) in
        [("compacted", "cleanup.policy"), ("short", "retention.ms"), ("small", "retention.bytes")]
    {
        let error = bound(&format!("{{ url = '{url}', topic = '{topic}' }}")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let allowed = format!("{{ url = '{url}', topic = 'short', may-forget = true }}");
    publish(&bound(&allowed).await.unwrap(), "a", "1").await.unwrap();
    let refused = format!("{{ url = '{url}', topic = 'compacted', may-forget = true }}");
    assert_eq!(bound(&refused).await.err().unwrap().kind(), Kind::Invalid);
}

async fn other_programs() {
    let server = kafka_with();
    make(&server, "orders", &[("retention.ms", "-1")]).await;
    let settings = format!("{{ url = '{}', topic = 'orders' }}", server.url());
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["orders", "new"])).await.unwrap();
    let producer: FutureProducer = raw(&server).create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "x", value: Some("1") })
        .insert(Header { key: "content-type", value: Some("text/plain") });
    let record = FutureRecord::to("orders").key("k").payload("theirs").headers(headers);
    producer.send(record, Duration::from_secs(5)).await.unwrap();
    let delivery = next(&*subscriber).await;
    assert_eq!((delivery.topic.as_str(), content(&delivery).as_str()), ("orders", "theirs"));
    assert_eq!(delivery.message.key.as_deref(), Some("k"));
    assert_eq!(delivery.message.content_type.as_deref(), Some("text/plain"));
    assert_eq!(delivery.message.headers, [("x".to_owned(), "1".to_owned())]);
    delivery.ack().await.unwrap();
    // And they read ours.
    let message = Message {
        key: Some("k".to_owned()),
        headers: vec![("y".to_owned(), "2".to_owned())],
        ..Message::new("ours")
    };
    broker.publish("new", message, &PLAIN).await.unwrap();
    assert_eq!(text(&*subscriber).await, "ours");
    let read = tokio::task::spawn_blocking(move || {
        let mut config = raw(&server);
        config.set("group.id", "theirs").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&["orders"]).unwrap();
        let begun = Instant::now();
        let mut read = BTreeMap::new();
        while read.len() < 2 && begun.elapsed() < PATIENCE {
            let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let headers = record.headers().unwrap();
            let names: Vec<String> = headers.iter().map(|header| header.key.to_owned()).collect();
            let text = String::from_utf8_lossy(record.payload().unwrap()).into_owned();
            assert_eq!(record.key(), Some(&b"k"[..]));
            read.insert(text, names);
        }
        read
    });
    let read = read.await.unwrap();
    assert_eq!(read["ours"], ["wharf-topic", "y"]);
}

/// Where the parts of the binding's topic begin and end, summed up.
async fn marks(server: &Server) -> (i64, i64) {
    let config = raw(server);
    let ask = move || {
        let consumer: BaseConsumer = config.create().unwrap();
        let mut sum = (0, 0);
        for partition in 0..8 {
            let wait = Duration::from_secs(5);
            let found = consumer.fetch_watermarks("wharf.app.default", partition, wait);
            let (low, high) = found.unwrap();
            sum = (sum.0 + low, sum.1 + high);
        }
        sum
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

async fn swept() {
    let server = kafka_with();
    let settings = format!("{{ url = '{}', max-age = '1s' }}", server.url());
    let broker = bound(&settings).await.unwrap();
    let slow = broker.subscribe(&of_group("slow", &["a"])).await.unwrap();
    let quick = broker.subscribe(&of_group("quick", &["a"])).await.unwrap();
    for number in 0..20 {
        publish(&broker, "a", &number.to_string()).await.unwrap();
    }
    for number in 0..20 {
        assert_eq!(text(&*quick).await, number.to_string());
    }
    for number in 0..10 {
        assert_eq!(text(&*slow).await, number.to_string());
    }
    let begun = Instant::now();
    while marks(&server).await.0 < 10 {
        assert!(begun.elapsed() < PATIENCE, "nothing is swept");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What a group waits for stays, however old.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(marks(&server).await, (10, 20));
    for number in 10..20 {
        assert_eq!(text(&*slow).await, number.to_string());
    }
    while marks(&server).await.0 < 20 {
        assert!(begun.elapsed() < 2 * PATIENCE, "not all is swept");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A server that loses its power may lose what it confirmed a moment before. What is confirmed
/// after that is handled all the same.
async fn lost() {
    let mut server = kafka_with();
    let broker = super::impatient(vendor(), server.address()).await;
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    for round in 0..3 {
        // Some that it has written down, and some that it has not.
        publish(&broker, "a", &format!("kept {round}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for number in 0..50 {
            publish(&broker, "a", &format!("lost {round} {number}")).await.unwrap();
        }
        for _ in 0..20 {
            text(&*subscriber).await;
        }
        server = kafka_that_forgets(server);
        super::healed(&broker).await;
        let after: BTreeSet<String> = (0..30).map(|number| format!("{round}/{number}")).collect();
        for text in &after {
            let begun = Instant::now();
            while let Err(error) = publish(&broker, "a", text).await {
                assert!(error.kind().is_temporary(), "{error}");
                assert!(begun.elapsed() < PATIENCE, "{error}");
            }
        }
        let mut left = after;
        while !left.is_empty() {
            let delivery = next(&*subscriber).await;
            left.remove(&content(&delivery));
            drop(delivery.ack().await);
        }
    }
}

async fn destroyed() {
    let server = kafka_with();
    let broker = bound(&line(&server)).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let alone = broker.subscribe(&Subscription { group: None, ..of_group("", &["a"]) }).await;
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    assert_eq!(text(&*alone.unwrap()).await, "1");
    let kept = |server: &Server| (vendor().kept)(server.address());
    let names = BTreeSet::from(["wharf.app.default", "wharf.app.default/g"].map(str::to_owned));
    assert_eq!(kept(&server), names);
    broker.destroy().await.unwrap();
    broker.destroy().await.unwrap();
    assert_eq!(kept(&server), BTreeSet::new());
    let error = publish(&broker, "a", "late").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(subscriber.next().await.unwrap_err().kind(), Kind::Unavailable);
    drop((subscriber, broker));
    assert_eq!(kept(&server), BTreeSet::new());
    let broker = bound(&line(&server)).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "2").await.unwrap();
    assert_eq!(text(&*subscriber).await, "2");
    drop(subscriber);
    broker.forget("g").await.unwrap();
    assert_eq!(kept(&server), BTreeSet::from(["wharf.app.default".to_owned()]));
}

async fn beyond() {
    let server = kafka_with();
    let broker = bound(&line(&server)).await.unwrap();
    let published = broker.publish("a", Message::new("1"), &PLAIN).await.unwrap();
    let position = published.position.unwrap();
    let topics = vec![Filter::parse("a").unwrap()];
    let from = |position: &str| Subscription {
        start: Start::After(Position(position.to_owned())),
        ..Subscription::new(topics.clone())
    };
    drop(broker.subscribe(&from(&position.0)).await.unwrap());
    for wrong in ["99-0-0", &position.0.replacen("-0-", "-1-", 1)] {
        let refused = broker.subscribe(&from(wrong)).await.err().unwrap();
        assert_eq!(refused.kind(), Kind::Invalid, "{wrong}: {refused}");
    }
}

/// What 64 publishers and as many receivers reach, beside a plain client: figures for who looks.
async fn together() {
    const MESSAGES: usize = 20_000;
    let server = kafka_with();
    let broker = bound(&line(&server)).await.unwrap();
    let producer: FutureProducer =
        raw(&server).set("enable.idempotence", "true").set("linger.ms", "1").create().unwrap();
    make(&server, "plain", &[]).await;
    let wait = Duration::from_secs(30);
    let begun = Instant::now();
    let plain = (0..64).map(|publisher: usize| {
        let producer = &producer;
        async move {
            for number in (publisher..MESSAGES).step_by(64) {
                let key = (number % 512).to_string();
                let record = FutureRecord::to("plain").key(&key).payload("0123456789");
                producer.send(record, wait).await.unwrap();
            }
        }
    });
    futures::future::join_all(plain).await;
    let plain = begun.elapsed();
    let subscription = Subscription { prefetch: 256, ..of_group("g", &[">"]) };
    let subscriber = broker.subscribe(&subscription).await.unwrap();
    let begun = Instant::now();
    let ours = (0..64).map(|publisher: usize| {
        let broker = &broker;
        async move {
            for number in (publisher..MESSAGES).step_by(64) {
                let key = Some((number % 512).to_string());
                let message = Message { key, ..Message::new("0123456789") };
                broker.publish("a", message, &PLAIN).await.unwrap();
            }
        }
    });
    futures::future::join_all(ours).await;
    let ours = begun.elapsed();
    let begun = Instant::now();
    let receiving = (0..64).map(|receiver: usize| {
        let subscriber = &subscriber;
        async move {
            for _ in (receiver..MESSAGES).step_by(64) {
                next(&**subscriber).await.ack().await.unwrap();
            }
        }
    });
    futures::future::join_all(receiving).await;
    super::report(&format!(
        "{MESSAGES} messages: {plain:?} by a plain client, {ours:?} by ours; handled in {:?}",
        begun.elapsed()
    ));
    nothing(&*subscriber).await;
}
