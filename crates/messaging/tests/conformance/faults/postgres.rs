//! What only PostgreSQL does: roles, standbys, encodings, locks, tables that are tidied up.

mod several;

use super::{PLAIN, bound, next, of_group, publish, text, trial};
use base::Kind;
use base::offer::Durability;
use bytes::Bytes;
use libtest_mimic::Trial;
use std::time::{Duration, Instant};
use testkit::certificates::Certificates;
use testkit::servers::{Server, postgres_says, postgres_standby, postgres_tls, postgres_with};
use wharf_messaging::{Message, PublishOptions, Start, Subscription};

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("faults::postgres::a_wrong_password_is_told_without_it", wrong_password()),
        trial("faults::postgres::tls_is_asked_for_and_checked_on_both_sides", tls()),
        trial("faults::postgres::a_role_that_may_not_create_is_told_who_may", no_right()),
        trial("faults::postgres::a_database_with_another_encoding_is_refused", encoding()),
        trial("faults::postgres::a_standby_takes_over_without_loss", fail_over()),
        trial("faults::postgres::the_offer_follows_the_servers_settings", durability()),
        trial("faults::postgres::a_full_log_makes_room_of_what_is_done_with", full()),
        trial("faults::postgres::what_every_group_is_done_with_is_swept", swept()),
        trial("faults::postgres::who_waits_for_a_lock_ends_in_time", locked()),
        trial("faults::postgres::a_subscriber_that_is_gone_is_forgotten", silent()),
        trial("faults::postgres::destroying_leaves_nothing_behind", destroyed()),
    ];
    trials.extend(super::hosts::trials("postgres"));
    trials.extend(several::trials());
    trials
}

fn url(server: &Server) -> String {
    format!("postgres://postgres@{}/postgres", server.address())
}

/// Has the server ask for what this line of `pg_hba.conf` says.
async fn ask_for(server: &Server, line: &str) {
    std::fs::write(server.folder().join("data/pg_hba.conf"), format!("{line}\n")).unwrap();
    postgres_says(server, "SELECT pg_reload_conf()");
    tokio::time::sleep(Duration::from_millis(200)).await;
}

fn alone(topics: &[&str]) -> Subscription {
    Subscription { group: None, ..of_group("", topics) }
}

async fn wrong_password() {
    let server = postgres_with(&[]);
    let address = server.address();
    postgres_says(&server, "ALTER ROLE postgres PASSWORD 'open sesame'");
    ask_for(&server, "host all all all scram-sha-256").await;
    for user in ["postgres:hunter2", "postgres", "nobody:hunter2"] {
        let url = format!("postgres://{user}@{address}/postgres");
        let error = bound(&format!("{{ url = '{url}' }}")).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let words = format!("{error} {}", error.hint().unwrap());
        assert!(words.contains(&address.to_string()) && !words.contains("hunter2"), "{words}");
    }
    let right = format!("postgresql://postgres:open%20sesame@{address}/postgres");
    publish(&bound(&format!("{{ url = '{right}' }}")).await.unwrap(), "a", "1").await.unwrap();
}

async fn tls() {
    let certificates = Certificates::new();
    let (server, plain) = (postgres_tls(&certificates), postgres_with(&[]));
    let settings = format!("{{ url = '{}?sslmode=require' }}", url(&plain));
    let error = bound(&settings).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains(&plain.address().to_string()), "{error}");
    let error = bound(&format!("{{ url = '{}' }}", url(&server))).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let (ca, certificate, key) = (&certificates.ca, &certificates.client, &certificates.client_key);
    let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
    postgres_says(&server, "CREATE ROLE client LOGIN SUPERUSER");
    ask_for(&server, "hostssl all client all cert").await;
    let named = format!("postgres://client@{}/postgres", server.address());
    let error = bound(&format!("{{ url = '{named}', ca = '{ca}' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let shown =
        format!("{{ url = '{named}', ca = '{ca}', certificate = '{certificate}', key = '{key}' }}");
    publish(&bound(&shown).await.unwrap(), "a", "1").await.unwrap();
}

async fn no_right() {
    let server = postgres_with(&[]);
    let revoke = "CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM public";
    postgres_says(&server, revoke);
    let guest =
        format!("{{ url = 'postgres://guest@{}/postgres', table = 'x\"y' }}", server.address());
    let error = bound(&guest).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.hint().unwrap().contains("TO \"guest\""), "{error}");
    // Once the owner has made the tables the guest needs no more than to use them.
    drop(bound(&format!("{{ url = '{}', table = 'x\"y' }}", url(&server))).await.unwrap());
    let suffixes = ["", "_groups", "_pending", "_inboxes", "_replies", "_meta"];
    let tables = suffixes.map(|suffix| format!("\"x\"\"y{suffix}\"")).join(", ");
    let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO guest");
    postgres_says(&server, &grant);
    let broker = bound(&guest).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    let error = broker.destroy().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
}

async fn encoding() {
    let server = postgres_with(&[]);
    postgres_says(&server, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    let latin = format!("{{ url = 'postgres://postgres@{}/latin' }}", server.address());
    let error = bound(&latin).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.hint().unwrap().contains("UTF8"), "{error}");
}

async fn fail_over() {
    let primary = postgres_with(&[]);
    let standby = postgres_standby(&primary);
    let only = format!("{{ url = '{}' }}", url(&standby));
    let error = bound(&only).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("read-only standby"), "{error}");
    postgres_says(&primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    postgres_says(&primary, "SELECT pg_reload_conf()");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let both = format!("postgres://postgres@{},{}/postgres", primary.address(), standby.address());
    let broker = bound(&format!("{{ url = '{both}', timeout = '2s' }}")).await.unwrap();
    assert_eq!(broker.offer().levels.durability, Durability::Replicated);
    let harm = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        primary.crash();
        postgres_says(&standby, "SELECT pg_promote()");
        super::healed(&broker).await;
    };
    super::loses_nothing("a standby that takes over", &broker, harm).await;
}

async fn durability() {
    for (settings, durability) in [
        (&["synchronous_commit=off"][..], Durability::None),
        (&["fsync=off"], Durability::OsBuffer),
        (&["synchronous_commit=local"], Durability::Fsync),
    ] {
        let server = postgres_with(settings);
        let broker = bound(&format!("{{ url = '{}' }}", url(&server))).await.unwrap();
        assert_eq!(broker.offer().levels.durability, durability, "{settings:?}");
    }
}

async fn full() {
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}', max-size = '1MiB' }}", url(&server));
    let broker = bound(&settings).await.unwrap();
    assert_eq!(broker.offer().max_message, 128 << 10);
    let slow = broker.subscribe(&of_group("slow", &["a"])).await.unwrap();
    let quick = broker.subscribe(&of_group("quick", &["a"])).await.unwrap();
    let big = || Message::new(Bytes::from(vec![7; 100 << 10]));
    let mut sent = 0;
    let full = loop {
        match broker.publish("a", big(), &PLAIN).await {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(sent, 10);
    assert_eq!(full.kind(), Kind::Exhausted, "{full}");
    for _ in 0..sent {
        next(&*quick).await.ack().await.unwrap();
    }
    let full = broker.publish("a", big(), &PLAIN).await.unwrap_err();
    assert_eq!(full.kind(), Kind::Exhausted, "{full}");
    assert!(full.hint().is_some_and(|hint| hint.contains("`slow`")), "{:?}", full.hint());
    // What makes room at once has some; of many that come together some fit.
    broker.publish("a", big(), &PublishOptions { beyond: true, ..PLAIN }).await.unwrap();
    for _ in 0..sent {
        next(&*slow).await.ack().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let many = (0..12).map(|_| ("a".to_owned(), big())).collect();
    let outcomes = broker.publish_many(many, &PLAIN).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 9);
    let kinds = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    assert!(kinds.into_iter().all(|error| error.kind() == Kind::Exhausted));
}

async fn swept() {
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}', table = 'm', max-age = '1s' }}", url(&server));
    let broker = bound(&settings).await.unwrap();
    let slow = broker.subscribe(&of_group("slow", &["a"])).await.unwrap();
    let quick = broker.subscribe(&of_group("quick", &["a", "b.c"])).await.unwrap();
    for number in 0..20 {
        publish(&broker, "a", &number.to_string()).await.unwrap();
    }
    for number in 0..20 {
        assert_eq!(text(&*quick).await, number.to_string());
    }
    for number in 0..10 {
        assert_eq!(text(&*slow).await, number.to_string());
    }
    let begun = Instant::now();
    let count = || postgres_says(&server, "SELECT count(*) FROM m").pop_first().unwrap();
    while count() != "10" {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is swept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What a group waits for stays, however old.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(count(), "10");
    for number in 10..20 {
        assert_eq!(text(&*slow).await, number.to_string());
    }
    while count() != "0" {
        assert!(begun.elapsed() < Duration::from_secs(60), "not all is swept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Numbers go on, and so do those who were there.
    let published = broker.publish("a", Message::new("20"), &PLAIN).await.unwrap();
    assert!(published.position.unwrap().0.ends_with("-21"));
    for subscriber in [&slow, &quick] {
        assert_eq!(text(&**subscriber).await, "20");
    }
}

/// Another program, or a host that hangs, has a lock.
async fn locked() {
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}', table = 'm', timeout = '1s' }}", url(&server));
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    let hold = "BEGIN; LOCK TABLE m, m_pending; SELECT pg_sleep(4); COMMIT";
    let (harm, ()) = futures::join!(
        async {
            let address = server.address();
            let mut psql = std::process::Command::new("psql");
            let url = format!("postgres://postgres@{address}/postgres");
            psql.args(["-XAtq", "-d", &url, "-c", hold]).stdout(std::process::Stdio::null());
            tokio::task::spawn_blocking(move || psql.status()).await.unwrap()
        },
        async {
            tokio::time::sleep(Duration::from_millis(1000)).await;
            let begun = Instant::now();
            let (published, taken) = futures::join!(
                publish(&broker, "a", "2"),
                tokio::time::timeout(Duration::from_secs(10), subscriber.next())
            );
            assert_eq!(published.unwrap_err().kind(), Kind::Timeout);
            assert_eq!(taken.unwrap().unwrap_err().kind(), Kind::Timeout);
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        }
    );
    assert!(harm.unwrap().success());
    super::healed(&broker).await;
    assert_eq!(text(&*subscriber).await, "1");
}

/// A host that crashed says nothing any more.
async fn silent() {
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}', table = 'm', max-age = '1s' }}", url(&server));
    let broker = bound(&settings).await.unwrap();
    let there = broker.subscribe(&alone(&["a"])).await.unwrap();
    let lasting = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    let gone = "INSERT INTO m_groups (topics, words, patterns, ordered, cursor, seen)
                VALUES ('{a}', '{a}', '{}', false, 0, now() - interval '1 hour')";
    postgres_says(&server, gone);
    postgres_says(&server, "UPDATE m_groups SET seen = now() - interval '1 hour'");
    let begun = Instant::now();
    let left = || postgres_says(&server, "SELECT count(*) FROM m_groups").pop_first().unwrap();
    while left() != "2" {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not forgotten");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(
        begun.elapsed() > Duration::from_secs(10),
        "others had time to say that they are there"
    );
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*there).await, "1");
    assert_eq!(text(&*lasting).await, "1");
    there.close().await;
    assert_eq!(left(), "1");
}

async fn destroyed() {
    let server = postgres_with(&[]);
    let settings = format!("{{ url = '{}' }}", url(&server));
    let broker = bound(&settings).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&broker, "a", "1").await.unwrap();
    assert_eq!(text(&*subscriber).await, "1");
    let position = broker.publish("a", Message::new("2"), &PLAIN).await.unwrap().position.unwrap();
    let kept = || {
        let vendor = testkit::servers::VENDORS.iter().find(|it| it.name == "postgres").unwrap();
        (vendor.kept)(server.address())
    };
    assert!(kept().contains("wharf_messaging_app_default"));
    broker.destroy().await.unwrap();
    broker.destroy().await.unwrap();
    assert!(kept().is_empty(), "{:?}", kept());
    let error = publish(&broker, "a", "late").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    drop((subscriber, broker));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(kept().is_empty(), "{:?}", kept());
    // Tables of the same name that are made later are others.
    let broker = bound(&settings).await.unwrap();
    for _ in 0..3 {
        publish(&broker, "a", "3").await.unwrap();
    }
    let from = Subscription { start: Start::After(position), ..alone(&["a"]) };
    let error = broker.subscribe(&from).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}
