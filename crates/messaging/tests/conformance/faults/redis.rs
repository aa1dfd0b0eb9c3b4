//! What only Redis does: memory that is full, replicas, fail-over, clusters, scripts of our own.

mod many;

use super::{
    PLAIN, bound, content, healed, hosts, impatient, next, of_group, publish, text, trial,
};
use base::offer::Durability;
use base::{Kind, Place, lock};
use bytes::Bytes;
use futures::FutureExt as _;
use libtest_mimic::Trial;
use redis::aio::MultiplexedConnection;
use redis::cmd;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::proxy::Proxy;
use testkit::servers::{Cluster, Sentinels, Server, VENDORS, Vendor, redis_tls, redis_with};
use wharf_messaging::promises::PROMISES;
use wharf_messaging::{
    BACKENDS, Broker, Filter, Message, PublishOptions, Start, Subscription, is_late,
};

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("faults::redis::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::redis::certificates_are_checked_on_both_sides", tls()),
        trial("faults::redis::a_server_that_evicts_is_refused", evicts()),
        trial("faults::redis::what_can_be_taken_is_taken_although_memory_is_full", no_memory()),
        trial("faults::redis::a_full_stream_makes_room_of_what_is_done_with", full()),
        trial("faults::redis::what_every_group_is_done_with_is_swept", swept()),
        trial("faults::redis::other_programs_write_to_a_stream", other_programs()),
        trial("faults::redis::a_keys_messages_keep_their_order_between_hosts", keys_in_order()),
        trial("faults::redis::another_host_takes_over_in_time", other_host()),
        trial("faults::redis::who_is_alone_goes_on_without_its_group", alone_again()),
        trial("faults::redis::destroying_leaves_nothing_behind", destroyed()),
        trial("faults::redis::a_server_that_forgets_everything_is_used_on", empty_again()),
        trial("faults::redis::a_replica_takes_over", many::fail_over()),
        trial("faults::redis::a_cluster_that_loses_a_node_loses_no_message", many::lost_node()),
    ];
    trials.extend(hosts::trials("redis"));
    trials.extend(testkit::conformance::trials_with("redis-cluster", PROMISES, |place| {
        opened(Cluster::shared().settings(), place)
    }));
    trials.extend(testkit::conformance::trials_with("redis-sentinel", PROMISES, |place| {
        opened(Sentinels::shared().settings(), place)
    }));
    trials
}

fn opened(
    settings: String,
    place: Place,
) -> futures::future::BoxFuture<'static, base::Result<Arc<dyn Broker>>> {
    let place = Place { capability: "messaging", ..place };
    async move { base::backend::open_line(BACKENDS, &format!("{{ {settings} }}"), place).await }
        .boxed()
}

fn vendor() -> &'static Vendor {
    VENDORS.iter().find(|vendor| vendor.name == "redis").unwrap()
}

async fn open(server: &Server, more: &str) -> Arc<dyn Broker> {
    bound(&format!("{{ url = '{}'{more} }}", server.url())).await.unwrap()
}

/// A client of its own.
async fn raw(server: &Server) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// The name of what the usual binding keeps.
fn named(what: &str) -> String {
    format!("{{wharf-messages:app:default}}:{what}")
}

async fn length(connection: &mut MultiplexedConnection) -> usize {
    cmd("XLEN").arg(named("s")).query_async(connection).await.unwrap()
}

fn alone(topics: &[&str]) -> Subscription {
    Subscription { group: None, ..of_group("", topics) }
}

async fn wrong_password() {
    let server = redis_with(&["--requirepass", "open sesame"]);
    let address = server.address();
    for url in [format!("redis://:hunter2@{address}"), server.url()] {
        let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = format!("{error} {:?}", error.hint());
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    let line = format!("{{ url = 'redis://:open%20sesame@{address}' }}");
    let broker = bound(&line).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
}

async fn tls() {
    let certificates = Certificates::new();
    let server = redis_tls(&certificates);
    let url = format!("rediss://{}", server.address());
    for url in [format!("redis://{}", server.address()), url.clone()] {
        let settings = format!("{{ url = '{url}', timeout = '2s' }}");
        let error = bound(&settings).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    }
    let (ca, certificate, key) = (&certificates.ca, &certificates.client, &certificates.client_key);
    let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
    let settings =
        format!("{{ url = '{url}', ca = '{ca}', certificate = '{certificate}', key = '{key}' }}");
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    let plain = redis_with(&[]);
    let settings = format!("{{ url = 'rediss://{}', timeout = '2s' }}", plain.address());
    let error = bound(&settings).await.err().unwrap();
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

async fn evicts() {
    let server = redis_with(&["--maxmemory-policy", "allkeys-lru"]);
    let error = bound(&format!("{{ url = '{}' }}", server.url())).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("allkeys-lru"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("noeviction")), "{error}");
    // Nothing was made there.
    assert_eq!((vendor().kept)(server.address()), BTreeSet::new());
}

fn big() -> Message {
    Message::new(Bytes::from(vec![7; 300 << 10]))
}

/// Publishes large messages until one is refused. Returns how many were not, and why it was.
async fn fill(broker: &Arc<dyn Broker>) -> (usize, base::Error) {
    for sent in 0.. {
        if let Err(error) = broker.publish("a", big(), &PLAIN).await {
            return (sent, error);
        }
    }
    unreachable!("there is an end to it")
}

async fn no_memory() {
    let server = redis_with(&["--maxmemory", "6mb", "--maxmemory-policy", "noeviction"]);
    let broker = open(&server, "").await;
    let subscription = Subscription { prefetch: 4, ..of_group("g", &["a"]) };
    let subscriber = broker.subscribe(&subscription).await.unwrap();
    let (sent, error) = fill(&broker).await;
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("`g`")), "{:?}", error.hint());
    assert!(sent > 3, "{sent} fitted");
    // A host that comes now can help. One message is given back, and all are handed out.
    let (broker, subscriber) = {
        drop((broker, subscriber));
        let broker = open(&server, "").await;
        let subscriber = broker.subscribe(&subscription).await.unwrap();
        drop(broker.subscribe(&of_group("new", &["b"])).await.unwrap());
        (broker, subscriber)
    };
    next(&*subscriber).await.nack(Duration::from_millis(100)).await.unwrap();
    for _ in 0..sent {
        next(&*subscriber).await.ack().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    broker.publish("a", big(), &PLAIN).await.unwrap();
    next(&*subscriber).await.ack().await.unwrap();
}

async fn full() {
    let server = redis_with(&[]);
    let broker = open(&server, ", max-size = '8MiB'").await;
    assert_eq!(broker.offer().max_message, 1 << 20);
    let slow = broker.subscribe(&of_group("slow", &["a"])).await.unwrap();
    let quick = broker.subscribe(&of_group("quick", &["a"])).await.unwrap();
    let (sent, error) = fill(&broker).await;
    assert_eq!(sent, 27);
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    for _ in 0..sent {
        next(&*quick).await.ack().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = broker.publish("a", big(), &PLAIN).await.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("`slow`")), "{:?}", error.hint());
    // What makes room at once is let in beyond it.
    let beyond = PublishOptions { beyond: true, ..PLAIN };
    broker.publish("b", big(), &beyond).await.unwrap();
    // What was confirmed is all there; when it is done with there is room.
    for _ in 0..sent {
        let delivery = next(&*slow).await;
        assert_eq!(delivery.attempt, 1);
        delivery.ack().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    broker.publish("a", big(), &PLAIN).await.unwrap();
    // No more was removed than there had to be.
    assert!(length(&mut raw(&server).await).await > 20);
}

async fn swept() {
    let server = redis_with(&[]);
    let broker = open(&server, ", max-age = '1s'").await;
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
    let mut theirs = raw(&server).await;
    let begun = Instant::now();
    while length(&mut theirs).await > 10 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is swept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What a group waits for stays, however old.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(length(&mut theirs).await, 10);
    for number in 10..20 {
        assert_eq!(text(&*slow).await, number.to_string());
    }
    while length(&mut theirs).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "not all is swept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // An empty stream knows where it was.
    publish(&broker, "a", "last").await.unwrap();
    assert_eq!(text(&*quick).await, "last");
    let bytes: i64 = cmd("HGET").arg(named("m")).arg("b").query_async(&mut theirs).await.unwrap();
    assert!(bytes < 300, "{bytes}");
}

async fn other_programs() {
    let server = redis_with(&[]);
    let broker = open(&server, "").await;
    let subscriber = broker.subscribe(&of_group("g", &["a.*"])).await.unwrap();
    let mut theirs = raw(&server).await;
    let entries: [&[&str]; 4] = [
        &["data", "1", "topic", "a.b"],
        &["topic", "a.b", "head", "no envelope", "data", "2"],
        &["more", "3"],
        &["topic", "a.c", "data", "4"],
    ];
    for fields in entries {
        let mut add = cmd("XADD");
        add.arg(named("s")).arg("*").arg(fields);
        add.query_async::<String>(&mut theirs).await.unwrap();
    }
    assert_eq!(text(&*subscriber).await, "1");
    assert_eq!(text(&*subscriber).await, "4");
    publish(&broker, "a.d", "5").await.unwrap();
    let fields: Vec<(String, Vec<(String, String)>)> = cmd("XREVRANGE")
        .arg(&[&named("s"), "+", "-", "COUNT", "1"])
        .query_async(&mut theirs)
        .await
        .unwrap();
    let fields: BTreeMap<_, _> = fields.into_iter().flat_map(|(_, fields)| fields).collect();
    assert_eq!((fields["topic"].as_str(), fields["data"].as_str()), ("a.d", "5"));
}

/// Publishes the messages of a key, each as often as it takes to have it confirmed.
async fn publish_key(broker: &Arc<dyn Broker>, key: usize, count: u32) {
    for number in 0..count {
        let message = Message {
            key: Some(key.to_string()),
            id: Some(format!("{key}/{number}")),
            ..Message::new(number.to_string())
        };
        while let Err(error) = broker.publish("a", message.clone(), &PLAIN).await {
            assert!(error.kind().is_temporary(), "{error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn keys_in_order() {
    const KEYS: usize = 6;
    const COUNT: u32 = 300;
    let server = redis_with(&["--appendfsync", "always"]);
    let proxy = Proxy::start(server.address()).await;
    let hosts =
        [impatient(vendor(), proxy.address()).await, impatient(vendor(), proxy.address()).await];
    let subscription = Subscription { ordered: true, prefetch: 4, ..of_group("g", &["a"]) };
    let mut subscribers = Vec::new();
    for host in hosts.iter().chain(&hosts) {
        subscribers.push(host.subscribe(&subscription).await.unwrap());
    }
    // How many of each key were handled, without a gap.
    let handled = Mutex::new([0_u32; KEYS]);
    let handling = futures::future::join_all(subscribers.iter().map(|subscriber| {
        let handled = &handled;
        async move {
            loop {
                let delivery = next(&**subscriber).await;
                let key: usize = delivery.message.key.as_ref().unwrap().parse().unwrap();
                let number: u32 = content(&delivery).parse().unwrap();
                let fails = {
                    let mut handled = lock(handled);
                    assert!(number <= handled[key], "{key}: {number} overtook {}", handled[key]);
                    let fails = delivery.attempt == 1 && number % 7 == 3;
                    if !fails && number == handled[key] {
                        handled[key] += 1;
                    }
                    fails
                };
                let settled = match fails {
                    true => delivery.nack(Duration::from_millis(20)).await,
                    false => delivery.ack().await,
                };
                if let Err(error) = settled {
                    assert!(error.kind().is_temporary() || is_late(&error), "{error}");
                }
            }
        }
    }));
    let publishing =
        futures::future::join_all((0..KEYS).map(|key| publish_key(&hosts[key % 2], key, COUNT)));
    let harm = async {
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            proxy.cut();
        }
    };
    let begun = Instant::now();
    let all = async {
        futures::join!(publishing, harm);
        while lock(&handled).iter().any(|handled| *handled < COUNT) {
            assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", lock(&handled));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = handling => {}
        () = all => {}
    }
}

/// What a host that hangs has taken comes to another at its deadline, and then no verdict of the
/// first counts.
async fn other_host() {
    let server = redis_with(&[]);
    let proxy = Proxy::start(server.address()).await;
    let one = impatient(vendor(), proxy.address()).await;
    let other = impatient(vendor(), server.address()).await;
    let subscription = of_group("g", &["a"]);
    let there = one.subscribe(&subscription).await.unwrap();
    publish(&one, "a", "1").await.unwrap();
    let held = next(&*there).await;
    proxy.change(|weather| weather.stalled = true);
    let begun = Instant::now();
    let here = other.subscribe(&subscription).await.unwrap();
    let again = next(&*here).await;
    assert_eq!((content(&again).as_str(), again.attempt), ("1", 2));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    proxy.change(|weather| weather.stalled = false);
    proxy.cut();
    healed(&one).await;
    assert!(is_late(&held.extend().await.unwrap_err()));
    assert!(is_late(&held.ack().await.unwrap_err()));
    again.nack(Duration::ZERO).await.unwrap();
    drop(there);
    let last = next(&*here).await;
    assert_eq!((content(&last).as_str(), last.attempt), ("1", 3));
    last.ack().await.unwrap();
}

async fn alone_again() {
    let server = redis_with(&[]);
    let broker = open(&server, "").await;
    let subscriber = broker.subscribe(&alone(&["a.*"])).await.unwrap();
    for number in 0..4 {
        publish(&broker, "a.b", &number.to_string()).await.unwrap();
    }
    assert_eq!(text(&*subscriber).await, "0");
    let held = next(&*subscriber).await;
    let mut theirs = raw(&server).await;
    let names: BTreeMap<String, String> =
        cmd("HGETALL").arg(named("n")).query_async(&mut theirs).await.unwrap();
    assert_eq!(names.len(), 1);
    for (name, number) in names {
        cmd("HDEL").arg(named("n")).arg(name).query_async::<()>(&mut theirs).await.unwrap();
        for what in ["g", "p", "t"] {
            let key = named(&format!("{what}:{number}"));
            cmd("DEL").arg(key).query_async::<()>(&mut theirs).await.unwrap();
        }
    }
    // What was not settled comes again, with all behind it.
    let mut left = BTreeSet::from(["1", "2", "3"].map(str::to_owned));
    while !left.is_empty() {
        left.remove(&text(&*subscriber).await);
    }
    drop(held);
    subscriber.close().await;
    let groups: usize = cmd("HLEN").arg(named("n")).query_async(&mut theirs).await.unwrap();
    assert_eq!(groups, 0);
}

async fn destroyed() {
    let server = redis_with(&[]);
    let kept = || (vendor().kept)(server.address());
    let broker = open(&server, "").await;
    let subscription = Subscription { ordered: true, ..of_group("g", &["a", "b"]) };
    let subscriber = broker.subscribe(&subscription).await.unwrap();
    let alone = broker.subscribe(&alone(&["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    assert_eq!(text(&*alone).await, "1");
    for number in 0..3 {
        let (key, id) = (Some("k".to_owned()), Some(format!("i{number}")));
        let message = Message { key, id, ..Message::new("2") };
        broker.publish("b", message, &PLAIN).await.unwrap();
    }
    let held = next(&*subscriber).await;
    let later = PublishOptions { delay: Some(Duration::from_secs(60)), ..PLAIN };
    let position = broker.publish("a", Message::new("3"), &later).await.unwrap().position.unwrap();
    assert!(kept().len() > 5, "{:?}", kept());
    // A group that is forgotten leaves nothing but messages.
    drop(alone);
    broker.forget("g").await.unwrap();
    held.ack().await.unwrap();
    let begun = Instant::now();
    let rest = BTreeSet::from(["i", "j", "m", "s"].map(named));
    while kept() != rest {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", kept());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker.destroy().await.unwrap();
    broker.destroy().await.unwrap();
    assert_eq!(kept(), BTreeSet::new());
    let error = publish(&broker, "a", "late").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    drop((subscriber, broker));
    assert_eq!(kept(), BTreeSet::new());
    // A binding of the same name that is made later is another one.
    let broker = open(&server, "").await;
    for _ in 0..3 {
        publish(&broker, "a", "4").await.unwrap();
    }
    let start = Start::After(position);
    let subscription =
        Subscription { start, ..Subscription::new(vec![Filter::parse("a").unwrap()]) };
    let error = broker.subscribe(&subscription).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}

async fn empty_again() {
    let server = redis_with(&["--appendonly", "no"]);
    let broker = impatient(vendor(), server.address()).await;
    assert_eq!(broker.offer().levels.durability, Durability::None);
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    let held = next(&*subscriber).await;
    server.crash();
    let server = (vendor().again)(server);
    // It has nothing any more, scripts neither.
    cmd("FLUSHALL").query_async::<()>(&mut raw(&server).await).await.unwrap();
    healed(&broker).await;
    held.ack().await.unwrap();
    let begun = Instant::now();
    let told = loop {
        match subscriber.next().await {
            Err(error) if error.kind() == Kind::NotFound => break error,
            told => assert!(begun.elapsed() < Duration::from_secs(20), "{told:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(told.hint().is_some_and(|hint| hint.contains("subscribe again")), "{told}");
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "2").await.unwrap();
    assert_eq!(text(&*subscriber).await, "2");
}
