//! What only etcd does: users, quotas, history that is thrown away, leases. The cluster has a file
//! of its own.

use super::{PLAIN, bound, next, open, put};
use crate::trial;
use base::Kind;
use bytes::Bytes;
use etcd_client::{Client, GetOptions, PermissionType};
use libtest_mimic::Trial;
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::proxy::Proxy;
use testkit::servers::{Server, etcd_with, etcd_with_tls};
use wharf_keyvalue::{Change, WatchOptions, WriteOptions};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::etcd::a_full_server_refuses_and_keeps_what_it_has", full()),
        trial("faults::etcd::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::etcd::users_may_change_while_a_store_is_open", changed_users()),
        trial("faults::etcd::a_server_without_tls_is_told", no_tls()),
        trial("faults::etcd::a_certificate_is_trusted_where_its_authority_is", tls()),
        trial("faults::etcd::a_server_with_coarse_leases_offers_no_time_to_live", coarse()),
        trial("faults::etcd::history_that_was_thrown_away_is_announced", compacted()),
        trial("faults::etcd::a_cut_watch_loses_nothing_to_a_compaction_in_silence", cut_watch()),
        trial("faults::etcd::a_watch_goes_on_inside_a_batch", inside_a_batch()),
        trial("faults::etcd::leases_are_shared_and_do_not_pile_up", leases()),
        trial("faults::etcd::a_lease_that_ended_early_is_replaced", lost_lease()),
        trial("faults::etcd::a_destroyed_store_leaves_nothing_behind", destroyed()),
    ]
}

/// The server itself, without a store.
async fn raw(server: &Server) -> Client {
    Client::connect([server.address().to_string()], None).await.unwrap()
}

fn key_of(change: &Change) -> &str {
    match change {
        Change::Set { key, .. } | Change::Delete { key, .. } => key,
        Change::Missed { .. } => panic!("{change:?}"),
    }
}

async fn full() {
    let server = etcd_with(&["--quota-backend-bytes", "4000000"]);
    let store = open(&server.url()).await.unwrap();
    put(&store, "before").await.unwrap();
    let big = Bytes::from(vec![7; 1 << 20]);
    let mut refused = None;
    for number in 0..64 {
        if let Err(error) = store.set(&format!("big {number}"), big.clone(), &PLAIN).await {
            refused = Some(error);
            break;
        }
        // The server looks at its size every now and then.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = refused.expect("there is no room for all of it");
    assert_eq!(refused.kind(), Kind::Exhausted, "{refused}");
    assert!(refused.hint().unwrap().contains("alarm disarm"), "{refused}");
    assert!(store.exists("before").await.unwrap());
    // It can be opened and read all the same.
    let store = open(&server.url()).await.unwrap();
    assert_eq!(store.get("absent").await.unwrap(), None);
    let living = WriteOptions::living(Duration::from_secs(60));
    let refused = store.set("key", big, &living).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Exhausted, "{refused}");
}

/// Makes users: `root`, and `guest` who may do everything below `guests/`.
async fn enable_users(client: &Client) {
    let mut auth = client.auth_client();
    for (name, password) in [("root", "open:sesame"), ("guest", "guest")] {
        auth.role_add(name).await.unwrap();
        auth.user_add(name, password, None).await.unwrap();
        auth.user_grant_role(name, name).await.unwrap();
    }
    let below = etcd_client::Permission::new(PermissionType::Readwrite, "guests/").with_prefix();
    auth.role_grant_permission("guest", below).await.unwrap();
    auth.auth_enable().await.unwrap();
}

async fn wrong_password() {
    let server = etcd_with(&[]);
    let address = server.address();
    let error = open(&format!("etcd://root:hunter2@{address}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().unwrap().contains("user and password"), "{error}");
    enable_users(&raw(&server).await).await;
    for url in [format!("etcd://root:hunter2@{address}"), format!("etcd://{address}")] {
        let error = open(&url).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = error.to_string();
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    let store = open(&format!("etcd://root:open%3Asesame@{address}")).await.unwrap();
    put(&store, "key").await.unwrap();
    // Somebody who may not write there.
    let guest = format!("etcd://guest:guest@{address}");
    let error = open(&guest).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.hint().unwrap().contains("prefix"), "{error}");
    let store = bound(&format!("{{ url = '{guest}', prefix = 'guests/app' }}")).await.unwrap();
    put(&store, "key").await.unwrap();
}

async fn changed_users() {
    let server = etcd_with(&[]);
    enable_users(&raw(&server).await).await;
    let url = format!("etcd://root:open%3Asesame@{}", server.address());
    let store = open(&url).await.unwrap();
    let options = etcd_client::ConnectOptions::new().with_user("root", "open:sesame");
    let admin = Client::connect([server.address().to_string()], Some(options)).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    for round in 0..3 {
        // It makes all tokens invalid.
        admin.auth_client().role_add(format!("role {round}")).await.unwrap();
        admin.refresh_token().await.unwrap();
        put(&store, "key").await.unwrap();
        assert!(store.exists("key").await.unwrap());
        assert_eq!(key_of(&next(&mut changes).await), "key");
    }
}

async fn no_tls() {
    let server = etcd_with(&[]);
    let error = open(&format!("etcds://{}", server.address())).await.err().unwrap();
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("not speak TLS")), "{error}");
}

async fn tls() {
    let files = Certificates::new();
    let (ca, certificate, key) = (&files.ca, &files.client, &files.client_key);
    let server = etcd_with_tls(&files.server, &files.server_key, &[]);
    let url = format!("etcds://{}", server.address());
    let error = open(&url).await.err().unwrap();
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    assert!(error.hint().unwrap().contains("`ca = "), "{error}");
    let trusting = format!("url = '{url}', ca = '{}'", ca.display());
    let store = bound(&format!("{{ {trusting} }}")).await.unwrap();
    put(&store, "key").await.unwrap();
    let error = open(&format!("etcd://{}", server.address())).await.err().unwrap();
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("etcds:")), "{error}");
    // One that wants to know who comes.
    let asking = ["--client-cert-auth", "--trusted-ca-file", &ca.display().to_string()];
    let server = etcd_with_tls(&files.server, &files.server_key, &asking);
    let url = format!("etcds://{}", server.address());
    let trusting = format!("url = '{url}', ca = '{}'", ca.display());
    let error = bound(&format!("{{ {trusting} }}")).await.err().unwrap();
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    let (certificate, key) = (certificate.display(), key.display());
    let shown = format!("{{ {trusting}, certificate = '{certificate}', key = '{key}' }}");
    put(&bound(&shown).await.unwrap(), "key").await.unwrap();
}

async fn coarse() {
    let server = etcd_with(&["--heartbeat-interval", "500", "--election-timeout", "5000"]);
    let store = open(&server.url()).await.unwrap();
    assert_eq!(store.offer().levels.ttl, base::offer::Ttl::None);
    let living = WriteOptions::living(Duration::from_secs(60));
    let error = store.set("key", Bytes::new(), &living).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
}

async fn compact(server: &Server) {
    let mut client = raw(server).await;
    let now = client.get("x", None).await.unwrap().header().unwrap().revision();
    client.compact(now, None).await.unwrap();
}

async fn compacted() {
    let server = etcd_with(&[]);
    let store = open(&server.url()).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&store, "a").await.unwrap();
    let position = next(&mut changes).await.position();
    drop(changes);
    put(&store, "b").await.unwrap();
    put(&store, "c").await.unwrap();
    compact(&server).await;
    let from = WatchOptions { from: Some(position), ..WatchOptions::default() };
    let mut changes = store.watch(&from).await.unwrap();
    let missed = next(&mut changes).await;
    assert!(matches!(missed, Change::Missed { .. }), "{missed:?}");
    put(&store, "d").await.unwrap();
    loop {
        // What the compaction left of the last change may come again.
        let change = next(&mut changes).await;
        if key_of(&change) == "d" {
            break;
        }
        assert_eq!(key_of(&change), "c");
    }
}

async fn cut_watch() {
    let server = etcd_with(&[]);
    let proxy = Proxy::start(server.address()).await;
    let store = bound(&format!("{{ url = 'etcd://{}' }}", proxy.address())).await.unwrap();
    let direct = bound(&format!("{{ url = 'etcd://{}' }}", server.address())).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&direct, "before").await.unwrap();
    assert_eq!(key_of(&next(&mut changes).await), "before");
    for round in 0..3 {
        proxy.change(|weather| weather.refused = true);
        proxy.cut();
        for number in 0..5 {
            put(&direct, &format!("{round}/{number}")).await.unwrap();
        }
        let is_compacted = round == 1;
        if is_compacted {
            compact(&server).await;
        }
        proxy.change(|weather| weather.refused = false);
        if is_compacted {
            let missed = next(&mut changes).await;
            assert!(matches!(missed, Change::Missed { .. }), "{missed:?}");
            put(&direct, "after").await.unwrap();
            while key_of(&next(&mut changes).await) != "after" {}
        } else {
            for number in 0..5 {
                assert_eq!(key_of(&next(&mut changes).await), format!("{round}/{number}"));
            }
        }
    }
}

async fn inside_a_batch() {
    let server = etcd_with(&[]);
    let store = open(&server.url()).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    let keys: Vec<String> = (0..10).map(|number| format!("key {number}")).collect();
    let entries = keys.iter().map(|key| (key.clone(), Bytes::from_static(b"x"))).collect();
    store.set_many(entries, &PLAIN).await.unwrap();
    let mut positions = Vec::new();
    for key in &keys {
        let change = next(&mut changes).await;
        assert_eq!(key_of(&change), key);
        positions.push(change.position());
    }
    put(&store, "last").await.unwrap();
    for (heard, position) in positions.into_iter().enumerate() {
        let from = WatchOptions { from: Some(position), ..WatchOptions::default() };
        let mut rest = store.watch(&from).await.unwrap();
        for key in keys.iter().skip(heard + 1).map(String::as_str).chain(["last"]) {
            assert_eq!(key_of(&next(&mut rest).await), key);
        }
    }
}

async fn leases() {
    let server = etcd_with(&[]);
    let store = open(&server.url()).await.unwrap();
    let living = WriteOptions::living(Duration::from_secs(3600));
    let begun = Instant::now();
    for number in 0..300 {
        store.set(&format!("key {}", number % 7), Bytes::new(), &living).await.unwrap();
        let absent =
            WriteOptions { expect: Some(wharf_keyvalue::Expect::Absent), ..living.clone() };
        store.set(&format!("key {}", number % 7), Bytes::new(), &absent).await.unwrap_err();
    }
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    let found = raw(&server).await.leases().await.unwrap().leases().len();
    assert!((1..=most).contains(&found), "{found} leases, {most} would do");
}

async fn lost_lease() {
    let server = etcd_with(&[]);
    let store = open(&server.url()).await.unwrap();
    let living = WriteOptions::living(Duration::from_secs(3600));
    let mut client = raw(&server).await;
    for key in ["a", "b", "c"] {
        store.set(key, Bytes::new(), &living).await.unwrap();
        for lease in client.leases().await.unwrap().leases() {
            client.lease_revoke(lease.id()).await.unwrap();
        }
        assert!(!store.exists(key).await.unwrap());
    }
    store.set("d", Bytes::new(), &living).await.unwrap();
    assert!(store.exists("d").await.unwrap());
}

async fn destroyed() {
    let server = etcd_with(&[]);
    let store = open(&server.url()).await.unwrap();
    let other = bound(&format!("{{ url = '{}', prefix = 'other' }}", server.url())).await.unwrap();
    put(&other, "stays").await.unwrap();
    put(&store, "key").await.unwrap();
    let all = WriteOptions { ttl: Some(Duration::from_secs(60)), ..WriteOptions::fenced("l", 1) };
    store.set("living", Bytes::new(), &all).await.unwrap();
    store.increment("n", 1, &PLAIN).await.unwrap();
    store.destroy().await.unwrap();
    let mut client = raw(&server).await;
    let left = client.get("", Some(GetOptions::new().with_all_keys())).await.unwrap();
    let left: Vec<&str> = left.kvs().iter().map(|key| key.key_str().unwrap()).collect();
    assert_eq!(left, ["other/k/stays"]);
    assert!(client.leases().await.unwrap().leases().is_empty());
}
