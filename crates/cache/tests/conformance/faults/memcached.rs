//! What only memcached does: small items, few connections, names of others.

use crate::{bound, bound_at, place, put, trial};
use base::Kind;
use bytes::Bytes;
use futures::future::join_all;
use libtest_mimic::Trial;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use testkit::servers::memcached_with;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::memcached::a_server_of_small_items_offers_less", small()),
        trial("faults::memcached::a_full_server_evicts_or_is_told", full()),
        trial("faults::memcached::few_connections_serve_many_calls", few()),
        trial("faults::memcached::what_is_not_ours_is_a_miss", not_ours()),
    ]
}

async fn small() {
    let server = memcached_with(&["-I", "512k"]);
    let cache = bound(&format!("'{}'", server.url())).await.unwrap();
    let most = cache.offer().max_value;
    assert!((256 << 10..512 << 10).contains(&most), "{most}");
    let value = Bytes::from(vec![7; most]);
    cache.set("key", value.clone(), None).await.unwrap();
    assert!(cache.get("key").await.unwrap().unwrap() == value);
    let usual = memcached_with(&[]);
    let cache = bound(&format!("'{}'", usual.url())).await.unwrap();
    assert!(cache.offer().max_value > 1_000_000, "{}", cache.offer().max_value);
}

async fn full() {
    let evicts = memcached_with(&["-m", "8"]);
    let cache = bound(&format!("'{}'", evicts.url())).await.unwrap();
    let value = Bytes::from(vec![7; 100 << 10]);
    for number in 0..200 {
        cache.set(&number.to_string(), value.clone(), None).await.unwrap();
    }
    let refuses = memcached_with(&["-m", "8", "-M"]);
    let cache = bound(&format!("'{}'", refuses.url())).await.unwrap();
    let mut refused = None;
    for number in 0..200 {
        if let Err(error) = cache.set(&number.to_string(), value.clone(), None).await {
            refused = Some(error);
        }
    }
    assert_eq!(refused.unwrap().kind(), Kind::Exhausted);
    assert!(cache.get("0").await.unwrap().is_some_and(|kept| kept == value));
}

async fn few() {
    let server = memcached_with(&[]);
    let settings = format!("{{ url = '{}', connections = 2 }}", server.url());
    let cache = bound(&settings).await.unwrap();
    let calls = (0..500_u32).map(|number| {
        let cache = Arc::clone(&cache);
        async move {
            let key = number.to_string();
            cache.set(&key, key.clone().into(), None).await.unwrap();
            assert_eq!(cache.get(&key).await.unwrap().unwrap(), key);
        }
    });
    join_all(calls).await;
}

fn send(address: SocketAddr, lines: &str, answer: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(lines.as_bytes()).unwrap();
    let mut said = vec![0; answer.len()];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), answer);
}

async fn not_ours() {
    let server = memcached_with(&[]);
    let place = place();
    let cache = bound_at(&format!("'{}'", server.url()), place).await.unwrap();
    put(&cache, "key").await.unwrap();
    // Its name on the server, under which somebody else stores something.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"lru_crawler metadump all\r\n").unwrap();
    let mut dump = String::new();
    while !dump.ends_with("END\r\n") {
        let mut piece = [0; 256];
        let length = stream.read(&mut piece).unwrap();
        dump.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    let name = dump.lines().find_map(|line| line.strip_prefix("key=")?.split(' ').next()).unwrap();
    send(server.address(), &format!("set {name} 0 0 5\r\nalien\r\n"), "STORED\r\n");
    assert_eq!(cache.get("key").await.unwrap(), None);
    assert!(!cache.exists("key").await.unwrap());
    put(&cache, "key").await.unwrap();
    assert!(cache.exists("key").await.unwrap());
}
