//! What only RabbitMQ does: virtual hosts, full queues, copies that wait, what other programs see.

mod greeting;

use super::{PLAIN, bound, content, healed, next, nothing, of_group, publish, text, trial};
use base::Kind;
use futures::StreamExt as _;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::proxy::Proxy;
use testkit::servers::{BROKERS, Server, amqp_tls, amqp_told, amqp_with};
use tokio::net::TcpListener;
use wharf_messaging::{Broker, Filter, Message, RequestOptions, Subscription, is_late};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::amqp::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::amqp::a_server_that_cannot_do_it_is_refused", other_servers()),
        trial("faults::amqp::certificates_are_checked_on_both_sides", tls()),
        trial("faults::amqp::an_exchange_made_otherwise_is_refused", other_exchange()),
        trial("faults::amqp::other_programs_share_an_exchange", other_programs()),
        trial("faults::amqp::a_full_group_refuses_what_comes", full()),
        trial("faults::amqp::what_is_too_large_for_the_server_hurts_nobody_else", too_large()),
        trial("faults::amqp::groups_change_many_times", turns()),
        trial("faults::amqp::a_server_without_memory_takes_nothing_and_gives", blocked()),
        trial("faults::amqp::what_waits_counts_how_often_it_came", attempts()),
        trial("faults::amqp::who_asks_for_nothing_leaves_messages_to_others", idle()),
        trial("faults::amqp::a_group_gets_new_topics_instead_of_its_former_ones", new_topics()),
        trial("faults::amqp::messages_come_in_their_order", in_order()),
        trial("faults::amqp::what_a_frozen_host_has_comes_to_others", frozen()),
        trial("faults::amqp::a_user_needs_no_more_than_the_manual_says", permissions()),
        trial("faults::amqp::a_group_that_another_host_forgot_is_told", forgotten()),
        trial("faults::amqp::destroying_leaves_nothing_behind", destroyed()),
    ]
}

fn alone(topics: &[&str]) -> Subscription {
    Subscription { group: None, ..of_group("", topics) }
}

/// What a server carries for us.
async fn bound_to(server: &Server) -> Arc<dyn Broker> {
    bound(&format!("{{ url = '{}' }}", server.url())).await.unwrap()
}

/// What a server keeps.
fn kept(server: &Server) -> BTreeSet<String> {
    let vendor = BROKERS.iter().find(|vendor| vendor.name == "amqp").unwrap();
    (vendor.kept)(server.address())
}

/// A client of its own.
async fn raw(server: &Server) -> (Connection, Channel) {
    let options = ConnectionProperties::default();
    let connection = Connection::connect(&server.url(), options).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn wrong_password() {
    let server = amqp_with(&[]);
    let address = server.address();
    for (url, hint) in [
        (format!("amqp://guest:hunter2@{address}"), "password"),
        (format!("amqp://guest:guest@{address}/nowhere"), "virtual host"),
    ] {
        let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        assert!(error.hint().is_some_and(|it| it.contains(hint)), "{:?}", error.hint());
        let words = format!("{error} {:?}", error.hint());
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    bound(&format!("{{ url = 'amqp://guest:%67uest@{address}/%2F' }}")).await.unwrap();
}

/// Servers that speak AMQP, and are not what is needed.
async fn other_servers() {
    for (product, version, word) in
        [("RabbitMQ", "3.9.29", "3.10 is needed"), ("LavinMQ", "2.4.0", "not RabbitMQ")]
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let greeting = async {
            let (stream, _) = listener.accept().await.unwrap();
            greeting::greet(stream, product, version).await;
        };
        let settings = format!("{{ url = 'amqp://{address}' }}");
        let error = tokio::select! {
            opened = bound(&settings) => opened.err().unwrap(),
            () = greeting => unreachable!("it waits"),
        };
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

async fn tls() {
    let certificates = Certificates::new();
    let server = amqp_tls(&certificates);
    let url = format!("amqps://{}", server.address());
    let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let (ca, certificate, key) = (&certificates.ca, &certificates.client, &certificates.client_key);
    let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
    let settings =
        format!("{{ url = '{url}', ca = '{ca}', certificate = '{certificate}', key = '{key}' }}");
    publish(&bound(&settings).await.unwrap(), "a", "1").await.unwrap();
    // Each spoken to as the other.
    let plain = format!("{{ url = 'amqp://{}' }}", server.address());
    let error = bound(&plain).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("amqps://")), "{error}");
    let server = amqp_with(&[]);
    let settings = format!("{{ url = 'amqps://{}', ca = '{ca}' }}", server.address());
    let error = bound(&settings).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("amqp://")), "{error}");
}

async fn other_exchange() {
    let server = amqp_with(&[]);
    let settings = format!("{{ url = '{}', exchange = 'theirs' }}", server.url());
    let (_theirs, channel) = raw(&server).await;
    let (kind, none) = (lapin::ExchangeKind::Fanout, FieldTable::default());
    channel.exchange_declare("theirs".into(), kind, Default::default(), none).await.unwrap();
    let error = bound(&settings).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("`exchange`")), "{error}");
}

async fn other_programs() {
    let server = amqp_with(&[]);
    let settings = format!("{{ url = '{}', exchange = 'orders' }}", server.url());
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &[">"])).await.unwrap();
    let (_theirs, channel) = raw(&server).await;
    let mut headers = FieldTable::default();
    headers.insert("x".into(), AMQPValue::LongString("1".into()));
    headers.insert("n".into(), AMQPValue::LongInt(2));
    let properties = BasicProperties::default().with_headers(headers);
    let send = async |key: &str, properties: BasicProperties| {
        let options = BasicPublishOptions::default();
        let sent =
            channel.basic_publish("orders".into(), key.into(), options, b"theirs", properties);
        drop(sent.await.unwrap());
    };
    send("not a topic", BasicProperties::default()).await;
    send("new", properties).await;
    let delivery = next(&*subscriber).await;
    assert_eq!((delivery.topic.as_str(), content(&delivery).as_str()), ("new", "theirs"));
    let wanted = [("n", "2"), ("x", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(delivery.message.headers, wanted);
    delivery.ack().await.unwrap();
    nothing(&*subscriber).await;
    // And what they see of ours.
    let (queue, none) = ("theirs", FieldTable::default());
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare(queue.into(), options, none.clone()).await.unwrap();
    let options = QueueBindOptions::default();
    channel
        .queue_bind(queue.into(), "orders".into(), "new.#".into(), options, none.clone())
        .await
        .unwrap();
    let message = Message {
        content_type: Some("text/plain".to_owned()),
        headers: vec![("b".to_owned(), "é".to_owned()), ("a".to_owned(), "2".to_owned())],
        ..Message::new("ours")
    };
    broker.publish("new.one", message, &PLAIN).await.unwrap();
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let mut consumer = channel.basic_consume(queue.into(), "".into(), options, none).await.unwrap();
    let ours = consumer.next().await.unwrap().unwrap();
    assert_eq!((ours.routing_key.as_str(), ours.data.as_slice()), ("new.one", &b"ours"[..]));
    assert_eq!(ours.properties.content_type().as_ref().unwrap().as_str(), "text/plain");
    let headers = ours.properties.headers().as_ref().unwrap();
    for (name, value) in [("b", "é"), ("a", "2")] {
        assert_eq!(headers.inner().get(name), Some(&AMQPValue::LongString(value.into())));
    }
}

async fn full() {
    let server = amqp_with(&[]);
    let url = server.url();
    let broker = bound(&format!("{{ url = '{url}', max-messages = 5 }}")).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let mut sent = 0;
    let full = loop {
        match publish(&broker, "a", &sent.to_string()).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        // The server hears a moment later from the queue that it is full.
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!((5..20).contains(&sent), "{sent} were taken");
    assert_eq!(full.kind(), Kind::Exhausted, "{full}");
    for number in 0..sent {
        assert_eq!(text(&*subscriber).await, number.to_string());
    }
    let begun = Instant::now();
    while let Err(full) = publish(&broker, "a", "again").await {
        assert_eq!(full.kind(), Kind::Exhausted, "{full}");
        assert!(begun.elapsed() < Duration::from_secs(20), "there is no room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Another limit does not hold for a group that is there.
    let other = bound(&format!("{{ url = '{url}', max-messages = 6 }}")).await.unwrap();
    let error = other.subscribe(&of_group("g", &["a"])).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("other settings")), "{error}");
}

async fn too_large() {
    let server = amqp_with(&["max_message_size = 4096"]);
    let broker = bound_to(&server).await;
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let large = || broker.publish("a", Message::new(vec![0; 5000]), &PLAIN);
    let small = futures::future::join_all((0..20).map(|_| publish(&broker, "a", "small")));
    let (first, small) = futures::join!(large(), small);
    for outcome in [first.map(drop), large().await.map(drop)] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge, "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("max_message_size")), "{error}");
    }
    // Once: what is too large is known from then on.
    for error in small.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
    publish(&broker, "a", "last").await.unwrap();
    while text(&*subscriber).await != "last" {}
}

/// What is known of the groups is read and written again with each subscription.
async fn turns() {
    let server = amqp_with(&[]);
    let broker = bound_to(&server).await;
    drop(broker.subscribe(&of_group("first", &["a"])).await.unwrap());
    for round in 0..110 {
        let topics: &[&str] = if round % 2 == 0 { &["a"] } else { &["b"] };
        drop(broker.subscribe(&of_group("g", topics)).await.unwrap());
    }
    let subscriber = broker.subscribe(&of_group("first", &["b"])).await.unwrap();
    publish(&broker, "a", "nobody's").await.unwrap();
    publish(&broker, "b", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    broker.destroy().await.unwrap();
    assert_eq!(kept(&server), BTreeSet::new());
}

async fn blocked() {
    let server = amqp_with(&[]);
    let settings = format!("{{ url = '{}', timeout = '2s' }}", server.url());
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "before").await.unwrap();
    amqp_told(&server, &["set_vm_memory_high_watermark", "0.00001"]);
    let begun = Instant::now();
    let error = loop {
        match publish(&broker, "other", "x").await {
            Err(error) if error.kind() == Kind::Exhausted => break error,
            _ => assert!(begun.elapsed() < Duration::from_secs(30), "it takes everything"),
        }
    };
    assert!(error.hint().is_some_and(|hint| hint.contains("memory")), "{error}");
    // What is there is handed out and done with all the same.
    assert_eq!(text(&*subscriber).await, "before");
    amqp_told(&server, &["set_vm_memory_high_watermark", "0.6"]);
    healed(&broker).await;
    publish(&broker, "a", "after").await.unwrap();
    assert_eq!(text(&*subscriber).await, "after");
}

async fn attempts() {
    let server = amqp_with(&[]);
    let broker = bound_to(&server).await;
    let subscriber = broker.subscribe(&of_group("g", &["a.b"])).await.unwrap();
    let message = Message {
        headers: vec![("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())],
        key: Some("k".to_owned()),
        ..Message::new("1")
    };
    broker.publish("a.b", message.clone(), &PLAIN).await.unwrap();
    // It is no other group's.
    let other = broker.subscribe(&of_group("other", &["a.b"])).await.unwrap();
    let mut delivery = next(&*subscriber).await;
    for (attempt, delay) in [(1, 250), (2, 0), (3, 1), (4, 700), (5, 0)] {
        assert_eq!((delivery.attempt, &delivery.message), (attempt, &message));
        let begun = Instant::now();
        delivery.nack(Duration::from_millis(delay)).await.unwrap();
        delivery = next(&*subscriber).await;
        assert!(begun.elapsed() >= Duration::from_millis(delay), "{:?}", begun.elapsed());
        assert_eq!(delivery.topic, "a.b");
    }
    assert_eq!(delivery.attempt, 6);
    delivery.ack().await.unwrap();
    nothing(&*other).await;
    nothing(&*subscriber).await;
}

async fn idle() {
    let server = amqp_with(&[]);
    let broker = bound_to(&server).await;
    let subscription = Subscription::new(vec![Filter::parse("a").unwrap()]).of_group("g");
    let idle = broker.subscribe(&subscription).await.unwrap();
    nothing(&*idle).await;
    publish(&broker, "a", "1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let other = broker.subscribe(&subscription).await.unwrap();
    let begun = Instant::now();
    let delivery = next(&*other).await;
    assert_eq!((content(&delivery).as_str(), delivery.attempt), ("1", 1));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    delivery.ack().await.unwrap();
    // And who has rested goes on when it asks.
    publish(&broker, "a", "2").await.unwrap();
    drop(other);
    assert_eq!(text(&*idle).await, "2");
}

/// A new deployment comes to one host after the other: hosts of the old one take part meanwhile.
async fn new_topics() {
    let server = amqp_with(&[]);
    let (old, new) = (bound_to(&server).await, bound_to(&server).await);
    let before = old.subscribe(&of_group("g", &["a", "x.>"])).await.unwrap();
    publish(&old, "a", "1").await.unwrap();
    publish(&old, "b", "nobody's").await.unwrap();
    assert_eq!(text(&*before).await, "1");
    let after = new.subscribe(&of_group("g", &["b", "x.>", "c.*"])).await.unwrap();
    drop(after);
    for (topic, content) in [("b", "2"), ("c.d", "3"), ("x.y.z", "4"), ("a", "nobody's")] {
        publish(&new, topic, content).await.unwrap();
    }
    for wanted in ["2", "3", "4"] {
        assert_eq!(text(&*before).await, wanted);
    }
    nothing(&*before).await;
    // All at once, and all but one of them with the same topics.
    let all = (0..8).map(|number| {
        let topics: &[&str] = if number == 3 { &["d"] } else { &["e"] };
        let subscription = of_group("h", topics);
        let new = &new;
        async move { new.subscribe(&subscription).await.map(drop) }
    });
    for subscribed in futures::future::join_all(all).await {
        subscribed.unwrap();
    }
    let last = old.subscribe(&of_group("h", &["f"])).await.unwrap();
    for topic in ["d", "e", "f"] {
        publish(&new, topic, topic).await.unwrap();
    }
    assert_eq!(text(&*last).await, "f");
    nothing(&*last).await;
}

async fn in_order() {
    let server = amqp_with(&[]);
    let broker = bound_to(&server).await;
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let messages = (0..1000).map(|number| ("a".to_owned(), Message::new(number.to_string())));
    for outcome in broker.publish_many(messages.collect(), &PLAIN).await {
        outcome.unwrap();
    }
    for number in 0..1000 {
        assert_eq!(text(&*subscriber).await, number.to_string());
    }
}

async fn forgotten() {
    let server = amqp_with(&[]);
    let (one, other) = (bound_to(&server).await, bound_to(&server).await);
    let subscription = Subscription::new(vec![Filter::parse("a").unwrap()]).of_group("g");
    let subscriber = one.subscribe(&subscription).await.unwrap();
    publish(&one, "a", "1").await.unwrap();
    let held = next(&*subscriber).await;
    let (told, forgot) = futures::join!(subscriber.next(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.forget("g").await
    });
    forgot.unwrap();
    assert_eq!(told.unwrap_err().kind(), Kind::NotFound);
    // What it was handed out is nobody's any more.
    held.nack(Duration::from_secs(1)).await.unwrap();
    assert_eq!(subscriber.next().await.unwrap_err().kind(), Kind::NotFound);
    // Nothing waits for a group that is not there.
    let queues = amqp_told(&server, &["list_queues", "--no-table-headers", "name"]);
    assert!(!queues.iter().any(|queue| queue.contains("group.")), "{queues:?}");
}

async fn destroyed() {
    let server = amqp_with(&[]);
    let (broker, other) = (bound_to(&server).await, bound_to(&server).await);
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let alone = broker.subscribe(&alone(&["a.*"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    next(&*subscriber).await.nack(Duration::from_secs(60)).await.unwrap();
    other.subscribe(&of_group("theirs", &["a"])).await.unwrap();
    assert!(kept(&server).len() > 4, "{:?}", kept(&server));
    broker.destroy().await.unwrap();
    broker.destroy().await.unwrap();
    assert_eq!(kept(&server), BTreeSet::new());
    let error = publish(&broker, "a", "late").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.hint().is_some(), "{error}");
    drop((subscriber, alone, broker));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(kept(&server), BTreeSet::new());
    // Without a group there is nothing once the subscriber is gone.
    let broker = bound_to(&server).await;
    let before = kept(&server);
    drop(broker.subscribe(&self::alone(&["a"])).await.unwrap());
    let begun = Instant::now();
    while kept(&server) != before {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", kept(&server));
    }
}

/// To the server it is as if a host were frozen: nothing comes from it, and nothing ends.
async fn frozen() {
    let server = amqp_with(&[]);
    let proxy = Proxy::start(server.address()).await;
    let settings = format!("{{ url = 'amqp://{}', timeout = '2s' }}", proxy.address());
    let (frozen, other) = (bound(&settings).await.unwrap(), bound_to(&server).await);
    let subscription = Subscription::new(vec![Filter::parse("a").unwrap()]).of_group("g");
    let subscriber = frozen.subscribe(&subscription).await.unwrap();
    publish(&other, "a", "1").await.unwrap();
    let held = next(&*subscriber).await;
    proxy.change(|weather| weather.stalled = true);
    let begun = Instant::now();
    let others = other.subscribe(&subscription).await.unwrap();
    let delivery = next(&*others).await;
    assert_eq!((content(&delivery).as_str(), delivery.attempt), ("1", 2));
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    proxy.change(|weather| weather.stalled = false);
    healed(&frozen).await;
    // Its verdict comes too late, and has no effect.
    let late = held.ack().await.unwrap_err();
    assert!(is_late(&late), "{late}");
    drop(delivery);
    assert_eq!(text(&*others).await, "1");
}

/// What the manual says that a user has to be allowed.
async fn permissions() {
    let server = amqp_with(&[]);
    amqp_told(&server, &["add_user", "shop", "secret"]);
    let (own, and_default) = (r"^wharf\.", r"^(wharf\.|amq\.default$)");
    let manual = include_str!("../../../../../docs/messaging-backends.md");
    assert!(
        manual.contains(&format!("set_permissions USER \"{own}\" \"{and_default}\" \"{own}\""))
    );
    amqp_told(&server, &["set_permissions", "shop", own, and_default, own]);
    let url = format!("amqp://shop:secret@{}", server.address());
    let broker = bound(&format!("{{ url = '{url}' }}")).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    drop(broker.subscribe(&alone(&["a.>"])).await.unwrap());
    publish(&broker, "a", "1").await.unwrap();
    next(&*subscriber).await.nack(Duration::from_millis(100)).await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    let options = RequestOptions { timeout: Duration::from_secs(20), ..RequestOptions::default() };
    let (replies, ()) = futures::join!(broker.request("a", Message::new("?"), &options), async {
        let request = next(&*subscriber).await;
        let to = request.message.reply_to.clone().unwrap();
        publish(&broker, &to, "!").await.unwrap();
        request.ack().await.unwrap();
    });
    assert_eq!(replies.unwrap().len(), 1);
    broker.forget("g").await.unwrap();
    let error = bound(&format!("{{ url = '{url}', exchange = 'theirs' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    broker.destroy().await.unwrap();
}
