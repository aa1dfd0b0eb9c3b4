//! Several servers that stand behind one binding.

use crate::faults::{bound, healed, loses_nothing, of_group, publish, text};
use base::Kind;
use base::offer::Durability;
use std::time::Duration;
use testkit::servers::{Cluster, Sentinels};
use wharf_messaging::Message;

/// What the old master acknowledged and did not pass on is lost, and the offer says so; the rest
/// goes on by itself.
pub(super) async fn fail_over() {
    let servers = Sentinels::start();
    let broker = bound(&format!("{{ {}, timeout = '1s' }}", servers.settings())).await.unwrap();
    assert_eq!(broker.offer().levels.durability, Durability::None);
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    for number in 0..50 {
        publish(&broker, "a", &number.to_string()).await.unwrap();
    }
    assert_eq!(text(&*subscriber).await, "0");
    servers.master.crash();
    healed(&broker).await;
    publish(&broker, "a", "after").await.unwrap();
    let mut last = text(&*subscriber).await;
    while last != "after" {
        last = text(&*subscriber).await;
    }
    let request = broker.request("nobody.listens", Message::new("?"), &Default::default()).await;
    assert_eq!(request.unwrap_err().kind(), Kind::Timeout);
}

pub(super) async fn lost_node() {
    let mut cluster = Cluster::start();
    let settings = format!("{{ {}, timeout = '1s', prefix = 'lost' }}", cluster.settings());
    let broker = bound(&settings).await.unwrap();
    assert_eq!(broker.offer().levels.durability, Durability::Fsync);
    let (kept, is_kept) = tokio::sync::oneshot::channel();
    let harm = async {
        for node in 0..3 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            cluster.nodes[node].crash();
            tokio::time::sleep(Duration::from_millis(300)).await;
            cluster.again(node);
            healed(&broker).await;
        }
        drop(kept.send(cluster));
    };
    loses_nothing("nodes of a cluster that crash", &broker, harm).await;
    drop(is_kept.await);
}
