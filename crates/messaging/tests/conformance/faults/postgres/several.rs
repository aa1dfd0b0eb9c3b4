//! Several hosts on the same tables, and groups among them.

use super::{alone, url};
use crate::faults::{PATIENCE, PLAIN, bound, content, next, nothing, of_group, publish, text};
use crate::trial;
use base::{Kind, lock};
use futures::future::join_all;
use libtest_mimic::Trial;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::servers::{Server, postgres_says, postgres_with};
use wharf_messaging::{Broker, Filter, Message, RequestOptions, Start, Subscription};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::postgres::what_nobody_took_keeps_its_place", ahead()),
        trial("faults::postgres::groups_that_begin_while_others_publish_miss_nothing", joins()),
        trial("faults::postgres::hosts_share_a_group_and_keep_the_order_of_keys", keys()),
        trial("faults::postgres::one_of_two_hosts_publishes_what_has_one_id", ids()),
        trial("faults::postgres::a_reply_finds_the_host_that_asked", replies()),
        trial("faults::postgres::filters_cover_what_they_do_elsewhere", filters()),
    ]
}

/// Two hosts with the same binding.
async fn two(server: &Server, more: &str) -> (Arc<dyn Broker>, Arc<dyn Broker>) {
    let settings = format!("{{ url = '{}'{more} }}", url(server));
    (bound(&settings).await.unwrap(), bound(&settings).await.unwrap())
}

fn keyed(key: &str, text: &str) -> Message {
    Message { key: Some(key.to_owned()), ..Message::new(text.to_owned()) }
}

/// What was taken and not handed out keeps its place and its number.
async fn ahead() {
    let server = postgres_with(&[]);
    let broker = bound(&format!("{{ url = '{}' }}", url(&server))).await.unwrap();
    let messages = (0..200).map(|number: u32| ("b".to_owned(), Message::new(number.to_string())));
    for outcome in broker.publish_many(messages.collect(), &PLAIN).await {
        outcome.unwrap();
    }
    let all = Subscription { start: Start::Beginning, ..alone(&["b"]) };
    let subscriber = broker.subscribe(&all).await.unwrap();
    for number in 0..200_u32 {
        let delivery = next(&*subscriber).await;
        assert_eq!((content(&delivery), delivery.attempt), (number.to_string(), 1));
        delivery.ack().await.unwrap();
        if number.is_multiple_of(20) {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

async fn joins() {
    let server = postgres_with(&[]);
    let (one, other) = two(&server, "").await;
    let hosts = [&one, &other];
    let publishing = async |host: usize| {
        for number in 0..150 {
            publish(hosts[host], "a", &format!("{host}/{number:03}")).await.unwrap();
        }
    };
    let joining = async {
        let mut subscribers = Vec::new();
        for number in 0..20 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            let from = Subscription { start: Start::Beginning, ..alone(&["*"]) };
            subscribers.push(hosts[number % 2].subscribe(&from).await.unwrap());
        }
        subscribers
    };
    let (subscribers, ..) =
        futures::join!(joining, publishing(0), publishing(0), publishing(1), publishing(1));
    for subscriber in subscribers {
        let mut found: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..600 {
            *found.entry(text(&*subscriber).await).or_default() += 1;
        }
        assert!(found.values().all(|times| *times == 2), "{found:?}");
        subscriber.close().await;
    }
}

/// Of each key in how many hands it is, and which came.
#[derive(Default)]
struct Handled {
    busy: BTreeSet<String>,
    last: BTreeMap<String, u32>,
    count: u32,
}

async fn keys() {
    let server = postgres_with(&[]);
    let (one, other) = two(&server, "").await;
    let subscription = Subscription { ordered: true, prefetch: 16, ..of_group("g", &["a"]) };
    let handled = Mutex::new(Handled::default());
    let all = 5 * 60;
    let publishing = async {
        for number in 0..60_u32 {
            let key = |key: u32| (format!("k{key}"), format!("k{key}/{number}"));
            let messages = (0..5).map(key);
            let messages = messages.map(|(key, text)| ("a".to_owned(), keyed(&key, &text)));
            for outcome in one.publish_many(messages.collect(), &PLAIN).await {
                outcome.unwrap();
            }
        }
    };
    let mut subscribers = Vec::new();
    for host in [&one, &other, &one, &other] {
        subscribers.push(host.subscribe(&subscription).await.unwrap());
    }
    let handling = join_all(subscribers.iter().enumerate().map(|(who, subscriber)| {
        let handled = &handled;
        async move {
            loop {
                let delivery = next(&**subscriber).await;
                let (key, number) = {
                    let text = content(&delivery);
                    let (key, number) = text.split_once('/').unwrap();
                    (key.to_owned(), number.parse::<u32>().unwrap())
                };
                {
                    let mut handled = lock(handled);
                    assert!(handled.busy.insert(key.clone()), "{key} is in two hands");
                    let before = handled.last.get(&key).map_or(0, |last| last + 1);
                    assert_eq!(number, before, "{key}");
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
                let fails = delivery.attempt == 1 && (number as usize + who).is_multiple_of(5);
                {
                    let mut handled = lock(handled);
                    handled.busy.remove(&key);
                    if !fails {
                        handled.last.insert(key, number);
                        handled.count += 1;
                    }
                }
                match fails {
                    true => delivery.nack(Duration::from_millis(5)).await.unwrap(),
                    false => delivery.ack().await.unwrap(),
                }
            }
        }
    }));
    let done = async {
        let begun = Instant::now();
        while lock(&handled).count < all {
            assert!(begun.elapsed() < PATIENCE, "{} came", lock(&handled).count);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = handling => {}
        _ = async { futures::join!(publishing, done) } => {}
    }
}

async fn ids() {
    let server = postgres_with(&[]);
    let (one, other) = two(&server, "").await;
    let subscriber = one.subscribe(&of_group("g", &["a"])).await.unwrap();
    let publishing = (0..40).map(|number: u32| {
        let host = if number.is_multiple_of(2) { &one } else { &other };
        let id = Some(format!("i{}", number / 8));
        let message = Message { id, ..Message::new(format!("{}", number / 8)) };
        async move { host.publish("a", message, &PLAIN).await.unwrap() }
    });
    let published = join_all(publishing).await;
    assert_eq!(published.iter().filter(|published| !published.duplicate).count(), 5);
    // Who published the same knows where it is.
    let places: BTreeSet<&str> =
        published.iter().map(|it| it.position.as_ref().unwrap().0.as_str()).collect();
    assert_eq!(places.len(), 5);
    let mut found = BTreeSet::new();
    for _ in 0..5 {
        found.insert(text(&*subscriber).await);
    }
    assert_eq!(found.len(), 5);
    nothing(&*subscriber).await;
}

async fn replies() {
    let server = postgres_with(&[]);
    let (one, other) = two(&server, ", table = 'm'").await;
    let subscriber = other.subscribe(&of_group("g", &["a"])).await.unwrap();
    let options = RequestOptions { timeout: Duration::from_secs(20), replies: 2, most: 1000 };
    let serve = async |sizes: &[usize]| {
        let delivery = next(&*subscriber).await;
        let to = delivery.message.reply_to.clone().unwrap();
        for size in sizes {
            other.publish(&to, Message::new(vec![b'x'; *size]), &PLAIN).await.unwrap();
        }
        delivery.ack().await.unwrap();
    };
    let asked = one.request("a", Message::new("1"), &options);
    let (replies, ()) = futures::join!(asked, serve(&[1, 999, 5]));
    let sizes: Vec<usize> = replies.unwrap().iter().map(|reply| reply.data.len()).collect();
    assert_eq!(sizes, [1, 999]);
    let asked = one.request("a", Message::new("1"), &options);
    let (replies, ()) = futures::join!(asked, serve(&[600, 600]));
    assert_eq!(replies.unwrap_err().kind(), Kind::Exhausted);
    // Nothing is left of them.
    let left = "SELECT count(*) FROM m_inboxes UNION ALL SELECT count(*) FROM m_replies";
    assert_eq!(postgres_says(&server, left), BTreeSet::from(["0".to_owned()]));
}

async fn filters() {
    let server = postgres_with(&[]);
    let broker = bound(&format!("{{ url = '{}' }}", url(&server))).await.unwrap();
    let topics = [
        "a", "a.b", "a.b.c", "a.x.c", "b", "ab.c", "A.b", "a+b.c", "a\\d.c", "a5.c", "ω.😀", "$.^",
        "(a|b).c", "a.b.c.d", "x.b.y", "x.y.b.z", "[a].b", "a_.%", "{2}.b", "-.b",
    ];
    let filters = [
        "a", "a.*", "a.>", ">", "*", "*.*", "*.b.>", "*.>", "a+b.*", "a\\d.*", "ω.*", "*.😀",
        "$.*", "(a|b).*", "[a].*", "{2}.>", "a_.*", "-.*", "*.b.*", "a.*.c",
    ];
    for topic in topics {
        publish(&broker, topic, topic).await.unwrap();
    }
    for text_of_filter in filters {
        let filter = Filter::parse(text_of_filter).unwrap();
        let wanted: Vec<&str> =
            topics.iter().copied().filter(|topic| filter.covers(topic)).collect();
        let from = Subscription { start: Start::Beginning, ..alone(&[text_of_filter]) };
        let subscriber = broker.subscribe(&from).await.unwrap();
        for wanted in wanted {
            assert_eq!(text(&*subscriber).await, wanted, "{text_of_filter}");
        }
        let more = tokio::time::timeout(Duration::from_millis(30), subscriber.next()).await;
        assert!(more.is_err(), "{text_of_filter}: {more:?}");
    }
}
