//! The power goes at any moment: what was acknowledged is there, and nothing is damaged.

use crate::{embedded, trial};
use bytes::Bytes;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::disk::Disk;
use testkit::random::Random;
use wharf_keyvalue::backend::embedded::Durability::{self, Relaxed, Strict};
use wharf_keyvalue::backend::embedded::Tree;
use wharf_keyvalue::{Checked, Clock, ListOptions, Store, WriteOptions};

const CLIENTS: u64 = 4;
const ROUNDS: u64 = 12;
const CUTS: u64 = 80;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("power::strict_writes_survive_a_cut_at_any_moment", cuts(Strict)),
        trial("power::relaxed_writes_are_lost_whole_or_not_at_all", cuts(Relaxed)),
        trial("power::writing_goes_on_when_a_full_disk_has_room_again", full_disk(Strict)),
        trial("power::relaxed_writes_wait_for_a_full_disk", full_disk(Relaxed)),
    ]
}

fn open(disk: &Disk, durability: Durability) -> base::Result<Arc<Checked<Tree>>> {
    let store = embedded(durability).store("disk".to_owned(), disk.opener(), Clock::System)?;
    Ok(Arc::new(store))
}

/// What one client knows: how far it came, and how far it may have come.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
    tried: AtomicU64,
}

async fn cuts(durability: Durability) {
    // Without a cut first, to know how many moments there are.
    let created = created();
    let disk = Disk::new(created.clone(), 0);
    run(&disk, durability).await;
    let moments = disk.calls();
    assert!(moments > 50, "the workload touches the disk only {moments} times");
    let mut random = Random(durability as u64);
    for seed in 0..CUTS {
        let disk = Disk::new(created.clone(), seed);
        let moment = random.below(moments);
        disk.cut_after(moment);
        let progress = run(&disk, durability).await;
        let left = Disk::new(disk.after_the_cut(), seed);
        check(&left, durability, &progress).await.unwrap_or_else(|wrong| {
            panic!("cut {seed} after call {moment} of {moments}: {wrong}");
        });
    }
}

/// What is on the disk once there is a store. A file gets its name only then.
fn created() -> Vec<u8> {
    let disk = Disk::new(Vec::new(), 0);
    drop(open(&disk, Strict).unwrap());
    disk.after_the_cut()
}

/// Clients write until they are done or the power goes.
async fn run(disk: &Disk, durability: Durability) -> Vec<Progress> {
    let progress: Vec<_> = (0..CLIENTS).map(|_| Progress::default()).collect();
    let Ok(store) = open(disk, durability) else { return progress };
    let clients = progress.iter().enumerate().map(|(client, progress)| {
        let store = &store;
        async move {
            for round in 1..=ROUNDS {
                progress.tried.store(round, Ordering::SeqCst);
                if write(store, client, round).await.is_err() {
                    break;
                }
                progress.acknowledged.store(round, Ordering::SeqCst);
                if durability == Relaxed {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    });
    futures::future::join_all(clients).await;
    progress
}

/// One batch under a lock, large enough to make the file grow, and one counter.
async fn write(store: &Checked<Tree>, client: usize, round: u64) -> base::Result<()> {
    let value = Bytes::from(format!("{round} ").repeat(2000));
    let batch = (0..4).map(|key| (format!("{client}/{key}"), value.clone())).collect();
    let fence = WriteOptions::fenced(format!("lock {client}"), round);
    store.set_many(batch, &fence).await?;
    if round.is_multiple_of(3) {
        store.delete(&format!("{client}/0"), &WriteOptions::default()).await?;
    }
    store.increment(&format!("{client}/n"), 1, &WriteOptions::default()).await.map(drop)
}

async fn check(disk: &Disk, durability: Durability, progress: &[Progress]) -> Result<(), String> {
    let store = open(disk, durability).map_err(|error| format!("it does not open: {error}"))?;
    for (client, progress) in progress.iter().enumerate() {
        let tried = progress.tried.load(Ordering::SeqCst);
        let least = match durability {
            Strict => progress.acknowledged.load(Ordering::SeqCst),
            Relaxed => 0,
        };
        let number = async |key: String| {
            let value = store.get(&key).await.map_err(|error| error.to_string())?;
            let text = value.map_or_else(
                || "0".to_owned(),
                |value| String::from_utf8(value.to_vec()).unwrap_or_default(),
            );
            let number = text.split(' ').next().unwrap_or_default();
            number.parse::<u64>().map_err(|wrong| format!("{key} is damaged: {wrong}"))
        };
        let counter = number(format!("{client}/n")).await?;
        let batch = number(format!("{client}/1")).await?;
        let first = number(format!("{client}/0")).await?;
        if counter < least || counter > tried || batch < least || batch > tried {
            return Err(format!("{client} wrote {least}..={tried}, left {counter} and {batch}"));
        }
        for key in 2..4 {
            if number(format!("{client}/{key}")).await? != batch {
                return Err("a batch was torn".to_owned());
            }
        }
        if first != batch && !(first == 0 && batch.is_multiple_of(3)) {
            return Err(format!("a batch was torn: {first} and {batch}"));
        }
        let stale = WriteOptions::fenced(format!("lock {client}"), batch.saturating_sub(1));
        let outcome = store.set("stale", Bytes::new(), &stale).await;
        if batch > 0 && !outcome.is_err_and(|error| wharf_keyvalue::is_stale_fence(&error)) {
            return Err("a token was lost that came with its batch".to_owned());
        }
    }
    let listed = store.list(&ListOptions::default()).await.map_err(|error| error.to_string())?;
    for key in listed.keys {
        let value = store.get(&key).await.map_err(|error| format!("{key}: {error}"))?;
        value.ok_or_else(|| format!("{key} is listed and absent"))?;
    }
    let after = store.set("after", Bytes::from_static(b"works"), &WriteOptions::default()).await;
    after.map(drop).map_err(|error| format!("it cannot be written: {error}"))
}

async fn full_disk(durability: Durability) {
    let disk = Disk::new(Vec::new(), 0);
    let store = open(&disk, durability).unwrap();
    let options = WriteOptions::default();
    store.increment("n", 1, &options).await.unwrap();
    disk.set_broken(true);
    let mut counted = 1;
    let mut failed = false;
    for _ in 0..50 {
        match store.increment("n", 1, &options).await {
            Ok(_) => counted += 1,
            Err(error) => {
                assert_eq!(error.kind(), base::Kind::Unavailable, "{error}");
                assert!(error.to_string().contains("disk"), "{error}");
                failed = true;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(failed, "a write that cannot be kept has to fail");
    disk.set_broken(false);
    let healed = async {
        while store.set("after", Bytes::new(), &options).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), healed).await.expect("it should heal");
    let found = store.get("n").await.unwrap().unwrap();
    assert_eq!(found, counted.to_string(), "what was acknowledged is counted");
    drop(store);
    let store = open(&Disk::new(disk.after_the_cut(), 0), durability).unwrap();
    assert_eq!(store.get("n").await.unwrap().unwrap(), counted.to_string());
}
