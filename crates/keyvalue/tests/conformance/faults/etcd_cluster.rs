//! Three nodes of etcd, of which one crashes or hangs.

use super::{bound, healed, put};
use crate::trial;
use base::offer::{Durability, Fence};
use etcd_client::Client;
use futures::future::join_all;
use libtest_mimic::Trial;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use testkit::program::Signal;
use testkit::servers::{EtcdCluster, etcd_cluster};
use wharf_keyvalue::{Change, Store, WatchOptions};

/// A call that takes longer hangs: its timeout, and what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(4);

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::etcd-cluster::nodes_crash_and_nothing_is_lost", crashes()),
        trial("faults::etcd-cluster::a_node_that_hangs_is_left", hangs()),
    ]
}

pub(crate) fn shared() -> &'static EtcdCluster {
    static CLUSTER: LazyLock<EtcdCluster> = LazyLock::new(etcd_cluster);
    &CLUSTER
}

/// What the deployment file says of a binding on them.
pub(crate) fn settings(cluster: &EtcdCluster) -> String {
    format!("{}, timeout = '2s'", cluster.settings())
}

/// Which node leads.
async fn leader(cluster: &EtcdCluster) -> usize {
    let begun = Instant::now();
    loop {
        for (node, address) in cluster.addresses().iter().enumerate() {
            let client = Client::connect([address.to_string()], None).await.unwrap();
            let mut client = client.maintenance_client();
            let status = tokio::time::timeout(Duration::from_secs(1), client.status());
            if let Ok(Ok(status)) = status.await
                && status.leader() != 0
                && status.leader() == status.header().unwrap().member_id()
            {
                return node;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody leads");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Eight who write until `ended` ends. What was acknowledged, and the longest time without that.
async fn write_while(
    store: &Arc<dyn Store>,
    name: &str,
    ended: impl Future<Output = ()>,
) -> (Vec<String>, Duration) {
    let stop = AtomicBool::new(false);
    let writers = join_all((0..8).map(async |writer| {
        let (mut written, mut longest) = (Vec::new(), Duration::ZERO);
        let mut last = Instant::now();
        for number in 0.. {
            if stop.load(Relaxed) {
                break;
            }
            let (key, begun) = (format!("{name}/{writer}/{number}"), Instant::now());
            let outcome = put(store, &key).await;
            assert!(begun.elapsed() < PATIENCE, "{key} took {:?}: {outcome:?}", begun.elapsed());
            match outcome {
                Ok(()) => {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                    written.push(key);
                }
                Err(error) => {
                    assert!(error.kind().is_temporary(), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        (written, longest.max(last.elapsed()))
    }));
    let end = async {
        ended.await;
        stop.store(true, Relaxed);
    };
    let (all, ()) = futures::join!(writers, end);
    let longest = all.iter().map(|(_, longest)| *longest).max().unwrap();
    (all.into_iter().flat_map(|(written, _)| written).collect(), longest)
}

async fn crashes() {
    let cluster = tokio::task::spawn_blocking(etcd_cluster).await.unwrap();
    let store = bound(&format!("{{ {} }}", settings(&cluster))).await.unwrap();
    let levels = store.offer().levels;
    assert_eq!((levels.durability, levels.fence), (Durability::Replicated, Fence::Quorum));
    let mut written = Vec::new();
    // The node that calls go to, whatever it is; then whoever leads, twice.
    for round in 0..3 {
        let node = if round == 0 { 0 } else { leader(&cluster).await };
        let crash = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cluster.with(node, testkit::servers::Server::crash);
            tokio::time::sleep(Duration::from_secs(6)).await;
        };
        let (acknowledged, longest) = write_while(&store, &round.to_string(), crash).await;
        assert!(longest < Duration::from_secs(6), "no write for {longest:?}");
        assert!(acknowledged.len() > 100, "{} writes", acknowledged.len());
        written.extend(acknowledged);
        healed(&store).await;
        tokio::task::block_in_place(|| cluster.again(node));
    }
    let other = bound(&format!("{{ {} }}", settings(&cluster))).await.unwrap();
    for keys in written.chunks(500) {
        let found = other.get_many(keys, usize::MAX).await.unwrap();
        for (key, found) in keys.iter().zip(found) {
            assert!(found.is_some(), "{key} was acknowledged and is gone");
        }
    }
}

async fn hangs() {
    use futures::StreamExt as _;
    let cluster = tokio::task::spawn_blocking(etcd_cluster).await.unwrap();
    let store = bound(&format!("{{ {} }}", settings(&cluster))).await.unwrap();
    let mut changes = store.watch(&WatchOptions::prefix("watched")).await.unwrap();
    for node in [0, leader(&cluster).await] {
        let stop = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            cluster.with(node, |server| server.signal(Signal::SIGSTOP));
            tokio::time::sleep(Duration::from_secs(7)).await;
        };
        let (_, longest) = write_while(&store, "key", stop).await;
        assert!(longest < Duration::from_secs(7), "no write for {longest:?}");
        healed(&store).await;
        put(&store, "watched").await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), changes.next()).await;
        let change = next.expect("a change").unwrap().unwrap();
        assert!(matches!(&change, Change::Set { key, .. } if key == "watched"), "{change:?}");
        cluster.with(node, |server| server.signal(Signal::SIGCONT));
        healed(&store).await;
    }
}
