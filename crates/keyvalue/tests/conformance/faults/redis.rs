//! What only Redis does: memory that is full, replicas, fail-over, clusters, shards.

use super::{HANGS, PLAIN, all_there, bound, healed, open, put, write_until_it_fails};
use crate::trial;
use base::Kind;
use base::offer::{Consistency, Durability};
use bytes::Bytes;
use libtest_mimic::Trial;
use std::net::SocketAddr;
use std::time::Instant;
use testkit::certificates::Certificates;
use testkit::program::Signal;
use testkit::servers::{
    Cluster, Sentinels, Server, redis_tls, redis_with, sentinel_of, sentinel_tls,
};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::redis::a_full_server_refuses_and_keeps_what_it_has", full()),
        trial("faults::redis::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::redis::a_server_without_tls_is_told", no_tls()),
        trial("faults::redis::certificates_are_checked_on_both_sides", tls()),
        trial("faults::redis::sentinels_and_the_master_speak_tls", sentinel_with_tls()),
        trial("faults::redis::the_nodes_of_a_cluster_speak_tls", cluster_with_tls()),
        trial("faults::redis::sentinels_may_want_a_password", sentinel_password()),
        trial("faults::redis::a_replica_is_refused_with_what_to_do", replica()),
        trial("faults::redis::a_node_of_a_cluster_is_refused_with_what_to_do", node()),
        trial("faults::redis::shards_never_change", shards()),
        trial("faults::redis::a_replica_takes_over", fail_over(Server::crash)),
        trial(
            "faults::redis::a_replica_takes_over_from_a_master_that_hangs",
            fail_over(|master| master.signal(Signal::SIGSTOP)),
        ),
        trial("faults::redis::a_cluster_that_loses_a_node_loses_no_write", lost_node()),
    ]
}

async fn full() {
    let server = redis_with(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let store = open(&server.url()).await.unwrap();
    put(&store, "before").await.unwrap();
    let big = Bytes::from(vec![7; 1 << 20]);
    let mut refused = None;
    for number in 0..8 {
        if let Err(error) = store.set(&format!("big {number}"), big.clone(), &PLAIN).await {
            refused = Some(error);
        }
    }
    let refused = refused.expect("there is no room for all of it");
    assert_eq!(refused.kind(), Kind::Exhausted, "{refused}");
    assert!(store.exists("before").await.unwrap());
}

async fn wrong_password() {
    let server = redis_with(&["--requirepass", "open sesame"]);
    let address = server.address();
    for url in [format!("redis://:hunter2@{address}"), format!("redis://{address}")] {
        let error = open(&url).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = error.to_string();
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    let cluster = Cluster::shared().nodes[0].address();
    let line = format!("{{ url = 'redis://:hunter2@{cluster}', cluster = true }}");
    let (kind, words, hint) = refused(&line, cluster).await;
    assert_eq!(kind, Kind::Denied, "{words}");
    assert!(!words.contains("hunter2") && hint.contains("password in the URL"), "{words}");
    let store = open(&format!("redis://:open%20sesame@{address}")).await.unwrap();
    put(&store, "key").await.unwrap();
    let error = open(&format!("redis://:open%20sesame@{address}/99")).await.err().unwrap();
    assert!(error.to_string().contains("out of range"), "{error}");
}

/// What is told of a binding that cannot be opened: its kind, its words and its hint.
async fn refused(settings: &str, address: SocketAddr) -> (Kind, String, String) {
    let error = bound(settings).await.err().unwrap();
    let words = error.to_string();
    assert!(words.contains(&address.to_string()), "{words}");
    (error.kind(), words, error.hint().unwrap_or_default().to_owned())
}

async fn no_tls() {
    // One that wants a password says so to nobody who speaks TLS.
    for server in [redis_with(&[]), redis_with(&["--requirepass", "open sesame"])] {
        let address = server.address();
        let settings = format!("{{ url = 'rediss://{address}', timeout = '2s' }}");
        let (kind, words, hint) = refused(&settings, address).await;
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(words.contains("does not speak TLS"), "{words}");
        assert!(hint.contains("write `redis://"), "{hint}");
    }
}

async fn replica() {
    let master = redis_with(&[]);
    let port = master.address().port().to_string();
    let replica = redis_with(&["--replicaof", "127.0.0.1", &port]);
    let error = open(&replica.url()).await.err().unwrap();
    assert!(error.to_string().contains("read-only replica"), "{error}");
    assert!(error.hint().unwrap().contains("master"), "{error}");
}

async fn shards() {
    let server = redis_with(&[]);
    let with = async |shards: u16| {
        bound(&format!("{{ url = '{}', shards = {shards} }}", server.url())).await
    };
    let store = with(4).await.unwrap();
    for number in 0..100 {
        put(&store, &format!("{number:03}")).await.unwrap();
    }
    let mut options =
        wharf_keyvalue::ListOptions { limit: 7, ..wharf_keyvalue::ListOptions::default() };
    let mut keys = Vec::new();
    loop {
        let page = store.list(&options).await.unwrap();
        keys.extend(page.keys);
        options.after = page.next;
        if options.after.is_none() {
            break;
        }
    }
    assert_eq!(keys, (0..100).map(|number| format!("{number:03}")).collect::<Vec<_>>());
    let error = with(8).await.err().unwrap();
    assert!(error.to_string().contains("spread over 4 shards, not 8"), "{error}");
    with(4).await.unwrap();
}

async fn tls() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let server = redis_tls(&ours);
    let address = server.address();
    let path = |path: &std::path::Path| path.display().to_string();
    let known = format!("{{ url = 'rediss://{address}', timeout = '2s', {} }}", identified(&ours));
    put(&bound(&known).await.unwrap(), "key").await.unwrap();
    // Whom we do not trust.
    let (ca, others_ca) = (path(&ours.ca), path(&others.ca));
    for authorities in [String::new(), format!(", ca = '{others_ca}'")] {
        let settings = format!("{{ url = 'rediss://{address}'{authorities} }}");
        let (kind, words, hint) = refused(&settings, address).await;
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(words.contains("invalid peer certificate"), "{words}");
        assert!(hint.contains("`ca = "), "{hint}");
    }
    // Who does not trust us, or does not know us.
    let (certificate, key) = (path(&others.client), path(&others.client_key));
    for shown in [String::new(), format!(", certificate = '{certificate}', key = '{key}'")] {
        let settings = format!("{{ url = 'rediss://{address}', ca = '{ca}'{shown} }}");
        let (kind, words, hint) = refused(&settings, address).await;
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(hint.contains("give `certificate` and `key`"), "{words} {hint}");
    }
    let (kind, words, hint) = refused(&format!("'redis://{address}'"), address).await;
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(words.contains("speaks TLS") && hint.contains("write `rediss://"), "{words} {hint}");
    let alone = bound(&format!("{{ url = 'rediss://{address}', certificate = 'x.pem' }}")).await;
    assert!(alone.err().unwrap().to_string().contains("`certificate` and `key` go together"));
}

async fn node() {
    let cluster = Cluster::shared();
    let error = open(&cluster.nodes[0].url()).await.err().unwrap();
    assert!(error.to_string().contains("node of a cluster"), "{error}");
    assert!(error.hint().unwrap().contains("cluster = true"), "{error}");
}

/// What the old master acknowledged and did not pass on is lost, and the offer says so.
async fn fail_over(harm: fn(&Server)) {
    let servers = Sentinels::start();
    let store = bound(&format!("{{ {}, timeout = '1s' }}", servers.settings())).await.unwrap();
    let levels = &store.offer().levels;
    assert_eq!((levels.durability, levels.consistency), (Durability::None, Consistency::Primary));
    let before = write_until_it_fails(&store, 0, async || harm(&servers.master)).await;
    let begun = Instant::now();
    drop(put(&store, "meanwhile").await);
    assert!(begun.elapsed() < HANGS, "{:?}", begun.elapsed());
    healed(&store).await;
    let mut kept = 0;
    for key in &before {
        kept += usize::from(store.exists(key).await.unwrap());
    }
    assert!(kept > before.len() / 2, "{kept} of {}", before.len());
    // The replica is the master now, and nothing is lost any more.
    let after = write_until_it_fails(&store, 1, async || {}).await;
    assert!(!after.is_empty());
    all_there(&store, &after).await;
}

/// The keys of a binding that trusts these authorities, and is who they say.
fn identified(certificates: &Certificates) -> String {
    let path = |path: &std::path::Path| path.display().to_string();
    let Certificates { ca, client, client_key, .. } = certificates;
    let (ca, certificate, key) = (path(ca), path(client), path(client_key));
    format!("ca = '{ca}', certificate = '{certificate}', key = '{key}'")
}

async fn sentinel_with_tls() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let master = redis_tls(&ours);
    let sentinel = sentinel_tls(&master, &ours);
    let address = sentinel.address();
    let url = format!("url = 'rediss://{address}', sentinel = 'main'");
    let store = bound(&format!("{{ {url}, {} }}", identified(&ours))).await.unwrap();
    put(&store, "key").await.unwrap();
    assert_eq!(store.get("key").await.unwrap(), Some(Bytes::from_static(b"x")));
    let untrusted = format!("{{ {url}, {} }}", identified(&others));
    let (kind, words, hint) = refused(&untrusted, address).await;
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(hint.contains("`ca = "), "{hint}");
}

async fn cluster_with_tls() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let (_cluster, addresses) = Cluster::start_tls(&ours);
    let [first, rest @ ..] = addresses.as_slice() else { panic!("there are three") };
    let rest: Vec<String> = rest.iter().map(|address| format!("'{address}'")).collect();
    let nodes = format!("url = 'rediss://{first}', cluster = true, nodes = [{}]", rest.join(", "));
    let line = format!("{{ {nodes}, shards = 16, {} }}", identified(&ours));
    let store = bound(&line).await.unwrap();
    for number in 0..32 {
        let key = number.to_string();
        put(&store, &key).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), Some(Bytes::from_static(b"x")));
    }
    let untrusted = format!("{{ {nodes}, timeout = '2s', {} }}", identified(&others));
    let (kind, words, hint) = refused(&untrusted, *first).await;
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(hint.contains("`ca = "), "{hint}");
}

async fn sentinel_password() {
    let master = redis_with(&["--requirepass", "open sesame"]);
    let settings = "requirepass \"of Sentinels\"\nsentinel auth-pass main \"open sesame\"\n";
    let sentinel = sentinel_of(&master, settings);
    let address = sentinel.address();
    let url = format!("url = 'redis://:open%20sesame@{address}', sentinel = 'main'");
    let with = |more: &str| format!("{{ {url}, timeout = '2s'{more} }}");
    put(&bound(&with(", sentinel-password = 'of Sentinels'")).await.unwrap(), "key").await.unwrap();
    let user = ", sentinel-user = 'default', sentinel-password = 'of Sentinels'";
    put(&bound(&with(user)).await.unwrap(), "key").await.unwrap();
    // Those of the master are none of theirs.
    for more in ["", ", sentinel-password = 'hunter2'", ", sentinel-password = 'open sesame'"] {
        let (kind, words, hint) = refused(&with(more), address).await;
        assert_eq!(kind, Kind::Denied, "{words}");
        assert!(hint.contains("`sentinel-password`"), "{words} {hint}");
        let told = format!("{words} {hint}");
        assert!(!told.contains("hunter2") && !told.contains("sesame"), "{told}");
    }
    let alone = format!("{{ url = 'redis://{address}', sentinel-password = 'hunter2' }}");
    let words = bound(&alone).await.err().unwrap().to_string();
    assert!(words.contains("are for Sentinels") && !words.contains("hunter2"), "{words}");
}

async fn lost_node() {
    let mut cluster = Cluster::start();
    let settings = cluster.settings();
    let line = format!("{{ {settings}, shards = 16, timeout = '1s', prefix = 'lost' }}");
    let store = bound(&line).await.unwrap();
    assert_eq!(store.offer().levels.durability, Durability::Fsync);
    let mut written = Vec::new();
    for node in 0..3 {
        let acknowledged = write_until_it_fails(&store, u32::try_from(node).unwrap(), async || {
            cluster.nodes[node].crash();
        });
        written.extend(acknowledged.await);
        cluster.again(node);
        healed(&store).await;
        all_there(&store, &written).await;
    }
    assert!(written.len() > 100, "{} writes", written.len());
    cluster.nodes[0].signal(Signal::SIGSTOP);
    for number in 0..32 {
        // Those of the other nodes may be written, until the cluster notices.
        let begun = Instant::now();
        drop(put(&store, &format!("stopped {number}")).await);
        assert!(begun.elapsed() < HANGS, "{:?}", begun.elapsed());
    }
    cluster.nodes[0].signal(Signal::SIGCONT);
    cluster.wait();
    healed(&store).await;
    all_there(&store, &written).await;
}
