//! What only queues of Azure do: account keys, queues of other programs, names that are taken.

use super::{PLAIN, bound, next, of_group, publish, text, trial};
use base::Kind;
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::servers::{BROKERS, azure_queue};
use wharf_messaging::{Message, PublishOptions, Subscription};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::azure-queue::a_key_that_is_not_the_accounts_is_denied", denied()),
        trial("faults::azure-queue::text_of_all_kinds_arrives_as_it_was", texts()),
        trial("faults::azure-queue::what_cannot_be_put_off_for_so_long_is_refused", put_off()),
        trial("faults::azure-queue::nothing_is_left_behind", left_behind()),
    ]
}

fn settings(address: SocketAddr) -> String {
    format!("{{ url = 'azure-queue://{address}/devstoreaccount1', refresh = '300ms' }}")
}

fn kept(address: SocketAddr) -> BTreeSet<String> {
    let vendor = BROKERS.iter().find(|vendor| vendor.name == "azure-queue").unwrap();
    (vendor.kept)(address)
}

async fn denied() {
    let server = azure_queue();
    let url = format!("azure-queue://{}/devstoreaccount1", server.address());
    let error = bound(&format!("{{ url = '{url}', account-key = 'aHVudGVyMg==' }}")).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    assert!(!format!("{error:?}").contains("aHVudGVyMg"), "{error:?}");
    let error = bound(&format!("{{ url = '{url}', account-key = 'hunter2!' }}")).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

async fn texts() {
    let server = azure_queue();
    let broker = bound(&settings(server.address())).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    for text in ["<a>&amp;</a>", " spaces \n", "\t", "\r\n", "]]>", "ω😀", "1:x.", ""] {
        let headers = vec![("a".to_owned(), text.trim().to_owned())];
        let message = Message { headers, ..Message::new(text.to_owned()) };
        broker.publish("a", message.clone(), &PLAIN).await.unwrap();
        let delivery = next(&*subscriber).await;
        assert_eq!(delivery.message, message);
        // The receipt that holds then is another one.
        delivery.extend().await.unwrap();
        delivery.ack().await.unwrap();
    }
}

async fn put_off() {
    let server = azure_queue();
    let broker = bound(&settings(server.address())).await.unwrap();
    let late = PublishOptions { delay: Some(Duration::from_secs(8 * 24 * 3600)), ..PLAIN };
    let error = broker.publish("a", Message::new("1"), &late).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
}

async fn left_behind() {
    let server = azure_queue();
    let broker = bound(&settings(server.address())).await.unwrap();
    let group = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    drop(broker.subscribe(&of_group("ä/ö", &["a"])).await.unwrap());
    let alone = Subscription { group: None, ..of_group("", &["a"]) };
    let alone = broker.subscribe(&alone).await.unwrap();
    assert_eq!(kept(server.address()).len(), 3);
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*alone).await, "1");
    alone.close().await;
    broker.forget("ä/ö").await.unwrap();
    assert_eq!(kept(server.address()), BTreeSet::from(["wharf-app-default-g".to_owned()]));
    broker.destroy().await.unwrap();
    broker.destroy().await.unwrap();
    assert_eq!(kept(server.address()), BTreeSet::new());
    drop((group, alone));
    // What was there is nobody's.
    let begun = Instant::now();
    publish(&broker, "a", "2").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(kept(server.address()), BTreeSet::new());
}
