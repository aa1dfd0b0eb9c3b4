//! Many small messages through a file, with handlers that fail at random: every count has to match.
//! Short in a test; `cargo xtask soak` says how many.

use crate::{embedded, everything, place, trial};
use base::Backend as _;
use libtest_mimic::Trial;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::random::Random;
use wharf_messaging::{Broker, Message, PublishOptions, Subscriber, Subscription};

/// So many publishers, and so many subscribers of the group.
const PUBLISHERS: u64 = 64;
const SUBSCRIBERS: u64 = 4;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("flood::every_count_matches_in_spite_of_failures", flood())]
}

/// How many messages.
#[expect(clippy::disallowed_methods, reason = "the one parameter of a campaign")]
fn messages() -> u64 {
    let messages = std::env::var("WHARF_FLOOD_MESSAGES").ok().map(|text| text.parse().unwrap());
    messages.unwrap_or(20_000)
}

/// What came of all messages.
#[derive(Default)]
struct Counts {
    handled: AtomicU64,
    failed: AtomicU64,
    /// How often each that failed was handed out, until it is done with.
    failing: Mutex<HashMap<u64, u32>>,
    wrong: Mutex<Vec<String>>,
}

#[expect(clippy::print_stderr, reason = "the report of a campaign")]
async fn flood() {
    let folder = tempfile::tempdir().unwrap();
    let durability = "durability = 'relaxed'\nmax-size = '64MiB'\nmax-age = '1s'";
    let broker = embedded(durability).open(place(folder.path())).await.unwrap();
    let messages = messages();
    let counts = Arc::new(Counts::default());
    let subscription = Subscription { prefetch: 256, ..everything() };
    let mut subscribers = Vec::new();
    for number in 0..SUBSCRIBERS {
        let subscriber = broker.subscribe(&subscription).await.unwrap();
        subscribers.push(handle(subscriber, Random(number), Arc::clone(&counts)));
    }
    let begun = Instant::now();
    let publishing = (0..PUBLISHERS).map(|publisher| publish(&*broker, publisher, messages));
    let publishing = async {
        futures::future::join_all(publishing).await;
        let published = begun.elapsed();
        while counts.handled.load(Relaxed) < messages {
            assert!(begun.elapsed() < Duration::from_secs(3000), "it takes too long");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        published
    };
    let published = tokio::select! {
        published = publishing => published,
        _ = futures::future::join_all(subscribers) => panic!("the subscribers ended"),
    };
    let (handled, failed) = (counts.handled.load(Relaxed), counts.failed.load(Relaxed));
    let length = std::fs::metadata(folder.path().join("messaging/app/default.redb")).unwrap().len();
    eprintln!(
        "{messages} messages published in {published:?} and handled in {:?}, with {failed} \
         failures; the file has {} MiB",
        begun.elapsed(),
        length >> 20
    );
    let wrong = counts.wrong.lock().unwrap().clone();
    assert!(wrong.is_empty(), "{} wrong: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    assert_eq!((handled, counts.failing.lock().unwrap().len()), (messages, 0));
    assert!(failed > messages / 40, "only {failed} failed");
}

/// Handles messages, some of which fail, and counts.
async fn handle(subscriber: Box<dyn Subscriber>, mut random: Random, counts: Arc<Counts>) {
    while let Ok(Some(delivery)) = subscriber.next().await {
        let message: u64 = crate::text(&delivery.message.data).parse().unwrap();
        let fails = {
            let mut failing = counts.failing.lock().unwrap();
            let times = failing.remove(&message).unwrap_or_default() + 1;
            let fails = random.below(20) == 0 && times < 5;
            if fails {
                failing.insert(message, times);
            }
            if delivery.attempt != times {
                let wrong = format!("{message}: attempt {} is {times}", delivery.attempt);
                counts.wrong.lock().unwrap().push(wrong);
            }
            fails
        };
        if fails {
            counts.failed.fetch_add(1, Relaxed);
            delivery.nack(Duration::from_millis(random.below(20))).await.unwrap();
        } else {
            counts.handled.fetch_add(1, Relaxed);
            delivery.ack().await.unwrap();
        }
    }
}

/// Publishes every message whose turn it is; one that finds no room is published later.
async fn publish(broker: &dyn Broker, publisher: u64, messages: u64) {
    let options = PublishOptions::default();
    for message in (publisher..messages).step_by(usize::try_from(PUBLISHERS).unwrap()) {
        while let Err(error) =
            broker.publish("a", Message::new(message.to_string()), &options).await
        {
            assert_eq!(error.kind(), base::Kind::Exhausted, "{error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Relaxed publications never wait: others get their turn.
        tokio::task::yield_now().await;
    }
}
