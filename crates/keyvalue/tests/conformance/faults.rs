//! Servers that are away, hang, crash or are not what was meant.

use crate::{place, trial};
use base::{Kind, Place, Result};
use bytes::Bytes;
use libtest_mimic::Trial;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::proxy::Proxy;
use testkit::servers::{Server, redis_again, redis_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wharf_keyvalue::{BACKENDS, Store, WriteOptions};

const PLAIN: WriteOptions = WriteOptions { expect: None, ttl: None, fence: None };

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::a_server_that_is_away_fails_calls_at_once_and_heals", away()),
        trial("faults::a_server_that_hangs_holds_no_call_beyond_its_timeout", hangs()),
        trial("faults::a_cut_connection_is_made_anew", cut()),
        trial("faults::what_was_acknowledged_survives_a_crash_of_the_server", crash()),
        trial("faults::a_full_server_refuses_and_keeps_what_it_has", full()),
        trial("faults::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::servers_that_are_not_what_was_meant_are_told_apart", wrong_servers()),
        trial("faults::a_replica_is_refused_with_what_to_do", replica()),
        trial("faults::shards_never_change", shards()),
        trial("faults::a_watch_goes_on_after_the_server_was_away", watch()),
    ]
}

async fn open(url: &str) -> Result<Arc<dyn Store>> {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { app: folder.path().display().to_string(), ..place(folder.path()) };
    base::backend::open(BACKENDS, url, place).await
}

/// What a line of the deployment file opens, `{ url = … }`, for a binding that is always the same.
async fn bound(settings: &str) -> Result<Arc<dyn Store>> {
    let line = format!("x = {settings}");
    let table = toml::de::DeTable::parse(&line).unwrap().into_inner();
    let (_, opening) = base::backend::choose(BACKENDS, table.get("x").unwrap().clone()).unwrap();
    opening(place(tempfile::tempdir().unwrap().path())).await
}

/// A store whose calls take a second at most.
async fn impatient(address: SocketAddr) -> Arc<dyn Store> {
    bound(&format!("{{ url = 'redis://{address}', timeout = '1s' }}")).await.unwrap()
}

async fn put(store: &Arc<dyn Store>, key: &str) -> Result<()> {
    store.set(key, Bytes::from_static(b"x"), &PLAIN).await.map(drop)
}

/// Waits until calls are answered again.
async fn healed(store: &Arc<dyn Store>) {
    let begun = Instant::now();
    while let Err(error) = put(store, "healed").await {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not heal: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn away() {
    let server = redis_with(&[]);
    let proxy = Proxy::start(server.address()).await;
    let store = impatient(proxy.address()).await;
    put(&store, "before").await.unwrap();
    proxy.change(|weather| weather.refused = true);
    proxy.cut();
    for _ in 0..10 {
        let error = put(&store, "away").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains(&proxy.address().to_string()), "{error}");
    }
    // By now it is known, and nobody waits for the server to say so again.
    let begun = Instant::now();
    for _ in 0..1000 {
        put(&store, "away").await.unwrap_err();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    proxy.change(|weather| weather.refused = false);
    healed(&store).await;
    assert!(store.exists("before").await.unwrap());
}

async fn hangs() {
    let server = redis_with(&[]);
    let store = impatient(server.address()).await;
    put(&store, "before").await.unwrap();
    server.signal(testkit::program::Signal::SIGSTOP);
    let calls = (0..64).map(|number| {
        let store = Arc::clone(&store);
        async move { put(&store, &number.to_string()).await.unwrap_err().kind() }
    });
    let begun = Instant::now();
    for kind in futures::future::join_all(calls).await {
        assert!(matches!(kind, Kind::Timeout | Kind::Unavailable), "{kind:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    server.signal(testkit::program::Signal::SIGCONT);
    healed(&store).await;
    assert!(store.exists("before").await.unwrap());
}

async fn cut() {
    let server = redis_with(&[]);
    let proxy = Proxy::start(server.address()).await;
    let store = impatient(proxy.address()).await;
    for _ in 0..20 {
        healed(&store).await;
        proxy.cut();
    }
    healed(&store).await;
    // Reads change nothing, so one that met a broken connection is sent again.
    for _ in 0..20 {
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(store.exists("healed").await.unwrap());
    }
}

async fn crash() {
    const ARGUMENTS: &[&str] = &["--appendfsync", "always"];
    let mut server: Server = redis_with(ARGUMENTS);
    let store = impatient(server.address()).await;
    assert_eq!(store.offer().levels.durability, base::offer::Durability::Fsync);
    let mut written = Vec::new();
    for round in 0..3 {
        let writers = (0..8).map(|writer| {
            let store = Arc::clone(&store);
            async move {
                let mut written = Vec::new();
                for number in 0.. {
                    let key = format!("{round}/{writer}/{number}");
                    match put(&store, &key).await {
                        Ok(()) => written.push(key),
                        Err(_) => break,
                    }
                }
                written
            }
        });
        let crash = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.crash();
        };
        let (all, ()) = futures::join!(futures::future::join_all(writers), crash);
        written.extend(all.into_iter().flatten());
        server = redis_again(server, ARGUMENTS);
        healed(&store).await;
        for key in &written {
            assert!(store.exists(key).await.unwrap(), "{key} was acknowledged and is gone");
        }
    }
    assert!(written.len() > 100, "{} writes", written.len());
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
    let store = open(&format!("redis://:open%20sesame@{address}")).await.unwrap();
    put(&store, "key").await.unwrap();
    let error = open(&format!("redis://:open%20sesame@{address}/99")).await.err().unwrap();
    assert!(error.to_string().contains("out of range"), "{error}");
}

async fn wrong_servers() {
    // One that speaks HTTP.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            drop(stream.read(&mut asked).await);
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    };
    let asked = async {
        let error = open(&format!("redis://{address}")).await.err().unwrap();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(
            matches!(error.kind(), Kind::Invalid | Kind::Corrupt | Kind::Unavailable),
            "{error:?}"
        );
    };
    tokio::select! {
        () = asked => {}
        () = http => {}
    }
    // One without TLS, where it was asked for.
    let server = redis_with(&[]);
    let error = open(&format!("rediss://{}", server.address())).await.err().unwrap();
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    // Nobody.
    let address = server.address();
    drop(server);
    let error = open(&format!("redis://{address}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
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

async fn watch() {
    use futures::StreamExt as _;
    let server = redis_with(&[]);
    let proxy = Proxy::start(server.address()).await;
    let store = impatient(proxy.address()).await;
    let direct = impatient(server.address()).await;
    let mut changes = store.watch(&wharf_keyvalue::WatchOptions::default()).await.unwrap();
    for number in 0..20 {
        let key = format!("key {number}");
        if number % 4 == 0 {
            proxy.cut();
        }
        put(&direct, &key).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), changes.next());
        let change = next.await.expect("a change").unwrap().unwrap();
        let told = matches!(&change, wharf_keyvalue::Change::Set { key: told, .. } if *told == key);
        assert!(told, "{key}: {change:?}");
    }
}
