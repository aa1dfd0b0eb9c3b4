//! Settings that are wrong are told before anything is opened; bindings leave nothing behind.

use crate::{bound, bound_at, place, put, trial};
use libtest_mimic::Trial;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use testkit::servers::Server;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("settings::what_is_wrong_is_told", wrong()),
        trial("settings::the_examples_of_the_manual_are_right", right()),
        trial("destroy::redis_is_left_as_it_was", destroy_redis()),
        trial("destroy::a_cluster_of_redis_is_left_as_it_was", destroy_redis_cluster()),
        trial("destroy::memcached_is_left_as_it_was", destroy_memcached()),
    ]
}

async fn wrong() {
    for (settings, words) in [
        ("'memory:large'", "nothing behind its colon"),
        ("{ url = 'memory:', size = '1KiB' }", "64KiB is the least"),
        ("{ url = 'memory:', vacancy-timeout = '0s' }", "not zero"),
        ("{ url = 'none:', size = '1MiB' }", "unknown field `size`"),
        ("'memcached://me:secret@host/path'", "is no URL of a memcached server"),
        ("'memcacheds://m%20e:secret@host'", "that memcached cannot have"),
        ("{ url = 'memcached://host', ca = 'ca.pem' }", "are for TLS"),
        ("{ url = 'memcacheds://host', key = 'key.pem' }", "go together"),
        ("{ url = 'memcached://host', connections = 0 }", "at least one connection"),
        ("'redis:'", "is no URL of a Redis server"),
        ("{ url = 'redis://h', nodes = ['h:1'] }", "Sentinels"),
        ("{ url = 'redis://h', cluster = true, sentinel = 'main' }", "not both"),
        ("{ url = 'redis://h', sentinel-password = 'secret' }", "are for Sentinels"),
        ("{ url = 'redis://h', sentinel = 'm', sentinel-user = 'me' }", "`sentinel-password`"),
        ("'tiered:'", "`behind` says what stands behind"),
        ("'tiered:tiered:memory:'", "two tiers are enough"),
        ("'tiered:radis://:hunter2@h'", "unknown scheme `radis`"),
        ("{ url = 'tiered:', behind = { url = 'none:', sice = 1 } }", "unknown field `sice`"),
        ("{ url = 'tiered:memory:', behind = 'none:' }", "not both"),
        ("{ url = 'tiered:memory:', ttl = '1us' }", "at least a millisecond"),
        ("{ url = 'tiered:memory:', memory = '1B' }", "64KiB is the least"),
    ] {
        let error = bound(settings).await.err().unwrap();
        let told = error.to_string();
        assert!(told.contains(words), "{settings}: {told}");
        assert!(!told.contains("hunter2") && !told.contains("secret"), "{told}");
    }
}

async fn right() {
    for settings in [
        "{ url = 'memory:', size = '64MiB', vacancy-timeout = '30s' }",
        "'none:'",
        "{ url = 'tiered:', memory = '16MiB', behind = 'memory:', ttl = '1s' }",
        "{ url = 'tiered:', behind = { url = 'memory:', size = '1MiB' } }",
        "'tiered:memory:'",
    ] {
        let cache = bound(settings).await.unwrap_or_else(|error| panic!("{settings}: {error}"));
        put(&cache, "key").await.unwrap();
        assert!(!cache.offer().rows().is_empty());
    }
}

/// What the server answers to one line, up to an end.
fn ask(address: SocketAddr, line: &str, end: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn destroy_redis() {
    let server = testkit::servers::redis_with(&[]);
    destroy_mine_alone(&format!("'{}'", server.url()), &[&server]).await;
}

async fn destroy_redis_cluster() {
    let cluster = testkit::servers::Cluster::start();
    let nodes: Vec<&Server> = cluster.nodes.iter().collect();
    destroy_mine_alone(&format!("{{ {} }}", cluster.settings()), &nodes).await;
}

/// What one binding stored on these servers goes, and what the other did stays.
async fn destroy_mine_alone(settings: &str, servers: &[&Server]) {
    let (mut mine, mut other) = (place(), place());
    (mine.app, other.app) = ("a[b]*".to_owned(), "abc".to_owned());
    let (mine, other) =
        (bound_at(settings, mine).await.unwrap(), bound_at(settings, other).await.unwrap());
    let sizes = || {
        let size = |server: &&Server| ask(server.address(), "DBSIZE\r\n", "\r\n");
        servers.iter().map(size).collect::<Vec<_>>()
    };
    for number in 0..2500 {
        put(&mine, &format!("key {number}")).await.unwrap();
    }
    assert!(sizes().iter().all(|size| size != ":0\r\n"), "each has a part: {:?}", sizes());
    put(&other, "stays").await.unwrap();
    mine.destroy().await.unwrap();
    let mut left = sizes();
    left.sort();
    assert_eq!(left.pop().unwrap(), ":1\r\n");
    assert!(left.iter().all(|size| size == ":0\r\n"), "{left:?}");
    assert!(other.exists("stays").await.unwrap());
    other.destroy().await.unwrap();
    assert!(sizes().iter().all(|size| size == ":0\r\n"), "{:?}", sizes());
}

async fn destroy_memcached() {
    let server = testkit::servers::memcached_with(&[]);
    let url = format!("'{}'", server.url());
    let (mine, other) =
        (bound_at(&url, place()).await.unwrap(), bound_at(&url, place()).await.unwrap());
    let items = || {
        let stats = ask(server.address(), "stats\r\n", "END\r\n");
        let line = stats.lines().find_map(|line| line.strip_prefix("STAT curr_items "));
        line.unwrap().to_owned()
    };
    assert_eq!(items(), "0", "opening leaves nothing");
    for number in 0..500 {
        put(&mine, &format!("key {number}")).await.unwrap();
        put(&mine, &format!("key-{number}")).await.unwrap();
    }
    put(&other, "stays").await.unwrap();
    assert_eq!(items(), "1001");
    mine.destroy().await.unwrap();
    assert_eq!(items(), "1");
    assert!(other.exists("stays").await.unwrap());
}
