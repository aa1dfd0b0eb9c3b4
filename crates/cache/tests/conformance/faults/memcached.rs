//! What only memcached does: small items, few connections, names of others, passwords, TLS.

use crate::{bound, bound_at, place, put, trial};
use base::Kind;
use bytes::Bytes;
use futures::future::join_all;
use libtest_mimic::Trial;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use testkit::certificates::Certificates;
use testkit::servers::{memcached_tls, memcached_with, memcached_with_users, redis_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::memcached::a_server_of_small_items_offers_less", small()),
        trial("faults::memcached::a_full_server_evicts_or_is_told", full()),
        trial("faults::memcached::few_connections_serve_many_calls", few()),
        trial("faults::memcached::what_is_not_ours_is_a_miss", not_ours()),
        trial("faults::memcached::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::memcached::a_password_is_not_left_where_nobody_asks", no_password()),
        trial("faults::memcached::certificates_are_checked_on_both_sides", tls()),
        trial("faults::memcached::tls_and_none_are_told_apart", told_apart()),
        trial("faults::memcached::another_kind_of_server_is_told", another_kind()),
    ]
}

async fn small() {
    let server = memcached_with(&["-I", "512k"]);
    let cache = bound(&format!("'{}'", server.url())).await.unwrap();
    let most = cache.offer().levels.max_value;
    assert!((256 << 10..512 << 10).contains(&most), "{most}");
    let value = Bytes::from(vec![7; most]);
    cache.set("key", value.clone(), None).await.unwrap();
    assert!(cache.get("key").await.unwrap().unwrap() == value);
    let usual = memcached_with(&[]);
    let cache = bound(&format!("'{}'", usual.url())).await.unwrap();
    assert!(cache.offer().levels.max_value > 1_000_000, "{}", cache.offer().levels.max_value);
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
    stream.write_all(b"lru_crawler metadump hash\r\n").unwrap();
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

/// Opens what cannot be, and what is told of it: its kind, its words and its hint.
async fn refused(settings: &str, address: SocketAddr) -> (Kind, String, String) {
    let error = bound(settings).await.err().unwrap();
    let words = error.to_string();
    assert!(words.contains(&address.to_string()), "{words}");
    let hint = error.hint().unwrap_or_default().to_owned();
    assert!(!words.contains("hunter2") && !hint.contains("hunter2"), "{words} {hint}");
    (error.kind(), words, hint)
}

async fn wrong_password() {
    let server = memcached_with_users(&["me:open@sesame", "you:hunter3"], &[]);
    let address = server.address();
    for user in ["me:hunter2", "nobody:hunter2", "me:%20hunter2"] {
        for prefix in ["", "tiered:"] {
            let url = format!("'{prefix}memcached://{user}@{address}'");
            let (kind, words, hint) = refused(&url, address).await;
            assert_eq!(kind, Kind::Denied, "{words}");
            assert!(hint.contains("check the user and the password"), "{hint}");
        }
    }
    let (kind, words, hint) = refused(&format!("'memcached://{address}'"), address).await;
    assert_eq!(kind, Kind::Denied, "{words}");
    assert!(hint.contains("USER:PASSWORD@"), "{hint}");
    let url = format!("'memcached://me:open%40sesame@{address}'");
    put(&bound(&url).await.unwrap(), "key").await.unwrap();
}

async fn no_password() {
    let server = memcached_with(&[]);
    let address = server.address();
    let url = format!("'memcached://me:hunter2@{address}'");
    let (kind, words, hint) = refused(&url, address).await;
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(hint.contains("leave user and password out"), "{hint}");
    send(address, "lru_crawler metadump hash\r\n", "END\r\n");
}

async fn tls() {
    let (files, others) = (Certificates::new(), Certificates::new());
    let server = memcached_tls(&files, &[], &[]);
    let address = server.address();
    let url = format!("memcacheds://{address}");
    let (ca, other) = (files.ca.display(), others.ca.display());
    for settings in [format!("'{url}'"), format!("{{ url = '{url}', ca = '{other}' }}")] {
        let (kind, words, hint) = refused(&settings, address).await;
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(hint.contains("`ca = "), "{hint}");
    }
    let cache = bound(&format!("{{ url = '{url}', ca = '{ca}' }}")).await.unwrap();
    put(&cache, "key").await.unwrap();
    // One that wants to know who comes.
    let asking = format!("ssl_verify_mode=2,ssl_ca_cert={ca}");
    let server = memcached_tls(&files, &["me:secret"], &["-o", &asking]);
    let address = server.address();
    let trusting = format!("url = 'memcacheds://me:secret@{address}', ca = '{ca}'");
    let (kind, words, _) = refused(&format!("{{ {trusting} }}"), address).await;
    assert!(matches!(kind, Kind::Invalid | Kind::Unavailable), "{words}");
    let (certificate, key) = (files.client.display(), files.client_key.display());
    let shown = format!("{{ {trusting}, certificate = '{certificate}', key = '{key}' }}");
    put(&bound(&shown).await.unwrap(), "key").await.unwrap();
}

async fn told_apart() {
    for plain in [memcached_with(&[]), memcached_with_users(&["me:hunter2"], &[])] {
        let address = plain.address();
        let url = format!("memcacheds://me:hunter2@{address}");
        let settings = format!("{{ url = '{url}', timeout = '1s' }}");
        let (kind, words, hint) = refused(&settings, address).await;
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(words.contains("does not speak TLS") && hint.contains("memcached://"), "{words}");
    }
    let tls = memcached_tls(&Certificates::new(), &[], &[]);
    let address = tls.address();
    for user in ["", "me:hunter2@"] {
        let url = format!("'memcached://{user}{address}'");
        let (kind, words, hint) = refused(&url, address).await;
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(words.contains("speaks TLS") && hint.contains("memcacheds://"), "{words} {hint}");
    }
}

async fn another_kind() {
    let redis = redis_with(&[]);
    let address = redis.address();
    for user in ["", "me:hunter2@"] {
        let (kind, words, _) = refused(&format!("'memcached://{user}{address}'"), address).await;
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(words.contains("does not speak as memcached does"), "{words}");
    }
    let (kind, words, _) = refused(&format!("'memcacheds://{address}'"), address).await;
    assert!(matches!(kind, Kind::Invalid | Kind::Unavailable | Kind::Timeout), "{words}");
    // One that never comes to an end.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endless = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 64];
            drop(stream.read(&mut asked).await);
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
        }
    };
    let url = format!("'memcached://{address}'");
    let (kind, words, _) = tokio::select! {
        told = refused(&url, address) => told,
        () = endless => panic!("it is endless"),
    };
    assert_eq!(kind, Kind::Invalid, "{words}");
}
