//! What a file keeps when it is opened again, and files that are others'.

use crate::{KEEPERS, embedded, everything, kept, text, trial, within};
use base::Kind;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::Duration;
use wharf_messaging::{Broker, Message, PublishOptions, Start, Subscription};

const SOON: Duration = Duration::from_secs(5);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("files::another_file_is_refused_and_left_alone", foreign()),
        trial("files::publishers_who_come_together_share_commits", together()),
        trial("files::who_waits_for_messages_leaves_the_disk_alone", idle()),
    ];
    for keeper in KEEPERS {
        let mut add = |name: &str, body: BoxFuture<'static, ()>| {
            trials.push(trial(format!("files::{keeper}::{name}"), body));
        };
        add("groups_and_attempts_are_there_again", groups(keeper).boxed());
        add("what_is_put_off_is_there_again", put_off(keeper).boxed());
        add("ids_and_positions_are_known_again", ids(keeper).boxed());
        add("it_is_open_once_in_a_process", shared(keeper).boxed());
        add("what_nobody_needs_makes_room", room(keeper).boxed());
        add("a_dead_letter_finds_room", beyond(keeper).boxed());
    }
    trials
}

async fn publish(broker: &dyn Broker, text: &str) -> base::Result<wharf_messaging::Published> {
    broker.publish("a", Message::new(text.to_owned()), &PublishOptions::default()).await
}

async fn groups(keeper: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    for text in ["1", "2", "3"] {
        publish(&*broker, text).await.unwrap();
    }
    let first = within(SOON, &*subscriber).await.unwrap();
    first.nack(Duration::ZERO).await.unwrap();
    let again = within(SOON, &*subscriber).await.unwrap();
    assert_eq!((text(&again.message.data).as_str(), again.attempt), ("1", 2));
    let second = within(SOON, &*subscriber).await.unwrap();
    second.ack().await.unwrap();
    // The first is held to the end, as by a process that dies.
    drop(broker);
    std::mem::forget(again);
    drop(subscriber);
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let mut found = Vec::new();
    while let Some(delivery) = within(Duration::from_millis(300), &*subscriber).await {
        found.push((text(&delivery.message.data), delivery.attempt));
        delivery.ack().await.unwrap();
    }
    found.sort();
    assert_eq!(found, [("1".to_owned(), 3), ("3".to_owned(), 1)]);
    broker.forget("g").await.unwrap();
    publish(&*broker, "4").await.unwrap();
    drop((subscriber, broker));
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    assert!(within(Duration::from_millis(300), &*subscriber).await.is_none());
}

async fn put_off(keeper: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let begun = std::time::Instant::now();
    let later = PublishOptions { delay: Some(Duration::from_secs(2)), beyond: false };
    broker.publish("a", Message::new("late"), &later).await.unwrap();
    publish(&*broker, "failed").await.unwrap();
    let failed = within(SOON, &*subscriber).await.unwrap();
    failed.nack(Duration::from_secs(2)).await.unwrap();
    drop((subscriber, broker));
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    assert!(within(Duration::from_millis(300), &*subscriber).await.is_none());
    for _ in 0..2 {
        within(SOON, &*subscriber).await.unwrap().ack().await.unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(1900), "it came too soon");
}

async fn ids(keeper: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    let with_id = || Message { id: Some("i".to_owned()), ..Message::new("1") };
    let options = PublishOptions::default();
    let first = broker.publish("a", with_id(), &options).await.unwrap();
    publish(&*broker, "2").await.unwrap();
    drop(broker);
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    let second = broker.publish("a", with_id(), &options).await.unwrap();
    assert!(second.duplicate && second.position == first.position, "{second:?}");
    let start = Start::After(first.position.unwrap());
    let subscription = Subscription { start, group: None, ..everything() };
    let subscriber = broker.subscribe(&subscription).await.unwrap();
    assert_eq!(text(&within(SOON, &*subscriber).await.unwrap().message.data), "2");
}

async fn foreign() {
    let folder = tempfile::tempdir().unwrap();
    drop(kept("embedded", "", folder.path()).await.unwrap());
    let file = folder.path().join("messaging/app/default.redb");
    let damaged = b"this is no file of ours, and stays as it is".repeat(200);
    std::fs::write(&file, &damaged).unwrap();
    let error = kept("embedded", "", folder.path()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.message().contains(&file.display().to_string()), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "the file was changed");
}

async fn shared(keeper: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let one = kept(keeper, "", folder.path()).await.unwrap();
    let other = kept(keeper, "", folder.path()).await.unwrap();
    let subscriber = one.subscribe(&everything()).await.unwrap();
    publish(&*other, "1").await.unwrap();
    within(SOON, &*subscriber).await.unwrap().ack().await.unwrap();
    let differs = kept(keeper, "max-size = '1MiB'", folder.path()).await.map(drop);
    assert_eq!(differs.unwrap_err().kind(), Kind::Conflict);
}

async fn together() {
    let disk = testkit::disk::Disk::new(Vec::new(), 0);
    let opener = disk.opener();
    let broker = embedded("").broker("disk".to_owned(), opener, base::Clock::System).unwrap();
    let before = disk.calls();
    publish(&*broker, "alone").await.unwrap();
    let alone = disk.calls() - before;
    let before = disk.calls();
    let publishing = (0..64).map(|number| {
        let broker = Arc::clone(&broker);
        async move { publish(&*broker, &number.to_string()).await }
    });
    for outcome in futures::future::join_all(publishing).await {
        outcome.unwrap();
    }
    let each = (disk.calls() - before) / 64;
    assert!(each < alone, "64 together touch the disk {each} times each, and one alone {alone}");
}

async fn room(keeper: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let broker = kept(keeper, "max-size = '256KiB'", folder.path()).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let large = "x".repeat(10_000);
    let mut taken = 0;
    let full = loop {
        match publish(&*broker, &large).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100, "there is no end to it");
    };
    assert_eq!(full.kind(), Kind::Exhausted, "{full}");
    assert!(full.hint().is_some_and(|hint| hint.contains("group `g`")), "{full:?}");
    for _ in 0..taken {
        within(SOON, &*subscriber).await.unwrap().ack().await.unwrap();
    }
    for _ in 0..100 {
        publish(&*broker, &large).await.unwrap();
        within(SOON, &*subscriber).await.unwrap().ack().await.unwrap();
    }
}

async fn beyond(keeper: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let broker = kept(keeper, "max-size = '256KiB'", folder.path()).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let large = "x".repeat(10_000);
    while publish(&*broker, &large).await.is_ok() {}
    let options = PublishOptions { beyond: true, ..PublishOptions::default() };
    broker.publish("dead", Message::new(large.clone()), &options).await.unwrap();
    // What it stands for is done with, and makes room for others.
    for _ in 0..2 {
        within(SOON, &*subscriber).await.unwrap().ack().await.unwrap();
    }
    publish(&*broker, &large).await.unwrap();
}

async fn idle() {
    let disk = testkit::disk::Disk::new(Vec::new(), 0);
    let broker = embedded("").broker("disk".to_owned(), disk.opener(), base::Clock::System);
    let broker = broker.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    publish(&*broker, "1").await.unwrap();
    within(SOON, &*subscriber).await.unwrap().ack().await.unwrap();
    // What was done with is written a moment later.
    assert!(within(Duration::from_millis(300), &*subscriber).await.is_none());
    let before = disk.calls();
    assert!(within(Duration::from_millis(300), &*subscriber).await.is_none());
    assert_eq!(disk.calls(), before, "nothing was to be written");
}
