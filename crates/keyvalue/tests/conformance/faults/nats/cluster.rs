//! Three servers that keep their streams together, of which one is away.

use super::super::{PLAIN, all_there, bound, healed, heard, put};
use crate::trial;
use base::Kind;
use base::offer::Consistency;
use futures::StreamExt as _;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::program::Signal;
use testkit::servers::NatsCluster;
use wharf_keyvalue::{Change, ListOptions, Store, WatchOptions};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::nats::a_cluster_that_loses_servers_loses_no_write", lost_servers()),
        trial("faults::nats::a_counter_counts_on_under_another_leader", counter()),
        trial("faults::nats::a_server_that_hangs_does_not_stop_the_cluster", hanging_server()),
        trial("faults::nats::a_server_that_is_behind_hides_nothing", behind()),
    ]
}

const TIMEOUT: Duration = Duration::from_secs(2);

async fn store(cluster: &NatsCluster) -> Arc<dyn Store> {
    let settings = cluster.settings();
    let line = format!("{{ {settings}, bucket = 'b', timeout = '2s' }}");
    let store = bound(&line).await.unwrap();
    assert_eq!(store.offer().levels.consistency, Consistency::Primary);
    store
}

/// What eight writers were told in so much time: the keys that were acknowledged.
async fn write_for(store: &Arc<dyn Store>, round: usize, time: Duration) -> Vec<String> {
    let end = Instant::now() + time;
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(store);
        async move {
            let mut written = Vec::new();
            for number in 0.. {
                let begun = Instant::now();
                if begun > end {
                    break;
                }
                let key = format!("{round}/{writer}/{number}");
                match put(&store, &key).await {
                    Ok(()) => written.push(key),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                let took = begun.elapsed();
                assert!(took < TIMEOUT * 2, "a call took {took:?}");
            }
            written
        }
    });
    futures::future::join_all(writers).await.into_iter().flatten().collect()
}

async fn lost_servers() {
    let mut cluster = NatsCluster::start();
    let store = store(&cluster).await;
    put(&store, "before").await.unwrap();
    let mut written = Vec::new();
    for round in 0..2 {
        let leader = cluster.leader("KV_b");
        // First one that follows, then the leader.
        let victim = if round == 0 { (leader + 1) % 3 } else { leader };
        let crash = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cluster.nodes[victim].crash();
        };
        let writing = write_for(&store, round, Duration::from_secs(8));
        let (acknowledged, ()) = futures::join!(writing, crash);
        assert!(!acknowledged.is_empty(), "nothing was written in round {round}");
        written.extend(acknowledged);
        // With two of three it goes on.
        healed(&store).await;
        all_there(&store, &written).await;
        cluster.again(victim);
        healed(&store).await;
        all_there(&store, &written).await;
    }
    assert!(written.len() > 100, "{} writes", written.len());
}

async fn hanging_server() {
    let cluster = NatsCluster::start();
    let store = store(&cluster).await;
    put(&store, "before").await.unwrap();
    let mut written = Vec::new();
    let leader = cluster.leader("KV_b");
    for (round, victim) in [(leader + 1) % 3, (leader + 2) % 3, leader].into_iter().enumerate() {
        cluster.nodes[victim].signal(Signal::SIGSTOP);
        written.extend(write_for(&store, round, Duration::from_secs(3)).await);
        // The others have noticed, or do so now.
        healed(&store).await;
        cluster.nodes[victim].signal(Signal::SIGCONT);
        cluster.wait();
        healed(&store).await;
        all_there(&store, &written).await;
    }
    assert!(written.len() > 100, "{} writes", written.len());
}

/// A server that is behind gives out what it has, and knows of no more.
async fn behind() {
    let cluster = NatsCluster::start_with_links().await;
    let line = |node: usize| {
        let url = cluster.nodes[node].url();
        format!("{{ url = '{url}', replicas = 3, bucket = 'b', timeout = '10s' }}")
    };
    let store = bound(&line(0)).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&store, "a").await.unwrap();
    let (_, mut seen) = heard(&mut changes).await;
    let leader = cluster.leader("KV_b");
    for (round, follower) in [(leader + 1) % 3, (leader + 2) % 3].into_iter().enumerate() {
        // The third hears both. Each store reads the stream from one of the three, by chance.
        let third = 3 - leader - follower;
        let (mut stores, line) = (Vec::new(), line(third));
        for _ in 0..8 {
            stores.push(bound(&line).await.unwrap());
        }
        for store in &stores {
            assert_eq!(listed(store).await.len(), 1 + 2 * round);
        }
        cluster.stall(leader, follower, true);
        let keys = [format!("b{round}"), format!("c{round}")];
        put(&stores[0], &keys[0]).await.unwrap();
        put(&stores[1], &keys[1]).await.unwrap();
        let asked = stores.iter().map(async |store| {
            assert_eq!(listed(store).await.len(), 3 + 2 * round);
            let from = WatchOptions { from: Some(seen), ..WatchOptions::default() };
            let mut resumed = store.watch(&from).await.unwrap();
            let mut last = seen;
            for key in &keys {
                let (told, position) = heard(&mut resumed).await;
                assert_eq!(told, *key);
                last = position;
            }
            last
        });
        let thaw = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            cluster.stall(leader, follower, false);
        };
        let (told, ()) = futures::join!(futures::future::join_all(asked), thaw);
        seen = told[0];
    }
}

async fn listed(store: &Arc<dyn Store>) -> Vec<String> {
    store.list(&ListOptions::default()).await.unwrap().keys
}

/// No acknowledged increment is lost, none counts twice, and who watches hears of the last.
async fn counter() {
    let mut cluster = NatsCluster::start();
    let store = store(&cluster).await;
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    let mut told = async |wanted: Option<i64>| {
        loop {
            let change = changes.next().await.unwrap().unwrap();
            assert!(!matches!(change, Change::Missed { .. }), "who listens misses nothing");
            let is_wanted = |wanted: i64| match &change {
                Change::Set { key, value, .. } => key == "n" && *value == wanted.to_string(),
                _ => false,
            };
            if wanted.is_some_and(is_wanted) {
                break;
            }
        }
    };
    let (sure, unsure) = tokio::select! {
        counts = count_through_crashes(&mut cluster, &store) => counts,
        () = told(None) => unreachable!("it listens for ever"),
    };
    let count = store.increment("n", 0, &PLAIN).await.unwrap();
    assert!((sure..=sure + unsure).contains(&count), "{count}: {sure} and perhaps {unsure} more");
    assert!(sure > 100, "{sure} increments");
    let last = tokio::time::timeout(Duration::from_secs(20), told(Some(count)));
    last.await.expect("the last change");
}

/// Eight count while the leader crashes, twice; how often it was acknowledged, and how often not.
async fn count_through_crashes(cluster: &mut NatsCluster, store: &Arc<dyn Store>) -> (i64, i64) {
    let (mut sure, mut unsure) = (0, 0);
    for _ in 0..2 {
        healed(store).await;
        let leader = cluster.leader("KV_b");
        let crash = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cluster.nodes[leader].crash();
        };
        let clerks = (0..8).map(|_| count(store, Instant::now() + Duration::from_secs(7)));
        let (counts, ()) = futures::join!(futures::future::join_all(clerks), crash);
        for (one, other) in counts {
            sure += one;
            unsure += other;
        }
        tokio::task::block_in_place(|| cluster.again(leader));
    }
    healed(store).await;
    (sure, unsure)
}

async fn count(store: &Arc<dyn Store>, end: Instant) -> (i64, i64) {
    let (mut sure, mut unsure) = (0, 0);
    while Instant::now() < end {
        match store.increment("n", 1, &PLAIN).await {
            Ok(_) => sure += 1,
            Err(error) if error.kind() == Kind::Exhausted => {}
            Err(error) => {
                assert!(error.kind().is_temporary(), "{error}");
                unsure += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    (sure, unsure)
}
