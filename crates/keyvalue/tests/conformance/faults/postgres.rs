//! What only PostgreSQL does: roles, standbys, transactions that end in another order, time lines.

use super::{
    all_there, bound, forgets, healed, heard, lose_nothing, next, open, open_together, put,
    write_until_it_fails,
};
use crate::trial;
use base::Kind;
use base::offer::Durability;
use bytes::Bytes;
use libtest_mimic::Trial;
use std::time::Duration;
use testkit::certificates::Certificates;
use testkit::servers::{Server, postgres_standby, postgres_tls, postgres_with};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use wharf_keyvalue::{Change, WatchOptions};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::postgres::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::postgres::a_database_that_is_not_there_is_told", no_database()),
        trial("faults::postgres::tls_is_asked_for_and_checked_on_both_sides", tls()),
        trial("faults::postgres::a_role_that_may_not_create_is_told_who_may", no_right()),
        trial("faults::postgres::a_server_without_a_free_connection_is_told", no_connection()),
        trial("faults::postgres::a_standby_is_refused_with_what_to_do", standby()),
        trial("faults::postgres::a_standby_takes_over_without_loss", fail_over()),
        trial("faults::postgres::the_offer_follows_the_servers_settings", durability()),
        trial("faults::postgres::what_was_prepared_works_after_a_restart", restart()),
        trial("faults::postgres::a_write_that_ends_late_is_heard_of", late()),
        trial("faults::postgres::writers_and_watchers_lose_nothing", many()),
        trial("faults::postgres::a_deletion_that_was_forgotten_is_announced", forgotten()),
        trial("faults::postgres::tables_come_from_another_server", brought()),
        trial("faults::postgres::many_hosts_open_a_binding_at_once", openers()),
        trial("faults::postgres::a_binding_that_is_destroyed_leaves_nothing", destroyed()),
    ]
}

fn url(server: &Server) -> String {
    format!("postgres://postgres@{}/postgres", server.address())
}

/// A client of no backend, with what keeps its connection.
async fn raw(server: &Server) -> (Client, JoinSet<Result<(), tokio_postgres::Error>>) {
    let (client, connection) = tokio_postgres::connect(&url(server), NoTls).await.unwrap();
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    (client, connections)
}

async fn run(server: &Server, sql: &str) {
    raw(server).await.0.batch_execute(sql).await.unwrap();
}

/// Has the server ask for what this line of `pg_hba.conf` says.
async fn ask_for(server: &Server, line: &str) {
    std::fs::write(server.folder().join("data/pg_hba.conf"), format!("{line}\n")).unwrap();
    run(server, "SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
}

async fn wrong_password() {
    let server = postgres_with(&[]);
    let address = server.address();
    run(&server, "ALTER ROLE postgres PASSWORD 'open sesame'").await;
    ask_for(&server, "host all all all scram-sha-256").await;
    for user in ["postgres:hunter2", "postgres", "nobody:hunter2"] {
        let error = open(&format!("postgres://{user}@{address}/postgres")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = format!("{error} {}", error.hint().unwrap());
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    let right = format!("postgresql://postgres:open%20sesame@{address}/postgres");
    put(&open(&right).await.unwrap(), "key").await.unwrap();
}

async fn no_database() {
    let server = postgres_with(&[]);
    let nowhere = format!("postgres://postgres@{}/nowhere", server.address());
    let error = open(&nowhere).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.hint().unwrap().contains("CREATE DATABASE \"nowhere\""), "{error}");
}

async fn tls() {
    let certificates = Certificates::new();
    let server = postgres_tls(&certificates);
    let plain = postgres_with(&[]);
    let (ca, others) = (certificates.ca.display(), Certificates::new());
    // No silent plain text, and no TLS with whom nobody knows.
    let error = open(&format!("{}?sslmode=require", url(&plain))).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains(&plain.address().to_string()), "{error}");
    let with_ca = |server: &Server, ca: &std::path::Path| {
        format!("{{ url = '{}', ca = '{}' }}", url(server), ca.display())
    };
    assert!(bound(&with_ca(&plain, &certificates.ca)).await.is_err());
    for untrusted in [open(&url(&server)).await, bound(&with_ca(&server, &others.ca)).await] {
        let error = untrusted.err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.hint().unwrap().contains("ca ="), "{error}");
    }
    put(&bound(&with_ca(&server, &certificates.ca)).await.unwrap(), "key").await.unwrap();
    put(&open(&format!("{}?sslmode=disable", url(&server))).await.unwrap(), "key").await.unwrap();
    // Who the client is, a certificate says.
    run(&server, "CREATE ROLE client LOGIN SUPERUSER").await;
    ask_for(&server, "hostssl all client all cert").await;
    let named = format!("postgres://client@{}/postgres", server.address());
    let error = bound(&format!("{{ url = '{named}', ca = '{ca}' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let shown = format!(
        "{{ url = '{named}', ca = '{ca}', certificate = '{}', key = '{}' }}",
        certificates.client.display(),
        certificates.client_key.display()
    );
    put(&bound(&shown).await.unwrap(), "key").await.unwrap();
}

async fn no_right() {
    let server = postgres_with(&[]);
    run(&server, "CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM public").await;
    let guest =
        format!("{{ url = 'postgres://guest@{}/postgres', table = 'x\"y' }}", server.address());
    let error = bound(&guest).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.hint().unwrap().contains("TO \"guest\""), "{error}");
    // Once the owner has made the tables the guest needs no more than to use them.
    bound(&format!("{{ url = '{}', table = 'x\"y' }}", url(&server))).await.unwrap();
    let tables = r#""x""y", "x""y_fences", "x""y_meta""#;
    run(&server, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO guest")).await;
    let store = bound(&guest).await.unwrap();
    put(&store, "key").await.unwrap();
    let error = store.destroy().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
}

async fn no_connection() {
    let server = postgres_with(&["max_connections=2", "superuser_reserved_connections=0"]);
    let store = bound(&format!("{{ url = '{}', connections = 1 }}", url(&server))).await.unwrap();
    put(&store, "key").await.unwrap();
    let _other = raw(&server).await;
    let error = open(&url(&server)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    let words = error.to_string();
    assert!(words.contains(&server.address().to_string()), "{words}");
    assert!(words.contains("too many clients") && words.contains("53300"), "{words}");
    assert!(error.hint().unwrap().contains("max_connections"), "{error}");
    // Who has a connection goes on.
    put(&store, "key").await.unwrap();
}

async fn standby() {
    let primary = postgres_with(&[]);
    let standby = postgres_standby(&primary);
    let error = open(&url(&standby)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("read-only standby"), "{error}");
    assert!(error.hint().unwrap().contains("primary"), "{error}");
    put(&open(&both(&standby, &primary)).await.unwrap(), "key").await.unwrap();
}

/// A URL that leads to whichever of two servers writes.
fn both(one: &Server, other: &Server) -> String {
    format!("postgres://postgres@{},{}/postgres", one.address(), other.address())
}

async fn fail_over() {
    let primary = postgres_with(&[]);
    let standby = postgres_standby(&primary);
    run(&primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'").await;
    run(&primary, "SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let store = open(&both(&primary, &standby)).await.unwrap();
    assert_eq!(store.offer().levels.durability, Durability::Replicated);
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&store, "before").await.unwrap();
    let (_, position) = heard(&mut changes).await;
    let crash = async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        primary.crash();
    };
    let written = write_until_it_fails(&store, 0, crash).await;
    assert!(written.len() > 20, "{} writes", written.len());
    run(&standby, "SELECT pg_promote()").await;
    healed(&store).await;
    all_there(&store, &written).await;
    // In the history that ended there may have been changes that never were in this one.
    let from = WatchOptions { from: Some(position), ..WatchOptions::default() };
    let mut resumed = store.watch(&from).await.unwrap();
    assert!(matches!(next(&mut resumed).await, Change::Missed { .. }));
    while !matches!(next(&mut changes).await, Change::Missed { .. }) {}
    put(&store, "after").await.unwrap();
    for changes in [&mut resumed, &mut changes] {
        while heard(changes).await.0 != "after" {}
    }
}

async fn durability() {
    for (settings, durability) in [
        (&["synchronous_commit=off"][..], Durability::None),
        (&["fsync=off"], Durability::OsBuffer),
        (&["synchronous_commit=local"], Durability::Fsync),
    ] {
        let server = postgres_with(settings);
        let store = open(&url(&server)).await.unwrap();
        assert_eq!(store.offer().levels.durability, durability, "{settings:?}");
    }
}

async fn restart() {
    let vendor = testkit::servers::VENDORS.iter().find(|it| it.name == "postgres").unwrap();
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
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}', table = 'kv' }}", url(&server));
    let store = bound(&settings).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    for round in 0..5 {
        // It has the lower number and ends behind the other.
        let (other, _connection) = raw(&server).await;
        let write = "INSERT INTO kv VALUES ($1, 'x', 'a version', NULL, pg_current_xact_id(), 0)";
        let late = format!("late {round}");
        other.batch_execute("BEGIN").await.unwrap();
        other.execute(write, &[&late.as_bytes()]).await.unwrap();
        let soon = format!("soon {round}");
        put(&store, &soon).await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        other.batch_execute("COMMIT").await.unwrap();
        assert_eq!(heard(&mut changes).await.0, late);
        let (key, position) = heard(&mut changes).await;
        assert_eq!(key, soon);
        let from = WatchOptions { from: Some(position), ..WatchOptions::default() };
        let mut resumed = store.watch(&from).await.unwrap();
        let next = format!("next {round}");
        put(&store, &next).await.unwrap();
        assert_eq!(heard(&mut resumed).await.0, next);
        assert_eq!(heard(&mut changes).await.0, next);
    }
}

async fn many() {
    let server = postgres_with(&[]);
    lose_nothing(&format!("{{ url = '{}' }}", url(&server))).await;
}

async fn forgotten() {
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}', retention = '100ms' }}", url(&server));
    forgets(&settings).await;
    let rows = raw(&server).await.0.query("SELECT 1 FROM wharf_app_default", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
}

async fn brought() {
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}', table = 'kv' }}", url(&server));
    let store = bound(&settings).await.unwrap();
    put(&store, "key").await.unwrap();
    drop(store);
    run(&server, "UPDATE kv SET tx = '1000000000'; UPDATE kv_meta SET horizon = '1000000001'")
        .await;
    let store = bound(&settings).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&store, "next").await.unwrap();
    assert_eq!(heard(&mut changes).await.0, "next");
    assert!(store.exists("key").await.unwrap());
}

async fn openers() {
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}' }}", url(&server));
    open_together(&settings).await;
}

async fn destroyed() {
    let server = postgres_with(&[]);
    let (client, _connection) = raw(&server).await;
    let count = "SELECT count(*) FROM pg_class WHERE relname LIKE '%wharf%'";
    let store = open(&url(&server)).await.unwrap();
    let _changes = store.watch(&WatchOptions::default()).await.unwrap();
    let fenced = wharf_keyvalue::WriteOptions::fenced("lock", 1);
    store.set("key", Bytes::from_static(b"x"), &fenced).await.unwrap();
    assert!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0) > 0);
    store.destroy().await.unwrap();
    assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 0);
}
