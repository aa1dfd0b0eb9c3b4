//! Hosts that share the parts of a topic, come and go, and know what the others did.

use super::super::{PATIENCE, PLAIN};
use super::super::{bound, content, next, nothing, of_group, publish, report, text};
use super::line;
use base::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use testkit::servers::kafka_with;
use wharf_messaging::{Delivery, Message, Subscriber, Subscription, is_late};

/// Handles messages until all of these came, and holds if no other does for a while, except those
/// of `before`: while hosts come and go a verdict may be late, and its message comes again.
async fn exactly(subscriber: &dyn Subscriber, wanted: &[&str], before: &[&str]) {
    let mut left: BTreeSet<&str> = wanted.iter().copied().collect();
    let take = async |left: &mut BTreeSet<&str>| {
        let text = handled(next(subscriber).await).await;
        left.remove(text.as_str());
        let mut known = wanted.iter().chain(before);
        assert!(known.any(|it| *it == text), "`{text}` came");
    };
    while !left.is_empty() {
        take(&mut left).await;
    }
    let silence = Duration::from_millis(600);
    while tokio::time::timeout(silence, take(&mut left)).await.is_ok() {}
}

async fn handled(delivery: Delivery) -> String {
    let text = content(&delivery);
    match delivery.ack().await {
        Err(error) if !is_late(&error) => panic!("{error}"),
        _ => text,
    }
}

/// A new deployment comes to one host after the other: hosts of the old one take part meanwhile.
pub(super) async fn new_topics() {
    let server = kafka_with();
    let (old, new) = (bound(&line(&server)).await.unwrap(), bound(&line(&server)).await.unwrap());
    let before = old.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&old, "a", "1").await.unwrap();
    publish(&old, "b", "passed by").await.unwrap();
    assert_eq!(text(&*before).await, "1");
    nothing(&*before).await;
    drop(new.subscribe(&of_group("g", &["a", "b", "c.>"])).await.unwrap());
    // Whoever has the parts hands out what the group covers now.
    for (topic, content) in [("b", "2"), ("c.d", "3"), ("d", "nobody's"), ("a", "4")] {
        publish(&new, topic, content).await.unwrap();
    }
    exactly(&*before, &["2", "3", "4"], &[]).await;
    let after = new.subscribe(&of_group("g", &["d"])).await.unwrap();
    publish(&new, "a", "no more").await.unwrap();
    publish(&new, "d", "5").await.unwrap();
    drop(before);
    exactly(&*after, &["5"], &["2", "3", "4"]).await;
}

/// Handles messages with keys until told to stop, each key's in its order.
async fn handle(
    subscriber: &dyn Subscriber,
    handled: &Mutex<BTreeMap<String, Vec<u32>>>,
    count: &Mutex<u32>,
) {
    loop {
        let delivery = match subscriber.next().await {
            Ok(delivery) => delivery.expect("nobody closed it"),
            Err(error) => {
                assert!(error.kind().is_temporary(), "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let key = delivery.message.key.clone().unwrap();
        let number = content(&delivery).parse().unwrap();
        // Before it is acknowledged: after that the next one may be with somebody else.
        base::lock(handled).entry(key).or_default().push(number);
        *base::lock(count) += 1;
        match delivery.ack().await {
            Ok(()) => {}
            Err(error) if is_late(&error) || error.kind().is_temporary() => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) async fn hosts() {
    let server = kafka_with();
    let one = bound(&line(&server)).await.unwrap();
    let other = bound(&line(&server)).await.unwrap();
    let subscription = Subscription { ordered: true, ..of_group("g", &["t"]) };
    let handled: Mutex<BTreeMap<String, Vec<u32>>> = Mutex::default();
    let (first, second, third) = (Mutex::new(0), Mutex::new(0), Mutex::new(0));
    let publishing = async {
        for number in 0..400_u32 {
            let messages = (0..8).map(|key| {
                let message =
                    Message { key: Some(format!("k{key}")), ..Message::new(number.to_string()) };
                ("t".to_owned(), message)
            });
            for outcome in one.publish_many(messages.collect(), &PLAIN).await {
                outcome.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    let staying = one.subscribe(&subscription).await.unwrap();
    let coming = async {
        // One comes, goes, and comes again.
        for (count, stay) in [(&second, 2), (&third, 6)] {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let subscriber = other.subscribe(&subscription).await.unwrap();
            let handling = handle(&*subscriber, &handled, count);
            drop(tokio::time::timeout(Duration::from_secs(stay), handling).await);
        }
    };
    let all = async {
        futures::join!(publishing, coming);
        let begun = Instant::now();
        let is_all = || {
            base::lock(&handled)
                .values()
                .map(|all| all.iter().collect::<BTreeSet<_>>().len())
                .sum::<usize>()
                == 3200
        };
        while !is_all() {
            let left: Vec<_> = base::lock(&handled)
                .iter()
                .map(|(key, all)| format!("{key}: {}", all.len()))
                .collect();
            assert!(begun.elapsed() < PATIENCE, "not all came: {left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = handle(&*staying, &handled, &first) => {}
        () = all => {}
    }
    let counts = [&first, &second, &third].map(|count| *base::lock(count));
    let mut twice = 0;
    for (key, numbers) in base::lock(&handled).iter() {
        // One may come again, and then what came after it does too: none comes for the first time
        // before those that were published before it.
        let mut seen = BTreeSet::new();
        for number in numbers {
            let is_first = seen.insert(*number);
            assert!(!is_first || (0..*number).all(|it| seen.contains(&it)), "{key}: {number}");
            twice += u32::from(!is_first);
        }
    }
    report(&format!("hosts: {counts:?} handled, {twice} of them twice"));
    assert!(counts[1] > 0 && counts[2] > 0, "{counts:?}");
    assert!(twice < 300, "{twice} came twice");
}

pub(super) async fn handed_over() {
    let server = kafka_with();
    let one = bound(&line(&server)).await.unwrap();
    let subscription = Subscription { prefetch: 100, ..of_group("g", &["a"]) };
    let subscriber = one.subscribe(&subscription).await.unwrap();
    for number in 0..20 {
        publish(&one, "a", &number.to_string()).await.unwrap();
    }
    let begun = Instant::now();
    let mut held = Vec::new();
    for number in 0..20 {
        let delivery = next(&*subscriber).await;
        assert_eq!(content(&delivery), number.to_string());
        match number {
            3 => delivery.nack(Duration::from_secs(9)).await.unwrap(),
            7 | 8 => held.push(delivery),
            _ => delivery.ack().await.unwrap(),
        }
    }
    for delivery in held {
        delivery.nack(Duration::ZERO).await.unwrap();
    }
    for attempt in [2, 3] {
        let both = [next(&*subscriber).await, next(&*subscriber).await];
        for (delivery, number) in both.into_iter().zip(["7", "8"]) {
            assert_eq!((delivery.attempt, content(&delivery).as_str()), (attempt, number));
            delivery.nack(Duration::ZERO).await.unwrap();
        }
    }
    drop((subscriber, one));
    // It leaves the group a moment later; who joins before that may be handed what it has.
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Another host knows which were done with, how often the others were handed out, and until
    // when one of them waits.
    let other = bound(&line(&server)).await.unwrap();
    let subscriber = other.subscribe(&subscription).await.unwrap();
    for (attempt, number) in [(4, 7), (4, 8), (2, 3)] {
        let delivery = next(&*subscriber).await;
        assert_eq!((delivery.attempt, content(&delivery)), (attempt, number.to_string()));
        delivery.ack().await.unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_secs(9), "it came no sooner than it should");
    nothing(&*subscriber).await;
}

pub(super) async fn waits() {
    let server = kafka_with();
    let broker = bound(&line(&server)).await.unwrap();
    let subscription = Subscription { prefetch: 64, ..of_group("g", &["a"]) };
    let subscriber = broker.subscribe(&subscription).await.unwrap();
    publish(&broker, "a", "poison").await.unwrap();
    next(&*subscriber).await.nack(Duration::from_secs(3600)).await.unwrap();
    // More than fit into the memory of a part.
    let messages = (0..700).map(|number| ("a".to_owned(), Message::new(number.to_string())));
    for outcome in broker.publish_many(messages.collect(), &PLAIN).await {
        outcome.unwrap();
    }
    for number in 0..700 {
        assert_eq!(text(&*subscriber).await, number.to_string());
    }
    drop((subscriber, broker));
    // None of them comes again, although the offset of the group is before them all.
    let broker = bound(&line(&server)).await.unwrap();
    let subscriber = broker.subscribe(&subscription).await.unwrap();
    publish(&broker, "a", "after").await.unwrap();
    exactly(&*subscriber, &["after"], &[]).await;
}

pub(super) async fn forgotten() {
    let server = kafka_with();
    let (one, other) = (bound(&line(&server)).await.unwrap(), bound(&line(&server)).await.unwrap());
    let subscriber = one.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&one, "a", "1").await.unwrap();
    let held = next(&*subscriber).await;
    let (told, forgot) = futures::join!(subscriber.next(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.forget("g").await
    });
    forgot.unwrap();
    assert_eq!(told.unwrap_err().kind(), Kind::NotFound);
    let late = held.ack().await.unwrap_err();
    assert!(is_late(&late), "{late}");
    assert_eq!(subscriber.next().await.unwrap_err().kind(), Kind::NotFound);
    // One of the same name is another one.
    let subscriber = one.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&other, "a", "2").await.unwrap();
    assert_eq!(text(&*subscriber).await, "2");
    nothing(&*subscriber).await;
}
