//! What only Redis does: passwords, evictions, replicas, what others wrote.

use super::healed;
use crate::{bound, put, trial};
use base::Kind;
use bytes::Bytes;
use libtest_mimic::Trial;
use testkit::certificates::Certificates;
use testkit::servers::{Cluster, Sentinels, redis_with, sentinel_of};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::redis::a_server_that_evicts_takes_everything", evicts()),
        trial("faults::redis::a_full_server_that_does_not_evict_is_told", full()),
        trial("faults::redis::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::redis::certificates_are_checked", tls()),
        trial("faults::redis::sentinels_may_want_a_password", sentinel_password()),
        trial("faults::redis::a_replica_is_refused_with_what_to_do", replica()),
        trial("faults::redis::a_node_of_a_cluster_is_refused_with_what_to_do", node()),
        trial("faults::redis::a_replica_takes_over", fail_over()),
        trial("faults::redis::a_cluster_that_loses_a_node_heals", lost_node()),
    ]
}

async fn evicts() {
    let server = redis_with(&["--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru"]);
    let cache = bound(&format!("'{}'", server.url())).await.unwrap();
    let value = Bytes::from(vec![7; 64 << 10]);
    for number in 0..400 {
        cache.set(&number.to_string(), value.clone(), None).await.unwrap();
    }
    let mut found = 0;
    for number in 0..400 {
        if let Some(kept) = cache.get(&number.to_string()).await.unwrap() {
            assert!(kept == value);
            found += 1;
        }
    }
    assert!((1..200).contains(&found), "{found} are left");
}

async fn full() {
    let server = redis_with(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let cache = bound(&format!("'{}'", server.url())).await.unwrap();
    let value = Bytes::from(vec![7; 1 << 20]);
    let mut refused = None;
    for number in 0..8 {
        if let Err(error) = cache.set(&format!("big {number}"), value.clone(), None).await {
            refused = Some(error);
        }
    }
    assert_eq!(refused.unwrap().kind(), Kind::Exhausted);
}

async fn wrong_password() {
    let server = redis_with(&["--requirepass", "open sesame"]);
    let address = server.address();
    for url in [format!("redis://:hunter2@{address}"), format!("tiered:redis://:hunter2@{address}")]
    {
        let error = bound(&format!("'{url}'")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = error.to_string();
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    let cache = bound(&format!("'redis://:open%20sesame@{address}'")).await.unwrap();
    put(&cache, "key").await.unwrap();
}

async fn tls() {
    let plain = redis_with(&[]);
    let error = bound(&format!("'rediss://{}'", plain.address())).await.err().unwrap();
    let words = format!("redis {} does not speak TLS", plain.address());
    assert_eq!((error.kind(), error.message()), (Kind::Invalid, words.as_str()), "{error}");
    assert!(error.hint().unwrap().contains("write `redis://"), "{error}");

    let files = Certificates::new();
    let path = |path: &std::path::Path| path.display().to_string();
    let (server, key, ca) = (path(&files.server), path(&files.server_key), path(&files.ca));
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    let arguments = [
        ["--tls-port", &port],
        ["--tls-cert-file", &server],
        ["--tls-key-file", &key],
        ["--tls-ca-cert-file", &ca],
        ["--tls-auth-clients", "no"],
    ];
    let _server = redis_with(&arguments.concat());
    let url = format!("rediss://127.0.0.1:{port}");
    let error = bound(&format!("'{url}'")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(error.hint().unwrap().contains("`ca = "), "{error}");
    let error = bound(&format!("'redis://127.0.0.1:{port}'")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().unwrap().contains("write `rediss://"), "{error}");
    let cache = bound(&format!("{{ url = '{url}', ca = '{ca}' }}")).await.unwrap();
    put(&cache, "key").await.unwrap();
}

async fn sentinel_password() {
    let master = redis_with(&[]);
    let sentinel = sentinel_of(&master, "requirepass \"open sesame\"\n");
    let url = format!("url = '{}', sentinel = 'main'", sentinel.url());
    let line = format!("{{ {url}, sentinel-password = 'open sesame' }}");
    put(&bound(&line).await.unwrap(), "key").await.unwrap();
    for more in ["", ", sentinel-password = 'hunter2'"] {
        let error = bound(&format!("{{ {url}{more} }}")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.hint().unwrap().contains("`sentinel-password`"), "{error}");
    }
}

async fn replica() {
    let master = redis_with(&[]);
    let port = master.address().port().to_string();
    let replica = redis_with(&["--replicaof", "127.0.0.1", &port]);
    let error = bound(&format!("'{}'", replica.url())).await.err().unwrap();
    assert!(error.to_string().contains("read-only replica"), "{error}");
    assert!(error.hint().unwrap().contains("master"), "{error}");
}

async fn node() {
    let cluster = Cluster::shared();
    let error = bound(&format!("'{}'", cluster.nodes[0].url())).await.err().unwrap();
    assert!(error.to_string().contains("node of a cluster"), "{error}");
    assert!(error.hint().unwrap().contains("cluster = true"), "{error}");
}

async fn fail_over() {
    let servers = Sentinels::start();
    let cache = bound(&format!("{{ {}, timeout = '1s' }}", servers.settings())).await.unwrap();
    put(&cache, "before").await.unwrap();
    servers.master.crash();
    healed(&cache).await;
    assert!(cache.exists("healed").await.unwrap());
}

/// What lies on the other nodes is served, and what cannot be asked is no miss.
async fn lost_node() {
    let mut cluster = Cluster::start();
    let line = format!("{{ {}, timeout = '1s' }}", cluster.settings());
    let cache = bound(&line).await.unwrap();
    let keys: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    for key in &keys {
        put(&cache, key).await.unwrap();
    }
    cluster.nodes[0].crash();
    for key in &keys {
        match cache.get(key).await {
            Ok(found) => assert!(found.is_some(), "{key} was stored"),
            Err(error) => assert!(error.kind().is_temporary(), "{error:?}"),
        }
    }
    cluster.again(0);
    for key in &keys {
        super::healed_at(&cache, key).await;
    }
}
