//! What only MQTT does: other programs, hosts that stand by, a server that keeps little.

use super::{PLAIN, bound, content, loses_nothing, next, nothing, of_group, publish, text, trial};
use base::Kind;
use libtest_mimic::Trial;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::servers::{BROKERS, Server, mqtt_again, mqtt_locked, mqtt_tls, mqtt_with};
use wharf_messaging::{Broker, Message, RequestOptions, Subscription};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::mqtt::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::mqtt::certificates_are_checked_on_both_sides", tls()),
        trial("faults::mqtt::other_programs_share_the_topics", other_programs()),
        trial("faults::mqtt::other_programs_ask_and_reply", other_programs_ask()),
        trial("faults::mqtt::what_waits_outlives_a_restart_of_the_server", restarts()),
        trial("faults::mqtt::groups_are_there_again_after_a_crash_that_loses_all", loses_all()),
        trial("faults::mqtt::a_second_host_stands_by_until_the_first_is_gone", stands_by()),
        trial("faults::mqtt::a_host_with_other_topics_takes_the_group_over", new_topics()),
        trial("faults::mqtt::a_group_that_another_host_forgot_is_told", forgotten()),
        trial("faults::mqtt::a_server_with_its_usual_settings_is_enough", usual()),
        trial("faults::mqtt::destroying_leaves_nothing_behind", destroyed()),
    ]
}

async fn opened(server: &Server) -> Arc<dyn Broker> {
    bound(&format!("{{ url = '{}' }}", server.url())).await.unwrap()
}

async fn wrong_password() {
    let server = mqtt_locked("u", "open sesame");
    let address = server.address();
    for url in [format!("mqtt://u:hunter2@{address}"), server.url()] {
        let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = format!("{error} {:?}", error.hint());
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    bound(&format!("{{ url = 'mqtt://u:open%20sesame@{address}' }}")).await.unwrap();
}

async fn tls() {
    let certificates = Certificates::new();
    let server = mqtt_tls(&certificates);
    let address = server.address();
    let (ca, certificate, key) = (&certificates.ca, &certificates.client, &certificates.client_key);
    let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
    let refused = async |settings: &str| bound(settings).await.err().unwrap();
    // Without trust, without a certificate to show, without TLS, and with TLS where there is none.
    for settings in [
        format!("{{ url = 'mqtts://{address}' }}"),
        format!("{{ url = 'mqtts://{address}', ca = '{ca}' }}"),
        format!("{{ url = 'mqtt://{address}' }}"),
    ] {
        let error = refused(&settings).await;
        assert_eq!(error.kind(), Kind::Invalid, "{settings}: {error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
    let plain = mqtt_with(&[]);
    let settings = format!("{{ url = 'mqtts://{}', ca = '{ca}' }}", plain.address());
    let error = refused(&settings).await;
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("mqtt://")), "{error:?}");
    let settings = format!(
        "{{ url = 'mqtts://{address}', ca = '{ca}', certificate = '{certificate}', key = '{key}' }}"
    );
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
}

/// Another program, subscribed to a topic.
async fn another(server: &Server, topic: &str) -> (AsyncClient, EventLoop) {
    let address = server.address();
    let options = MqttOptions::new("another", address.ip().to_string(), address.port());
    let (client, mut events) = AsyncClient::new(options, 100);
    client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
    loop {
        if let Event::Incoming(Packet::SubAck(_)) = events.poll().await.unwrap() {
            return (client, events);
        }
    }
}

async fn heard(events: &mut EventLoop) -> Publish {
    let hearing = async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                return publish;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), hearing).await.expect("a message comes")
}

async fn other_programs() {
    let server = mqtt_with(&[]);
    let settings = format!("{{ url = '{}', prefix = 'factory/1' }}", server.url());
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a.*"])).await.unwrap();
    let (client, mut events) = another(&server, "factory/1/#").await;
    let properties = PublishProperties {
        content_type: Some("text/plain".to_owned()),
        user_properties: vec![("colour".to_owned(), "blue".to_owned())],
        ..PublishProperties::default()
    };
    let (topic, qos) = ("factory/1/a/b c", QoS::AtLeastOnce);
    client.publish_with_properties(topic, qos, false, "theirs", properties).await.unwrap();
    let theirs = heard(&mut events).await;
    assert_eq!(theirs.payload, "theirs");
    let delivery = next(&*subscriber).await;
    assert_eq!((delivery.topic.as_str(), content(&delivery).as_str()), ("a.b%20c", "theirs"));
    assert_eq!(delivery.message.header("colour"), Some("blue"));
    assert_eq!(delivery.message.content_type.as_deref(), Some("text/plain"));
    delivery.ack().await.unwrap();
    let headers = vec![("x".to_owned(), "y".to_owned())];
    let message = Message { headers, key: Some("k".to_owned()), ..Message::new("ours") };
    broker.publish("a.b/c", message, &PLAIN).await.unwrap();
    let ours = heard(&mut events).await;
    assert_eq!((&ours.topic[..], &ours.payload[..]), (&b"factory/1/a/b%2Fc"[..], &b"ours"[..]));
    let said = ours.properties.unwrap().user_properties;
    assert!(said.contains(&("x".to_owned(), "y".to_owned())), "{said:?}");
}

async fn other_programs_ask() {
    let server = mqtt_with(&[]);
    let settings = format!("{{ url = '{}', prefix = 'p' }}", server.url());
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["ours"])).await.unwrap();
    // They ask, and get the reply where they said, with what they said.
    let (client, mut events) = another(&server, "their/replies").await;
    let asked = PublishProperties {
        response_topic: Some("their/replies".to_owned()),
        correlation_data: Some(vec![1, 255].into()),
        ..PublishProperties::default()
    };
    client.publish_with_properties("p/ours", QoS::AtLeastOnce, false, "?", asked).await.unwrap();
    let hearing = heard(&mut events);
    let replying = async {
        let delivery = next(&*subscriber).await;
        let to = delivery.message.reply_to.clone().unwrap();
        broker.publish(&to, Message::new("!"), &PLAIN).await.unwrap();
        delivery.ack().await.unwrap();
    };
    let (reply, ()) = futures::join!(hearing, replying);
    assert_eq!(reply.payload, "!");
    assert_eq!(&reply.properties.unwrap().correlation_data.unwrap()[..], [1, 255]);
    // They reply as every program of MQTT 5 does.
    client.subscribe("p/theirs", QoS::AtLeastOnce).await.unwrap();
    let answering = async {
        let asked = heard(&mut events).await;
        let said = asked.properties.unwrap();
        let reply = PublishProperties {
            correlation_data: said.correlation_data,
            ..PublishProperties::default()
        };
        let to = said.response_topic.unwrap();
        client.publish_with_properties(to, QoS::AtLeastOnce, false, "yes", reply).await.unwrap();
        // Until it is sent.
        drop(tokio::time::timeout(Duration::from_secs(2), heard(&mut events)).await);
    };
    let asking = async {
        let options =
            RequestOptions { timeout: Duration::from_secs(10), ..RequestOptions::default() };
        let begun = Instant::now();
        loop {
            // Their subscription is on its way.
            match broker.request("theirs", Message::new("?"), &options).await {
                Err(error) if begun.elapsed() < Duration::from_secs(10) => {
                    assert_eq!(error.kind(), Kind::Timeout, "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                replies => return replies.unwrap(),
            }
        }
    };
    let ((), replies) = futures::join!(answering, asking);
    assert_eq!(replies[0].data, "yes");
}

async fn restarts() {
    let vendor = BROKERS.iter().find(|vendor| vendor.name == "mqtt").unwrap();
    let mut server = (vendor.start)();
    let broker = super::impatient(vendor, server.address()).await;
    let (kept, is_kept) = tokio::sync::oneshot::channel();
    let harm = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(1000)).await;
            server = tokio::task::spawn_blocking(move || mqtt_again(server)).await.unwrap();
            super::healed(&broker).await;
        }
        drop(kept.send(server));
    };
    loses_nothing("restarts", &broker, harm).await;
    drop(is_kept.await);
}

async fn loses_all() {
    let vendor = BROKERS.iter().find(|vendor| vendor.name == "mqtt").unwrap();
    let server = mqtt_with(&["autosave_interval 0"]);
    let broker = super::impatient(vendor, server.address()).await;
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let copies = Subscription { group: None, ..of_group("", &["a"]) };
    let copies = broker.subscribe(&copies).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    for subscriber in [&subscriber, &copies] {
        assert_eq!(text(&**subscriber).await, "1");
    }
    server.crash();
    let _server = (vendor.again)(server);
    super::healed(&broker).await;
    let begun = Instant::now();
    for subscriber in [&subscriber, &copies] {
        // Both are subscribed again, a moment later.
        loop {
            publish(&broker, "a", "2").await.unwrap();
            let soon = Duration::from_millis(300);
            let came = tokio::time::timeout(soon, next(&**subscriber)).await;
            if let Ok(delivery) = came {
                assert_eq!(content(&delivery), "2");
                delivery.ack().await.unwrap();
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "they are not subscribed again");
        }
    }
}

async fn stands_by() {
    let server = mqtt_with(&[]);
    let (one, other) = (opened(&server).await, opened(&server).await);
    let subscription = of_group("g", &["a"]);
    let first = one.subscribe(&subscription).await.unwrap();
    let second = other.subscribe(&subscription).await.unwrap();
    for number in 0..10 {
        publish(&other, "a", &number.to_string()).await.unwrap();
    }
    for number in 0..5 {
        assert_eq!(text(&*first).await, number.to_string());
    }
    nothing(&*second).await;
    let held = next(&*first).await;
    assert_eq!(content(&held), "5");
    drop((held, first, one));
    // Everything that was not acknowledged comes to the other, in its order.
    for number in 5..10 {
        assert_eq!(text(&*second).await, number.to_string());
    }
    nothing(&*second).await;
}

async fn new_topics() {
    let server = mqtt_with(&[]);
    let (one, other) = (opened(&server).await, opened(&server).await);
    let first = one.subscribe(&of_group("g", &["a"])).await.unwrap();
    let second = other.subscribe(&of_group("g", &["b"])).await.unwrap();
    publish(&one, "a", "old").await.unwrap();
    publish(&one, "b", "new").await.unwrap();
    assert_eq!(text(&*second).await, "new");
    nothing(&*second).await;
    nothing(&*first).await;
    // The first has the group again when the other is gone, with the topics that it has now.
    drop((second, other));
    publish(&one, "b", "newer").await.unwrap();
    assert_eq!(text(&*first).await, "newer");
}

async fn forgotten() {
    let server = mqtt_with(&[]);
    let (one, other) = (opened(&server).await, opened(&server).await);
    let subscriber = one.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&one, "a", "1").await.unwrap();
    let held = next(&*subscriber).await;
    other.forget("g").await.unwrap();
    let begun = Instant::now();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), subscriber.next()).await;
        match next.expect("it is told") {
            Err(error) if error.kind() == Kind::NotFound => break,
            // What was on its way, or the loss of the connection before its reason.
            _ => assert!(begun.elapsed() < Duration::from_secs(20), "it is never told"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop((held, subscriber));
    let subscriber = one.subscribe(&of_group("g", &["a"])).await.unwrap();
    nothing(&*subscriber).await;
    publish(&one, "a", "2").await.unwrap();
    assert_eq!(text(&*subscriber).await, "2");
}

/// As it comes, with few messages on their way at once, of which some fail.
async fn usual() {
    let server = mqtt_with(&[]);
    let broker = opened(&server).await;
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    for number in 0..300 {
        publish(&broker, "a", &number.to_string()).await.unwrap();
    }
    let mut left: std::collections::BTreeSet<String> = (0..300).map(|it| it.to_string()).collect();
    while !left.is_empty() {
        let delivery = next(&*subscriber).await;
        let number: u32 = content(&delivery).parse().unwrap();
        if number.is_multiple_of(7) && delivery.attempt < 3 {
            delivery.nack(Duration::from_millis(30)).await.unwrap();
        } else {
            assert!(left.remove(&number.to_string()), "{number} came twice");
            delivery.ack().await.unwrap();
        }
    }
    nothing(&*subscriber).await;
}

async fn destroyed() {
    let vendor = BROKERS.iter().find(|vendor| vendor.name == "mqtt").unwrap();
    let server = (vendor.start)();
    let kept = || (vendor.kept)(server.address());
    assert!(kept().is_empty(), "{:?}", kept());
    let broker = opened(&server).await;
    for group in ["g", "h"] {
        drop(broker.subscribe(&of_group(group, &["a.>"])).await.unwrap());
    }
    let subscriber = broker.subscribe(&of_group("i", &["a"])).await.unwrap();
    publish(&broker, "a.b", "1").await.unwrap();
    assert!(!kept().is_empty(), "groups are known");
    broker.destroy().await.unwrap();
    assert!(kept().is_empty(), "{:?}", kept());
    drop(subscriber);
    let subscriber = broker.subscribe(&of_group("g", &["a.>"])).await.unwrap();
    nothing(&*subscriber).await;
    broker.destroy().await.unwrap();
    drop((subscriber, broker));
    assert!(kept().is_empty(), "{:?}", kept());
}
