//! What only SQS does: access keys, lists of groups that others change, queues of other programs.

use super::{PLAIN, bound, next, nothing, of_group, publish, text, trial};
use base::Kind;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::servers::{BROKERS, sqs, sqs_answer, sqs_guarded, sqs_tls};
use wharf_messaging::{Message, PublishOptions, Subscription};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::sqs::an_access_key_that_is_not_known_is_denied", denied()),
        trial("faults::sqs::a_server_with_tls_is_told_from_one_without", tls()),
        trial("faults::sqs::other_hosts_know_a_group_once_it_was_joined", other_hosts()),
        trial("faults::sqs::messages_of_other_programs_are_text_or_passed_by", other_programs()),
        trial("faults::sqs::what_cannot_be_put_off_for_so_long_is_refused", put_off()),
        trial("faults::sqs::a_queue_that_somebody_removed_is_told", removed()),
        trial("faults::sqs::nothing_is_left_behind", left_behind()),
        trial("faults::sqs::who_was_alone_and_died_is_cleared_away", cleared_away()),
        trial("faults::sqs::the_list_of_groups_has_an_end", full()),
        trial("faults::sqs::many_are_published_and_handled_at_once", many()),
    ]
}

fn url(address: SocketAddr) -> String {
    let vendor = BROKERS.iter().find(|vendor| vendor.name == "sqs").unwrap();
    (vendor.url)(address)
}

fn settings(address: SocketAddr) -> String {
    format!("{{ url = '{}' }}", url(address))
}

fn kept(address: SocketAddr) -> BTreeSet<String> {
    let vendor = BROKERS.iter().find(|vendor| vendor.name == "sqs").unwrap();
    (vendor.kept)(address)
}

fn queue_url(address: SocketAddr, group: &str) -> String {
    format!("http://{address}/123456789012/wharf_app_default{group}")
}

async fn denied() {
    let server = sqs_guarded();
    let error = bound(&settings(server.address())).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    assert!(!format!("{error:?} {:?}", error.hint()).contains("hunter2"), "{error:?}");
    let both = format!("{{ url = 'sqs://{}', access-key = 'someone' }}", server.address());
    let error = bound(&both).await.err().unwrap();
    assert!(error.to_string().contains("go together"), "{error}");
}

async fn tls() {
    let certificates = Certificates::new();
    let server = sqs_tls(&certificates);
    let port = server.address().port();
    let url = format!("sqss://someone:hunter2@localhost:{port}");
    let ca = certificates.ca.display();
    let broker = bound(&format!("{{ url = '{url}', ca = '{ca}' }}")).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("`ca = ")), "{error:?}");
    let plain = sqs();
    let url = format!("sqss://someone:hunter2@{}", plain.address());
    let error = bound(&format!("{{ url = '{url}', ca = '{ca}' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

/// Who publishes by a list that is as old as it may be knows of who has joined.
async fn other_hosts() {
    let server = sqs();
    let settings = format!("{{ url = '{}', refresh = '1s' }}", url(server.address()));
    let (one, other) = (bound(&settings).await.unwrap(), bound(&settings).await.unwrap());
    let publishing = async {
        loop {
            publish(&other, "busy", "so that the list is known").await.unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let joining = async {
        for round in 0..4 {
            let (topic, content) = (format!("t.{round}"), round.to_string());
            let group = format!("g{}", round % 2);
            let subscriber = one.subscribe(&of_group(&group, &[&topic])).await.unwrap();
            publish(&other, &topic, &content).await.unwrap();
            assert_eq!(text(&*subscriber).await, content);
            // What the group covers later is nobody's now.
            publish(&other, &format!("t.{}", round + 2), "not yet").await.unwrap();
            nothing(&*subscriber).await;
        }
    };
    tokio::select! {
        () = joining => {}
        () = publishing => {}
    }
    // The same group with the same topics is known already.
    let begun = Instant::now();
    let again = one.subscribe(&of_group("g1", &["t.3"])).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    publish(&other, "t.3", "again").await.unwrap();
    assert_eq!(text(&*again).await, "again");
}

async fn other_programs() {
    let server = sqs();
    let broker = bound(&settings(server.address())).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let theirs = queue_url(server.address(), "_g");
    let send = format!("{{\"QueueUrl\": \"{theirs}\", \"MessageBody\": \"says no topic\"}}");
    assert!(sqs_answer(server.address(), "SendMessage", &send).contains("MessageId"));
    nothing(&*subscriber).await;
    drop(subscriber);
    // What Wharf publishes others can read.
    let message = Message { key: Some("k".to_owned()), ..Message::new("{\"n\": 1}") };
    broker.publish("a", message, &PLAIN).await.unwrap();
    let receive = format!(
        "{{\"QueueUrl\": \"{theirs}\", \"MessageAttributeNames\": [\"All\"], \
         \"WaitTimeSeconds\": 20}}"
    );
    let said = sqs_answer(server.address(), "ReceiveMessage", &receive);
    assert!(said.contains(r#""Body": "{\"n\": 1}""#), "{said}");
    assert!(said.contains(r#""StringValue": "1:ak1:k""#), "{said}");
}

async fn put_off() {
    let server = sqs();
    let broker = bound(&settings(server.address())).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let late = PublishOptions { delay: Some(Duration::from_secs(901)), ..PLAIN };
    let error = broker.publish("a", Message::new("1"), &late).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    publish(&broker, "a", "2").await.unwrap();
    let held = next(&*subscriber).await;
    let error = held.nack(Duration::from_secs(13 * 3600)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    // It was not settled by that.
    assert_eq!(text(&*subscriber).await, "2");
}

async fn removed() {
    let server = sqs();
    let broker = bound(&settings(server.address())).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let other = broker.subscribe(&of_group("h", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    let held = next(&*subscriber).await;
    let question = format!("{{\"QueueUrl\": \"{}\"}}", queue_url(server.address(), "_g"));
    sqs_answer(server.address(), "DeleteQueue", &question);
    let error = publish(&broker, "a", "2").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.hint().is_none() || error.to_string().contains("group"), "{error}");
    // The others have it all the same.
    assert_eq!(BTreeSet::from([text(&*other).await, text(&*other).await]).len(), 2);
    held.ack().await.unwrap();
    let told = subscriber.next().await.unwrap_err();
    assert_eq!(told.kind(), Kind::NotFound, "{told}");
    let again = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "3").await.unwrap();
    assert_eq!(text(&*again).await, "3");
}

async fn left_behind() {
    let server = sqs();
    let broker = bound(&settings(server.address())).await.unwrap();
    let group = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    drop(broker.subscribe(&of_group("ä/ö", &["a"])).await.unwrap());
    let alone = Subscription { group: None, ..of_group("", &["a"]) };
    let alone = broker.subscribe(&alone).await.unwrap();
    assert_eq!(kept(server.address()).len(), 4);
    alone.close().await;
    drop(alone);
    broker.forget("ä/ö").await.unwrap();
    let left = ["wharf_app_default", "wharf_app_default_g"].map(str::to_owned);
    assert_eq!(kept(server.address()), BTreeSet::from(left));
    publish(&broker, "a", "1").await.unwrap();
    broker.destroy().await.unwrap();
    broker.destroy().await.unwrap();
    assert_eq!(kept(server.address()), BTreeSet::new());
    // Its list is known for a while, and then not any more.
    let begun = Instant::now();
    let error = loop {
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on");
        match publish(&broker, "other", "late").await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    drop((group, broker));
    assert_eq!(kept(server.address()), BTreeSet::new());
    let broker = bound(&settings(server.address())).await.unwrap();
    publish(&broker, "a", "2").await.unwrap();
}

async fn cleared_away() {
    let server = sqs();
    let broker = bound(&settings(server.address())).await.unwrap();
    let alone = Subscription { group: None, ..of_group("", &["a"]) };
    let subscriber = broker.subscribe(&alone).await.unwrap();
    let queue = kept(server.address()).into_iter().find(|name| name.contains("default_-")).unwrap();
    let word = queue.strip_prefix("wharf_app_default_").unwrap();
    let tag = format!(
        "{{\"QueueUrl\": \"{}\", \"Tags\": {{\"{word}\": \"1000 a@\"}}}}",
        queue_url(server.address(), "")
    );
    sqs_answer(server.address(), "TagQueue", &tag);
    drop(broker.subscribe(&of_group("g", &["a"])).await.unwrap());
    assert!(!kept(server.address()).contains(&queue), "it is there still");
    let told = subscriber.next().await.unwrap_err();
    assert_eq!(told.kind(), Kind::NotFound, "{told}");
}

async fn full() {
    let server = sqs();
    let settings = format!("{{ url = '{}', refresh = '100ms' }}", url(server.address()));
    let broker = bound(&settings).await.unwrap();
    let topics: Vec<String> =
        (0..50).map(|number| format!("t{number}{}", "w".repeat(190))).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let subscriber = broker.subscribe(&of_group("wide", &topics)).await.unwrap();
    publish(&broker, topics[49], "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    let mut groups = 0;
    let error = loop {
        match broker.subscribe(&of_group(&format!("g{groups}"), &["a"])).await {
            Ok(_) => groups += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    assert!((5..50).contains(&groups), "{groups} fit");
    // With fewer topics there is room.
    drop(broker.subscribe(&of_group("wide", &["a"])).await.unwrap());
    drop(broker.subscribe(&of_group("last", &["a"])).await.unwrap());
}

async fn many() {
    const MESSAGES: usize = 1000;
    const TOGETHER: usize = 32;
    let server = sqs();
    let broker = bound(&settings(server.address())).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let begun = Instant::now();
    let messages = (0..MESSAGES).map(|number| ("a".to_owned(), Message::new(number.to_string())));
    for outcome in broker.publish_many(messages.collect(), &PLAIN).await {
        outcome.unwrap();
    }
    let published = begun.elapsed();
    let mut left: BTreeSet<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    let begun = Instant::now();
    let mut handling = FuturesUnordered::new();
    while !left.is_empty() {
        if handling.len() >= TOGETHER {
            handling.next().await;
        }
        let delivery = next(&*subscriber).await;
        left.remove(&super::content(&delivery));
        handling.push(async { delivery.ack().await.unwrap() });
    }
    handling.collect::<()>().await;
    let handled = begun.elapsed();
    super::report(&format!("sqs: {MESSAGES} published in {published:?}, handled in {handled:?}"));
}
