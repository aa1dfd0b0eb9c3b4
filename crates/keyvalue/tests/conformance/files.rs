//! Files that are damaged, foreign, newer, shared or used again.

use crate::{embedded, place, trial};
use base::{Backend as _, Kind, Result};
use bytes::Bytes;
use libtest_mimic::Trial;
use redb::{Database, TableDefinition};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::random::Random;
use wharf_keyvalue::backend::embedded::Durability::{Relaxed, Strict};
use wharf_keyvalue::backend::embedded::Embedded;
use wharf_keyvalue::{Clock, Store, WriteOptions};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("files::a_damaged_file_is_refused_and_left_alone", damaged()),
        trial("files::any_flipped_byte_is_found_or_harmless", flipped()),
        trial("files::a_newer_file_is_refused_and_left_alone", newer()),
        trial("files::another_programs_file_is_refused_and_left_alone", foreign()),
        trial("files::a_creation_that_was_cut_short_is_begun_anew", cut_short()),
        trial("files::a_folder_in_the_place_of_a_file_is_unavailable", folder()),
        trial("files::a_store_is_open_once_in_a_process", shared()),
        trial("files::a_closed_store_opens_again_at_once", reopened()),
        trial("files::paths_stay_in_the_data_directory", paths()),
        trial("files::writers_share_commits", commits()),
    ]
}

async fn open_with(settings: Embedded, data: &Path) -> Result<Arc<dyn Store>> {
    settings.open(place(data)).await
}

async fn open(data: &Path) -> Result<Arc<dyn Store>> {
    open_with(embedded(Strict), data).await
}

fn file(data: &Path) -> PathBuf {
    data.join("keyvalue/app/default.redb")
}

/// A closed store with something in it.
async fn filled(data: &Path) -> Vec<u8> {
    let store = open(data).await.unwrap();
    for key in 0..50 {
        let value = Bytes::from(format!("value of {key} ").repeat(20));
        store.set(&format!("key {key}"), value, &WriteOptions::default()).await.unwrap();
    }
    drop(store);
    std::fs::read(file(data)).unwrap()
}

/// Holds if the file is refused as damaged, by name, and is afterwards what it was.
async fn assert_refused(data: &Path, content: &[u8]) -> base::Error {
    std::fs::write(file(data), content).unwrap();
    let error = open(data).await.map(drop).expect_err("it should be refused");
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.message().contains(&file(data).display().to_string()), "{error}");
    assert!(std::fs::read(file(data)).unwrap() == content, "the file was changed");
    error
}

async fn damaged() {
    let data = tempfile::tempdir().unwrap();
    let content = filled(data.path()).await;
    assert_refused(data.path(), b"").await;
    assert_refused(data.path(), b"not a store").await;
    assert_refused(data.path(), &content[..100]).await;
    assert_refused(data.path(), &content[..content.len() / 2]).await;
    assert_refused(data.path(), &vec![0; content.len()]).await;
    let mut header = content.clone();
    header[0] ^= 1;
    assert_refused(data.path(), &header).await;
    std::fs::write(file(data.path()), &content).unwrap();
    let store = open(data.path()).await.unwrap();
    assert!(store.exists("key 7").await.unwrap(), "the undamaged file is fine");
}

async fn flipped() {
    let data = tempfile::tempdir().unwrap();
    let content = filled(data.path()).await;
    let used: Vec<usize> = (0..content.len()).filter(|at| content[*at] != 0).collect();
    let mut random = Random(1);
    let mut refused = 0;
    for _ in 0..60 {
        let at = used[usize::try_from(random.below(used.len() as u64)).unwrap()];
        let mut flipped = content.clone();
        flipped[at] ^= 1 << random.below(8);
        std::fs::write(file(data.path()), &flipped).unwrap();
        match open(data.path()).await {
            Err(error) => {
                assert_eq!(error.kind(), Kind::Corrupt, "{error}");
                assert!(std::fs::read(file(data.path())).unwrap() == flipped, "it was changed");
                refused += 1;
            }
            Ok(store) => {
                for key in 0..50 {
                    let value = Bytes::from(format!("value of {key} ").repeat(20));
                    let found = store.get(&format!("key {key}")).await.unwrap();
                    assert_eq!(found, Some(value), "with byte {at} flipped");
                }
            }
        }
    }
    assert!(refused > 3, "only {refused} of 60 were found");
}

async fn newer() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path()).await;
    let database = Database::open(file(data.path())).unwrap();
    let write = database.begin_write().unwrap();
    let about = TableDefinition::<&str, u64>::new("wharf-keyvalue");
    write.open_table(about).unwrap().insert("format", 2).unwrap();
    write.commit().unwrap();
    drop(database);
    let content = std::fs::read(file(data.path())).unwrap();
    let error = assert_refused(data.path(), &content).await;
    assert!(error.to_string().contains("format 2"), "{error}");
}

async fn foreign() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(file(data.path()).parent().unwrap()).unwrap();
    let database = Database::create(file(data.path())).unwrap();
    let write = database.begin_write().unwrap();
    let table = TableDefinition::<&str, &str>::new("entries");
    write.open_table(table).unwrap().insert("somebody", "else").unwrap();
    write.commit().unwrap();
    drop(database);
    let content = std::fs::read(file(data.path())).unwrap();
    assert_refused(data.path(), &content).await;
}

async fn cut_short() {
    let data = tempfile::tempdir().unwrap();
    let content = filled(data.path()).await;
    std::fs::remove_file(file(data.path())).unwrap();
    let unfinished = file(data.path()).with_extension("redb.new");
    std::fs::write(&unfinished, &content[..content.len() / 2]).unwrap();
    let store = open(data.path()).await.unwrap();
    store.set("key", Bytes::new(), &WriteOptions::default()).await.unwrap();
    assert!(!unfinished.exists(), "nothing unfinished stays behind");
}

async fn folder() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(file(data.path())).unwrap();
    let error = open(data.path()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.message().contains("default.redb") && error.hint().is_some(), "{error}");
}

async fn shared() {
    let data = tempfile::tempdir().unwrap();
    let plain = WriteOptions::default();
    let (one, other) = (open(data.path()).await.unwrap(), open(data.path()).await.unwrap());
    one.set("key", Bytes::from_static(b"value"), &plain).await.unwrap();
    drop(one);
    assert!(other.exists("key").await.unwrap());
    let error = open_with(embedded(Relaxed), data.path()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    drop(other);
    let relaxed = open_with(embedded(Relaxed), data.path()).await.unwrap();
    assert!(relaxed.exists("key").await.unwrap());
}

async fn reopened() {
    let data = tempfile::tempdir().unwrap();
    for durability in [Strict, Relaxed].into_iter().cycle().take(10) {
        let store = open_with(embedded(durability), data.path()).await.unwrap();
        store.increment("n", 1, &WriteOptions::default()).await.unwrap();
    }
    let store = open(data.path()).await.unwrap();
    assert_eq!(store.get("n").await.unwrap().unwrap(), "10");
}

async fn paths() {
    for url in ["embedded:/etc/x.redb", "embedded:../x.redb", "embedded:a/../../x", "embedded:a/"] {
        let settings = Embedded { url: url.to_owned(), ..embedded(Strict) };
        settings.check().expect_err(url);
    }
    let data = tempfile::tempdir().unwrap();
    let settings = Embedded { url: "embedded:some/where.redb".to_owned(), ..embedded(Strict) };
    settings.check().unwrap();
    let store = open_with(settings, data.path()).await.unwrap();
    store.set("key", Bytes::new(), &WriteOptions::default()).await.unwrap();
    assert!(data.path().join("some/where.redb").is_file());
}

async fn commits() {
    const WRITERS: u64 = 64;
    const WRITES: u64 = 20;
    let disk = testkit::disk::Disk::new(Vec::new(), 0);
    let settings = embedded(Strict);
    let store = settings.store("disk".to_owned(), disk.opener(), Clock::System).unwrap();
    let store = &store;
    let writers = (0..WRITERS).map(|writer| async move {
        for write in 0..WRITES {
            let key = format!("{writer}/{write}");
            store.set(&key, Bytes::new(), &WriteOptions::default()).await.unwrap();
        }
    });
    futures::future::join_all(writers).await;
    let commits = store.inner().commits();
    assert!(commits < WRITERS * WRITES / 4, "{commits} commits for {} writes", WRITERS * WRITES);
}
