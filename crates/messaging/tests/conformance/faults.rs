//! Servers that are away, hang, crash or are not what was meant: every vendor's.

mod amqp;
mod azure_queue;
mod hosts;
mod kafka;
mod mqtt;
mod nats;
mod postgres;
mod redis;
mod sqs;

use crate::{place, trial};
use base::{Kind, Result, lock};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use testkit::program::Signal;
use testkit::proxy::{Proxy, storm};
use testkit::servers::{BROKERS, VENDORS, Vendor};
use testkit::stranger::Stranger;
use wharf_messaging::{
    BACKENDS, Broker, Delivery, Filter, Message, PublishOptions, Subscriber, Subscription,
};

const PLAIN: PublishOptions = PublishOptions { delay: None, beyond: false };
/// The deadline of all subscriptions here.
const DEADLINE: Duration = Duration::from_secs(2);
/// What has to come comes within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many are published at least while harm is done, or shortly after it.
const ENOUGH: usize = 100;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let has_broker = |vendor: &&Vendor| BACKENDS.iter().any(|entry| entry.name == vendor.name);
    for vendor in VENDORS.iter().chain(BROKERS).filter(has_broker) {
        let mut add = |name: &str, body: BoxFuture<'static, ()>| {
            trials.push(trial(format!("faults::{}::{name}", vendor.name), body));
        };
        // Mosquitto writes what it keeps a moment after it has confirmed it.
        if vendor.name != "mqtt" {
            add("what_was_confirmed_is_handled_although_the_server_crashes", crash(vendor).boxed());
        }
        add("what_was_confirmed_is_handled_although_connections_are_cut", cuts(vendor).boxed());
        add("what_was_confirmed_is_handled_although_the_server_hangs", hangs(vendor).boxed());
        add("what_was_confirmed_is_handled_in_bad_weather", weather(vendor).boxed());
        add("a_server_that_is_away_fails_calls_at_once_and_heals", away(vendor).boxed());
        add("servers_that_are_not_what_was_meant_are_told_apart", wrong_servers(vendor).boxed());
        add("subscribers_that_are_given_up_lose_nothing", given_up(vendor).boxed());
    }
    trials.extend(amqp::trials());
    trials.extend(azure_queue::trials());
    trials.extend(kafka::trials());
    trials.extend(mqtt::trials());
    trials.extend(nats::trials());
    trials.extend(postgres::trials());
    trials.extend(redis::trials());
    trials.extend(sqs::trials());
    trials
}

/// What a line of the deployment file opens, `{ url = … }`, for a binding that is always the same.
async fn bound(settings: &str) -> Result<Arc<dyn Broker>> {
    let folder = tempfile::tempdir().unwrap();
    base::backend::open_line(BACKENDS, settings, place(folder.path())).await
}

/// A broker whose calls take a second at most.
async fn impatient(vendor: &Vendor, address: SocketAddr) -> Arc<dyn Broker> {
    let url = (vendor.url)(address);
    // What nobody covers is published without a call until the list of groups is too old.
    let more = match vendor.name {
        "azure-queue" | "sqs" => ", refresh = '300ms'",
        _ => "",
    };
    let begun = Instant::now();
    loop {
        // What is made when a binding is first opened may take longer on a busy machine.
        match bound(&format!("{{ url = '{url}', timeout = '1s'{more} }}")).await {
            Err(error) if error.kind() == Kind::Timeout && begun.elapsed() < PATIENCE => {}
            opened => return opened.unwrap(),
        }
    }
}

fn of_group(group: &str, topics: &[&str]) -> Subscription {
    let topics = topics.iter().map(|topic| Filter::parse(topic).unwrap()).collect();
    Subscription { deadline: DEADLINE, ..Subscription::new(topics).of_group(group) }
}

async fn publish(broker: &Arc<dyn Broker>, topic: &str, text: &str) -> Result<()> {
    broker.publish(topic, Message::new(text.to_owned()), &PLAIN).await.map(drop)
}

/// Waits until calls are answered again.
async fn healed(broker: &Arc<dyn Broker>) {
    let begun = Instant::now();
    while let Err(error) = publish(broker, "healed", "x").await {
        assert!(begun.elapsed() < PATIENCE, "it does not heal: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn content(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.data).into_owned()
}

/// The next message, however often it takes to ask for it.
async fn next(subscriber: &dyn Subscriber) -> Delivery {
    let asking = async {
        loop {
            match subscriber.next().await {
                Ok(delivery) => return delivery.expect("nobody closed it"),
                Err(error) if error.kind().is_temporary() => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("a message comes")
}

async fn text(subscriber: &dyn Subscriber) -> String {
    let delivery = next(subscriber).await;
    let text = content(&delivery);
    delivery.ack().await.unwrap();
    text
}

/// Holds if no message comes for a while.
async fn nothing(subscriber: &dyn Subscriber) {
    let next = tokio::time::timeout(Duration::from_millis(400), subscriber.next()).await;
    assert!(next.is_err(), "{next:?} came");
}

/// What was published and was confirmed, and how often it was handled.
#[derive(Default)]
struct Ledger {
    confirmed: Mutex<BTreeSet<String>>,
    handled: Mutex<BTreeMap<String, u32>>,
    refused: Mutex<u32>,
}

impl Ledger {
    /// Waits until enough was confirmed, however slow the machine is: that of a few none was lost
    /// says little.
    async fn has_enough(&self) {
        let begun = Instant::now();
        while lock(&self.confirmed).len() <= ENOUGH {
            assert!(begun.elapsed() < PATIENCE, "too few were confirmed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn missing(&self) -> Vec<String> {
        let handled = lock(&self.handled);
        lock(&self.confirmed).iter().filter(|text| !handled.contains_key(*text)).cloned().collect()
    }
}

/// Four publish and four subscribers of a group handle, while harm is done. Then everything that
/// was confirmed is handled.
async fn loses_nothing(name: &str, broker: &Arc<dyn Broker>, harm: impl Future<Output = ()>) {
    let ledger = Ledger::default();
    let subscription = Subscription { prefetch: 8, ..of_group("g", &["t.*", "u"]) };
    let mut subscribers = Vec::new();
    for _ in 0..4 {
        subscribers.push(broker.subscribe(&subscription).await.unwrap());
    }
    let publishing = futures::future::join_all((0..4).map(|publisher| {
        let ledger = &ledger;
        async move {
            for number in 0.. {
                let (topic, text) = (format!("t.{publisher}"), format!("{publisher}/{number}"));
                match publish(broker, &topic, &text).await {
                    Ok(()) => drop(lock(&ledger.confirmed).insert(text)),
                    Err(error) => {
                        assert!(error.kind().is_temporary(), "{error}");
                        *lock(&ledger.refused) += 1;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                // Those that handle have to keep up.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }));
    let handling = futures::future::join_all(subscribers.iter().map(|subscriber| {
        let ledger = &ledger;
        async move {
            loop {
                let delivery = match subscriber.next().await {
                    Ok(delivery) => delivery.expect("nobody closed it"),
                    Err(error) => {
                        assert!(error.kind().is_temporary(), "{error}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                };
                *lock(&ledger.handled).entry(content(&delivery)).or_default() += 1;
                // Who is told that nobody knows may get it again.
                drop(delivery.ack().await);
            }
        }
    }));
    tokio::pin!(handling);
    let harm = async {
        harm.await;
        ledger.has_enough().await;
    };
    tokio::select! {
        _ = &mut handling => {}
        _ = publishing => {}
        () = harm => {}
    }
    let begun = Instant::now();
    let caught_up = async {
        while !ledger.missing().is_empty() {
            let missing = ledger.missing();
            assert!(begun.elapsed() < PATIENCE, "{} were lost: {missing:?}", missing.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = &mut handling => {}
        () = caught_up => {}
    }
    let confirmed = lock(&ledger.confirmed).len();
    let twice = lock(&ledger.handled).values().filter(|times| **times > 1).count();
    let refused = *lock(&ledger.refused);
    report(&format!("{name}: {confirmed} confirmed, {refused} not, {twice} handled twice"));
}

#[expect(clippy::print_stderr, reason = "figures for who looks")]
fn report(figures: &str) {
    eprintln!("{figures}");
}

async fn crash(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let broker = impatient(vendor, server.address()).await;
    let harm = async {
        let mut server = server;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1000)).await;
            server.crash();
            tokio::time::sleep(Duration::from_millis(100)).await;
            server = (vendor.again)(server);
            healed(&broker).await;
        }
        server
    };
    let (kept, is_kept) = tokio::sync::oneshot::channel();
    let harm = async {
        drop(kept.send(harm.await));
    };
    loses_nothing("crashes", &broker, harm).await;
    drop(is_kept.await);
}

async fn cuts(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let broker = impatient(vendor, proxy.address()).await;
    let harm = async {
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            proxy.cut();
        }
    };
    loses_nothing("cuts", &broker, harm).await;
}

async fn hangs(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let broker = impatient(vendor, server.address()).await;
    let harm = async {
        for length in [300, 1500, 4000] {
            tokio::time::sleep(Duration::from_millis(700)).await;
            server.signal(Signal::SIGSTOP);
            let begun = Instant::now();
            tokio::time::sleep(Duration::from_millis(length)).await;
            if length > 1500 {
                let kind = publish(&broker, "t.x", "hangs").await.unwrap_err().kind();
                assert!(matches!(kind, Kind::Timeout | Kind::Unavailable), "{kind:?}");
                assert!(begun.elapsed() < Duration::from_millis(length + 3000));
            }
            server.signal(Signal::SIGCONT);
            healed(&broker).await;
        }
    };
    loses_nothing("hangs", &broker, harm).await;
}

async fn weather(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Arc::new(Proxy::start(server.address()).await);
    let broker = impatient(vendor, proxy.address()).await;
    let harm = async {
        let storm = storm(Arc::clone(&proxy), 7);
        drop(tokio::time::timeout(Duration::from_secs(5), storm).await);
        proxy.change(testkit::proxy::Weather::clear);
    };
    loses_nothing("weather", &broker, harm).await;
}

async fn away(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let broker = impatient(vendor, proxy.address()).await;
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "before").await.unwrap();
    let held = next(&*subscriber).await;
    proxy.change(|weather| weather.refused = true);
    proxy.cut();
    // What is on its way while the proxy hears of it may still arrive.
    while publish(&broker, "other", "away").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    for _ in 0..1000 {
        let error = publish(&broker, "a", "away").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains(&proxy.address().to_string()), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let error = subscriber.next().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    let error = broker.subscribe(&of_group("h", &["a"])).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    let error = held.ack().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    proxy.change(|weather| weather.refused = false);
    healed(&broker).await;
    // It was not acknowledged, so it comes again.
    assert_eq!(text(&*subscriber).await, "before");
    publish(&broker, "a", "after").await.unwrap();
    assert_eq!(text(&*subscriber).await, "after");
}

async fn wrong_servers(vendor: &'static Vendor) {
    let http = Stranger::start().await;
    another_kind(vendor, http.address()).await;
    // A real server, of another vendor.
    let other = if vendor.name == "redis" { "nats" } else { "redis" };
    let other = VENDORS.iter().find(|it| it.name == other).unwrap();
    another_kind(vendor, (other.shared)().address()).await;
    // Nobody.
    let nobody = http.address();
    drop(http);
    let url = (vendor.url)(nobody);
    let error = bound(&format!("{{ url = '{url}', timeout = '2s' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

/// It does not help to wait for who is not there: what has to change is the URL.
async fn another_kind(vendor: &Vendor, address: SocketAddr) {
    let url = (vendor.url)(address);
    let error = bound(&format!("{{ url = '{url}', timeout = '2s' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let words = error.to_string();
    let (host, _) = words.split_once(" does not speak as ").unwrap_or_else(|| panic!("{words}"));
    assert_eq!(host, format!("{} {address}", vendor.name));
}

/// Who waits for a message may give up at any time, and subscribers may go.
async fn given_up(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let broker = impatient(vendor, server.address()).await;
    let subscription = Subscription { prefetch: 4, ..of_group("g", &["a"]) };
    let mut subscriber = broker.subscribe(&subscription).await.unwrap();
    let published: BTreeSet<String> = (0..300).map(|number| number.to_string()).collect();
    let mut left = published.clone();
    let publishing = async {
        for text in &published {
            publish(&broker, "a", text).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let handling = async {
        let begun = Instant::now();
        for round in 0_u64.. {
            let wait = Duration::from_micros((round * 37) % 1500);
            if let Ok(Ok(Some(delivery))) = tokio::time::timeout(wait, subscriber.next()).await {
                left.remove(&content(&delivery));
                delivery.ack().await.unwrap();
            }
            if round % 50 == 49 {
                subscriber = broker.subscribe(&subscription).await.unwrap();
            }
            if left.is_empty() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{left:?} of {} were lost", published.len());
        }
    };
    futures::join!(publishing, handling);
}
