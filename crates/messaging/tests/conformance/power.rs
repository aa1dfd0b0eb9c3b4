//! The power goes at any moment: what was acknowledged is handed out afterwards, in its order, and
//! nothing is damaged.

use crate::folder::Folder;
use crate::{embedded, everything, file, text, trial, within};
use base::Clock;
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::disk::Disk;
use testkit::random::Random;
use wharf_messaging::{Broker, Message, PublishOptions};

const CLIENTS: u64 = 4;
const ROUNDS: u64 = 12;
const CUTS: u64 = 60;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = of::<Disk>("embedded");
    trials.extend(of::<Folder>("file"));
    trials
}

fn of<M: Medium>(name: &str) -> Vec<Trial> {
    let name = |words: &str| format!("power::{name}::{words}");
    vec![
        trial(name("strict_messages_survive_a_cut_at_any_moment"), cuts::<M>("strict")),
        trial(name("relaxed_messages_are_lost_whole_or_not_at_all"), cuts::<M>("relaxed")),
        trial(name("publishing_goes_on_when_a_full_disk_has_room_again"), full_disk::<M>("strict")),
        trial(name("relaxed_messages_wait_for_a_full_disk"), full_disk::<M>("relaxed")),
    ]
}

/// What loses its power.
trait Medium: Send + Sync + Sized + 'static {
    /// One with nothing on it.
    fn empty() -> Self;
    /// What is left on it after the power went, which it does now if it did not; what that one
    /// keeps when it goes again depends on the seed.
    fn left(&self, seed: u64) -> Self;
    fn broker(&self, durability: &str) -> base::Result<Arc<dyn Broker>>;
    fn cut_after(&self, calls: u64);
    fn calls(&self) -> u64;
    fn set_broken(&self, broken: bool);
}

impl Medium for Disk {
    fn empty() -> Self {
        Self::new(Vec::new(), 0)
    }

    fn left(&self, seed: u64) -> Self {
        Self::new(self.after_the_cut(), seed)
    }

    fn broker(&self, durability: &str) -> base::Result<Arc<dyn Broker>> {
        let settings = embedded(&format!("durability = '{durability}'"));
        settings.broker("disk".to_owned(), self.opener(), Clock::System)
    }

    fn cut_after(&self, calls: u64) {
        self.cut_after(calls);
    }

    fn calls(&self) -> u64 {
        self.calls()
    }

    fn set_broken(&self, broken: bool) {
        self.set_broken(broken);
    }
}

impl Medium for Folder {
    fn empty() -> Self {
        Self::default()
    }

    fn left(&self, seed: u64) -> Self {
        self.after_the_cut(seed)
    }

    fn broker(&self, durability: &str) -> base::Result<Arc<dyn Broker>> {
        let settings = file(&format!("durability = '{durability}'"));
        settings.broker("disk".to_owned(), Arc::new(self.clone()), Clock::System)
    }

    fn cut_after(&self, calls: u64) {
        self.cut_after(calls);
    }

    fn calls(&self) -> u64 {
        self.calls()
    }

    fn set_broken(&self, broken: bool) {
        self.set_broken(broken);
    }
}

/// How many messages a publisher tried, and how many were acknowledged.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
    tried: AtomicU64,
}

/// What is there once there is a broker and its group.
async fn created<M: Medium>() -> M {
    let disk = M::empty();
    let broker = disk.broker("strict").unwrap();
    drop(broker.subscribe(&everything()).await.unwrap());
    drop(broker);
    disk
}

async fn cuts<M: Medium>(durability: &'static str) {
    let created = created::<M>().await;
    let disk = created.left(0);
    run(&disk, durability).await;
    let moments = disk.calls();
    assert!(moments > 30, "the workload touches the disk only {moments} times");
    let mut random = Random(durability.len() as u64);
    for seed in 0..CUTS {
        let disk = created.left(seed);
        let moment = random.below(moments);
        disk.cut_after(moment);
        let progress = run(&disk, durability).await;
        let left = disk.left(seed);
        check(&left, durability, &progress).await.unwrap_or_else(|wrong| {
            panic!("cut {seed} after call {moment} of {moments}: {wrong}");
        });
    }
}

/// Publishers publish and one subscriber takes every other message, until they are done or the
/// power goes.
async fn run<M: Medium>(disk: &M, durability: &str) -> Vec<Progress> {
    let progress: Vec<_> = (0..CLIENTS).map(|_| Progress::default()).collect();
    let Ok(broker) = disk.broker(durability) else { return progress };
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let publishers = progress.iter().enumerate().map(|(client, progress)| {
        let broker = &broker;
        async move {
            for round in 1..=ROUNDS {
                progress.tried.store(round, Ordering::SeqCst);
                let message = Message::new(format!("{client} {round} {}", "x".repeat(500)));
                let published = broker.publish("a", message, &PublishOptions::default()).await;
                if published.is_err() {
                    break;
                }
                progress.acknowledged.store(round, Ordering::SeqCst);
                if durability == "relaxed" {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    });
    let taking = async {
        let mut held = Vec::new();
        while let Ok(Some(delivery)) = subscriber.next().await {
            // What is never acknowledged has to come again.
            match held.len() % 2 {
                0 => held.push(Some(delivery)),
                _ => {
                    drop(delivery.nack(Duration::ZERO).await);
                    held.push(None);
                }
            }
        }
    };
    tokio::select! {
        _ = futures::future::join_all(publishers) => {}
        () = taking => {}
    }
    progress
}

async fn check<M: Medium>(disk: &M, durability: &str, progress: &[Progress]) -> Result<(), String> {
    let broker = disk.broker(durability).map_err(|error| format!("it does not open: {error}"))?;
    let failed = |error: base::Error| error.to_string();
    let subscriber = broker.subscribe(&everything()).await.map_err(failed)?;
    let mut found: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    while let Some(delivery) = within(Duration::from_millis(30), &*subscriber).await {
        let text = text(&delivery.message.data);
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(client), Some(round)) = (number(), number()) else {
            return Err(format!("a message is damaged: {text}"));
        };
        found.entry(usize::try_from(client).unwrap()).or_default().push(round);
        delivery.ack().await.map_err(failed)?;
    }
    for (client, progress) in progress.iter().enumerate() {
        let tried = progress.tried.load(Ordering::SeqCst);
        let least = match durability {
            "strict" => progress.acknowledged.load(Ordering::SeqCst),
            _ => 0,
        };
        let found = found.remove(&client).unwrap_or_default();
        let last = found.len() as u64;
        if found != (1..=last).collect::<Vec<_>>() || last < least || last > tried {
            return Err(format!("{client} published {least}..={tried}, and {found:?} came"));
        }
    }
    let published = broker.publish("a", Message::new("after"), &PublishOptions::default()).await;
    published.map_err(|error| format!("it cannot be published to: {error}"))?;
    let after = within(Duration::from_secs(5), &*subscriber).await.ok_or("it did not come")?;
    after.ack().await.map_err(failed)
}

async fn full_disk<M: Medium>(durability: &'static str) {
    let disk = M::empty();
    let broker = disk.broker(durability).unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let options = PublishOptions::default();
    let publish = async |text: String| broker.publish("a", Message::new(text), &options).await;
    publish("first".to_owned()).await.unwrap();
    disk.set_broken(true);
    let mut wanted = vec!["first".to_owned()];
    let mut failed = false;
    for number in 0..50 {
        match publish(number.to_string()).await {
            Ok(_) => wanted.push(number.to_string()),
            Err(error) => {
                assert_eq!(error.kind(), base::Kind::Unavailable, "{error}");
                assert!(error.to_string().contains("disk"), "{error}");
                failed = true;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(failed, "a message that cannot be kept has to fail");
    disk.set_broken(false);
    let healed = async {
        while publish("after".to_owned()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), healed).await.expect("it should heal");
    wanted.push("after".to_owned());
    drop((subscriber, broker));
    let broker = disk.left(0).broker(durability).unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let mut found = Vec::new();
    while let Some(delivery) = within(Duration::from_millis(200), &*subscriber).await {
        found.push(text(&delivery.message.data));
        delivery.ack().await.unwrap();
    }
    assert_eq!(found, wanted, "what was acknowledged comes, and nothing else");
}
