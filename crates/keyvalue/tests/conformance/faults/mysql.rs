//! What only MySQL and MariaDB do: users, packets, transactions that end in another order.

use super::{PLAIN, bound, forgets, heard, lose_nothing, open, open_together, put};
use crate::trial;
use base::Kind;
use base::offer::Durability;
use bytes::Bytes;
use libtest_mimic::Trial;
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::servers::{Server, mysql_tls, mysql_with};
use wharf_keyvalue::{WatchOptions, WriteOptions};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::mysql::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::mysql::a_database_that_is_not_there_is_told", no_database()),
        trial("faults::mysql::tls_is_asked_for_and_checked_on_both_sides", tls()),
        trial("faults::mysql::a_server_that_wants_tls_is_told", wants_tls()),
        trial("faults::mysql::a_server_without_a_free_connection_is_told", no_connection()),
        trial("faults::mysql::a_user_that_may_not_create_is_told_who_may", no_right()),
        trial("faults::mysql::a_server_that_only_reads_is_refused", read_only()),
        trial("faults::mysql::the_offer_follows_the_servers_settings", settings()),
        trial("faults::mysql::what_was_prepared_works_after_a_restart", restart()),
        trial("faults::mysql::a_write_that_ends_late_is_heard_of", late()),
        trial("faults::mysql::writers_and_watchers_lose_nothing", many()),
        trial("faults::mysql::a_deletion_that_was_forgotten_is_announced", forgotten()),
        trial("faults::mysql::batches_of_every_size_are_whole", batches()),
        trial("faults::mysql::many_hosts_open_a_binding_at_once", openers()),
        trial("faults::mysql::a_binding_that_is_destroyed_leaves_nothing", destroyed()),
    ]
}

fn url(server: &Server) -> String {
    format!("mysql://root@{}/wharf", server.address())
}

/// A client of no backend.
async fn raw(server: &Server) -> Conn {
    Conn::from_url(raw_url(server)).await.unwrap()
}

fn raw_url(server: &Server) -> String {
    format!("{}?prefer_socket=false", url(server))
}

async fn run(server: &Server, sql: &str) {
    raw(server).await.query_drop(sql).await.unwrap();
}

async fn wrong_password() {
    let server = mysql_with(&[]);
    let address = server.address();
    run(&server, "CREATE USER guest IDENTIFIED BY 'open sesame'").await;
    run(&server, "GRANT ALL ON wharf.* TO guest").await;
    for user in ["guest:hunter2", "guest", "nobody:hunter2"] {
        let error = open(&format!("mysql://{user}@{address}/wharf")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = format!("{error} {}", error.hint().unwrap());
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    let right = format!("mariadb://guest:open%20sesame@{address}/wharf");
    put(&open(&right).await.unwrap(), "key").await.unwrap();
}

async fn no_database() {
    let server = mysql_with(&[]);
    let nowhere = format!("mysql://root@{}/nowhere", server.address());
    let error = open(&nowhere).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().unwrap().contains("CREATE DATABASE `nowhere`"), "{error}");
}

async fn tls() {
    let certificates = Certificates::new();
    let server = mysql_tls(&certificates, &[]);
    let plain = mysql_with(&[]);
    let (ca, others) = (certificates.ca.display(), Certificates::new());
    // No silent plain text, and no TLS with whom nobody knows.
    let error = open(&format!("{}?ssl-mode=REQUIRED", url(&plain))).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains(&plain.address().to_string()), "{error}");
    let with_ca = |server: &Server, ca: &std::path::Path| {
        format!("{{ url = '{}', ca = '{}' }}", url(server), ca.display())
    };
    assert!(bound(&with_ca(&plain, &certificates.ca)).await.is_err());
    let required = format!("{}?ssl-mode=REQUIRED", url(&server));
    for untrusted in [open(&required).await, bound(&with_ca(&server, &others.ca)).await] {
        let error = untrusted.err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.hint().unwrap().contains("ca ="), "{error}");
    }
    put(&bound(&with_ca(&server, &certificates.ca)).await.unwrap(), "key").await.unwrap();
    put(&open(&url(&server)).await.unwrap(), "key").await.unwrap();
    // Who the client is, a certificate says.
    run(&server, "CREATE USER client REQUIRE X509").await;
    run(&server, "GRANT ALL ON wharf.* TO client").await;
    let named = format!("mysql://client@{}/wharf", server.address());
    let error = bound(&format!("{{ url = '{named}', ca = '{ca}' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let shown = format!(
        "{{ url = '{named}', ca = '{ca}', certificate = '{}', key = '{}' }}",
        certificates.client.display(),
        certificates.client_key.display()
    );
    put(&bound(&shown).await.unwrap(), "key").await.unwrap();
}

async fn wants_tls() {
    let certificates = Certificates::new();
    let server = mysql_tls(&certificates, &["--require-secure-transport=ON"]);
    // MySQL would say why; MariaDB only that one may not.
    let error = open(&url(&server)).await.err().unwrap();
    assert!(matches!(error.kind(), Kind::Denied | Kind::Invalid), "{error:?}");
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    assert!(error.hint().unwrap().contains("ssl-mode=required"), "{error}");
    let ca = certificates.ca.display();
    let trusting = format!("{{ url = '{}', ca = '{ca}' }}", url(&server));
    put(&bound(&trusting).await.unwrap(), "key").await.unwrap();
}

async fn no_connection() {
    // The fewest that it lets one set.
    let server = mysql_with(&["--max-connections=10"]);
    let store = bound(&format!("{{ url = '{}', connections = 1 }}", url(&server))).await.unwrap();
    put(&store, "key").await.unwrap();
    let mut others = Vec::new();
    while let Ok(other) = Conn::from_url(raw_url(&server)).await {
        others.push(other);
        assert!(others.len() < 20, "it takes them all");
    }
    let error = open(&url(&server)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    let words = error.to_string();
    assert!(words.contains(&server.address().to_string()), "{words}");
    assert!(words.contains("Too many connections") && words.contains("1040"), "{words}");
    assert!(error.hint().unwrap().contains("max_connections"), "{error}");
    // Who has a connection goes on.
    put(&store, "key").await.unwrap();
}

async fn no_right() {
    let server = mysql_with(&[]);
    run(&server, "CREATE USER guest").await;
    run(&server, "GRANT SELECT, INSERT, UPDATE, DELETE ON wharf.* TO guest").await;
    let guest = format!("{{ url = 'mysql://guest@{}/wharf', table = 'x`y' }}", server.address());
    let error = bound(&guest).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.hint().unwrap().contains("TO 'guest'"), "{error}");
    // Once somebody has made the tables the guest needs no more than to use them.
    bound(&format!("{{ url = '{}', table = 'x`y' }}", url(&server))).await.unwrap();
    let store = bound(&guest).await.unwrap();
    put(&store, "key").await.unwrap();
    let error = store.destroy().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
}

async fn read_only() {
    let server = mysql_with(&["--read-only"]);
    let error = open(&url(&server)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("read-only replica"), "{error}");
    // One that becomes so while it is used says so too.
    run(&server, "SET GLOBAL read_only = 0").await;
    run(&server, "CREATE USER guest").await;
    run(&server, "GRANT ALL ON wharf.* TO guest").await;
    let store = open(&format!("mysql://guest@{}/wharf", server.address())).await.unwrap();
    put(&store, "key").await.unwrap();
    run(&server, "SET GLOBAL read_only = 1").await;
    let error = put(&store, "key").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(error.hint(), Some("name the primary"));
}

async fn settings() {
    for (arguments, durability) in [
        (&["--innodb-flush-log-at-trx-commit=0"][..], Durability::None),
        (&["--innodb-flush-log-at-trx-commit=2"], Durability::OsBuffer),
        (&["--log-bin"], Durability::OsBuffer),
        (&["--log-bin", "--sync-binlog=1"], Durability::Fsync),
    ] {
        let server = mysql_with(arguments);
        let store = open(&url(&server)).await.unwrap();
        assert_eq!(store.offer().levels.durability, durability, "{arguments:?}");
    }
    let server = mysql_with(&["--log-bin", "--binlog-format=STATEMENT"]);
    let error = open(&url(&server)).await.err().unwrap();
    assert!(error.hint().unwrap().contains("ROW"), "{error}");
    // A value that is offered fits, in a batch too.
    let server = mysql_with(&["--max-allowed-packet=1M"]);
    let store = open(&url(&server)).await.unwrap();
    let most = store.offer().max_value;
    assert!(most < 1 << 20, "{most}");
    let value = Bytes::from(vec![7; most]);
    let entries = (0..4).map(|number| (number.to_string(), value.clone())).collect();
    store.set_many(entries, &PLAIN).await.unwrap();
    assert_eq!(store.get("3").await.unwrap().map(|found| found == value), Some(true));
}

async fn restart() {
    let vendor = testkit::servers::VENDORS.iter().find(|it| it.name == "mysql").unwrap();
    let mut server = (vendor.start)();
    let store = open(&url(&server)).await.unwrap();
    for _ in 0..3 {
        put(&store, "key").await.unwrap();
        server.crash();
        server = (vendor.again)(server);
        // At once, with no write that finds out first.
        assert!(store.exists("key").await.unwrap());
        assert_eq!(store.get("key").await.unwrap(), Some(Bytes::from_static(b"x")));
    }
}

async fn late() {
    let server = mysql_with(&[]);
    let settings = format!("{{ url = '{}', table = 'kv' }}", url(&server));
    let store = bound(&settings).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    for round in 0..5 {
        // It begins before the other, and ends behind it.
        let mut other = raw(&server).await;
        let late = format!("late {round}");
        other.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.unwrap();
        other.query_drop("START TRANSACTION").await.unwrap();
        let write = "INSERT INTO kv VALUES (?, 'x', 'a version', NULL, (SELECT number FROM \
                     kv_epochs ORDER BY number DESC LIMIT 1 LOCK IN SHARE MODE), 0)";
        other.exec_drop(write, (late.as_bytes(),)).await.unwrap();
        let soon = format!("soon {round}");
        put(&store, &soon).await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        // It holds up no other write meanwhile.
        let begun = Instant::now();
        put(&store, "meanwhile").await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        other.query_drop("COMMIT").await.unwrap();
        let mut told = Vec::new();
        let mut position = None;
        while told.len() < 3 {
            let (key, behind) = heard(&mut changes).await;
            told.push(key);
            position = Some(behind);
        }
        told.sort_unstable();
        assert_eq!(told, [late.as_str(), "meanwhile", soon.as_str()]);
        let from = WatchOptions { from: position, ..WatchOptions::default() };
        let mut resumed = store.watch(&from).await.unwrap();
        let next = format!("next {round}");
        put(&store, &next).await.unwrap();
        assert_eq!(heard(&mut resumed).await.0, next);
        assert_eq!(heard(&mut changes).await.0, next);
    }
}

async fn many() {
    let server = mysql_with(&[]);
    lose_nothing(&format!("{{ url = '{}' }}", url(&server))).await;
}

async fn forgotten() {
    let server = mysql_with(&[]);
    let settings = format!("{{ url = '{}', retention = '100ms' }}", url(&server));
    forgets(&settings).await;
    let rows: Vec<u64> = raw(&server).await.query("SELECT 1 FROM wharf_app_default").await.unwrap();
    assert_eq!(rows.len(), 2);
}

async fn openers() {
    let server = mysql_with(&[]);
    let settings = format!("{{ url = '{}' }}", url(&server));
    open_together(&settings).await;
}

/// What fills a statement up is seen by nobody.
async fn batches() {
    let server = mysql_with(&[]);
    let store = open(&url(&server)).await.unwrap();
    for number in (1..=17).chain([31, 43, 48, 63, 64, 65, 130, 255, 300]) {
        let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
        let keys: Vec<String> = (0..number).map(|key| format!("{key:04}")).collect();
        // Of different sizes, so that any of them may be the smallest.
        let value = |key: usize| Bytes::from(vec![b'x'; (key * 7 + number) % 23]);
        let entries: Vec<_> = keys.iter().cloned().zip((0..number).map(value)).collect();
        store.set_many(entries, &PLAIN).await.unwrap();
        let found = store.get_many(&keys, usize::MAX).await.unwrap();
        let wanted: Vec<_> = (0..number).map(|key| Some(value(key))).collect();
        assert_eq!(found, wanted, "{number}");
        let mut told = BTreeSet::new();
        while told.len() < number {
            assert!(told.insert(heard(&mut changes).await.0), "{number}: a change comes once");
        }
        store.delete_many(&keys[1..], &PLAIN).await.unwrap();
        let found = store.get_many(&keys, usize::MAX).await.unwrap();
        assert_eq!(found.iter().filter(|value| value.is_some()).count(), 1, "{number}");
        store.delete(&keys[0], &PLAIN).await.unwrap();
    }
}

async fn destroyed() {
    let server = mysql_with(&[]);
    let mut client = raw(&server).await;
    let store = open(&url(&server)).await.unwrap();
    let _changes = store.watch(&WatchOptions::default()).await.unwrap();
    let fenced = WriteOptions::fenced("lock", 1);
    store.set("key", Bytes::from_static(b"x"), &fenced).await.unwrap();
    let tables: Vec<String> = client.query("SHOW TABLES").await.unwrap();
    assert_eq!(tables.len(), 4, "{tables:?}");
    store.destroy().await.unwrap();
    let tables: Vec<String> = client.query("SHOW TABLES").await.unwrap();
    assert!(tables.is_empty(), "{tables:?}");
}
