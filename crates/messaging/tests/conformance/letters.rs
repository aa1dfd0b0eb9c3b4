//! What people and other programs do with the folder of `file:`: read it, drop messages into it,
//! and leave there what does not belong.

use crate::{everything, kept, text, trial, within};
use base::Kind;
use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wharf_messaging::{Broker, Message, PublishOptions, Start, Subscriber, Subscription};

const SOON: Duration = Duration::from_secs(20);
const PLAIN: PublishOptions = PublishOptions { delay: None, beyond: false };

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("letters::a_message_is_a_file_that_people_can_read", readable()),
        trial("letters::what_is_dropped_is_published", dropped()),
        trial("letters::what_is_dropped_and_no_message_is_set_aside", dropped_nonsense()),
        trial("letters::what_is_no_message_is_set_aside", set_aside()),
        trial("letters::what_somebody_removed_is_passed_by", removed()),
        trial("letters::a_folder_of_others_is_refused_and_left_alone", foreign()),
        trial("letters::damaged_groups_are_refused", damaged()),
        trial("letters::a_folder_that_another_process_has_is_refused", locked()),
    ]
}

async fn open(data: &Path) -> Arc<dyn Broker> {
    kept("file", "", data).await.unwrap()
}

fn folder(data: &Path) -> PathBuf {
    data.join("messaging/app/default")
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(name).collect();
    names.sort();
    names
}

async fn publish(broker: &dyn Broker, text: &str) {
    broker.publish("a", Message::new(text.to_owned()), &PLAIN).await.unwrap();
}

async fn texts(subscriber: &dyn Subscriber) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(delivery) = within(Duration::from_millis(300), subscriber).await {
        found.push(text(&delivery.message.data));
        delivery.ack().await.unwrap();
    }
    found
}

async fn readable() {
    let data = tempfile::tempdir().unwrap();
    let broker = open(data.path()).await;
    let message = Message {
        content_type: Some("text/plain".to_owned()),
        headers: vec![("colour".to_owned(), "blue".to_owned())],
        key: Some("k".to_owned()),
        ..Message::new("hello\n")
    };
    broker.publish("orders.new", message, &PLAIN).await.unwrap();
    let file = folder(data.path()).join("0000000000000000.msg");
    let lines = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], "Topic: orders.new");
    assert!(lines[1].starts_with("Published: 20"), "{lines:?}");
    assert_eq!(lines[2..], ["Content-Type: text/plain", "Key: k", "colour: blue", "", "hello"]);
}

async fn dropped() {
    let data = tempfile::tempdir().unwrap();
    let broker = open(data.path()).await;
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let inlet = folder(data.path()).join("in");
    fs::write(inlet.join("unfinished.tmp"), "Topic: b\n\nnever").unwrap();
    fs::write(inlet.join("2.msg"), "topic: orders.new\r\nkey: k\r\n\r\nsecond").unwrap();
    fs::write(inlet.join("1.msg"), "Topic: a\nX-Y: z\n\nfirst").unwrap();
    let first = within(SOON, &*subscriber).await.unwrap();
    assert_eq!((first.topic.as_str(), text(&first.message.data).as_str()), ("a", "first"));
    assert_eq!(first.message.header("X-Y"), Some("z"));
    first.ack().await.unwrap();
    let second = within(SOON, &*subscriber).await.unwrap();
    assert_eq!((second.topic.as_str(), second.message.key.as_deref()), ("orders.new", Some("k")));
    second.ack().await.unwrap();
    let begun = std::time::Instant::now();
    while names(&inlet) != ["unfinished.tmp"] {
        assert!(begun.elapsed() < SOON, "{:?}", names(&inlet));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn dropped_nonsense() {
    let data = tempfile::tempdir().unwrap();
    let broker = open(data.path()).await;
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let inlet = folder(data.path()).join("in");
    fs::write(inlet.join("1.msg"), "no message").unwrap();
    fs::write(inlet.join("2.msg"), "Topic: a.*\n\nwild").unwrap();
    fs::write(inlet.join("3.msg"), "Topic: _inbox.1-2\n\nreply").unwrap();
    fs::write(inlet.join("4.msg"), "Topic: a\n\nright").unwrap();
    let right = within(SOON, &*subscriber).await.unwrap();
    assert_eq!(text(&right.message.data), "right");
    right.ack().await.unwrap();
    assert_eq!(names(&folder(data.path()).join(".broken")), ["1.msg", "2.msg", "3.msg"]);
    publish(&*broker, "after").await;
    assert_eq!(texts(&*subscriber).await, ["after"]);
}

async fn set_aside() {
    let data = tempfile::tempdir().unwrap();
    let broker = open(data.path()).await;
    drop(broker.subscribe(&everything()).await.unwrap());
    for text in ["0", "1", "2", "3"] {
        publish(&*broker, text).await;
    }
    drop(broker);
    let folder = folder(data.path());
    fs::write(folder.join("0000000000000001.msg"), "broken").unwrap();
    fs::write(folder.join("notes.txt"), "by somebody").unwrap();
    fs::write(folder.join("7.msg"), "Topic: a\n\nanother spelling").unwrap();
    fs::write(folder.join(".0000000000000009.msg.new"), "half").unwrap();
    fs::create_dir(folder.join("0000000000000005.msg")).unwrap();
    let broker = open(data.path()).await;
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    assert_eq!(texts(&*subscriber).await, ["0", "2", "3"]);
    let broken = ["0000000000000001.msg", "0000000000000005.msg", "7.msg", "notes.txt"];
    assert_eq!(names(&folder.join(".broken")), broken);
    publish(&*broker, "after").await;
    assert_eq!(texts(&*subscriber).await, ["after"]);
    assert!(!folder.join(".0000000000000009.msg.new").exists());
}

async fn removed() {
    let data = tempfile::tempdir().unwrap();
    let broker = open(data.path()).await;
    for number in 0..200 {
        publish(&*broker, &number.to_string()).await;
    }
    drop(broker);
    let file = |number| folder(data.path()).join(format!("{number:016}.msg"));
    for number in (0..50).chain(60..199) {
        fs::remove_file(file(number)).unwrap();
    }
    let broker = open(data.path()).await;
    fs::remove_file(file(55)).unwrap();
    let subscription = Subscription { start: Start::Beginning, ..everything() };
    let subscriber = broker.subscribe(&subscription).await.unwrap();
    assert_eq!(
        texts(&*subscriber).await,
        ["50", "51", "52", "53", "54", "56", "57", "58", "59", "199"]
    );
    publish(&*broker, "after").await;
    assert_eq!(texts(&*subscriber).await, ["after"]);
}

async fn foreign() {
    let data = tempfile::tempdir().unwrap();
    let folder = folder(data.path());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("thesis.txt"), "years of work").unwrap();
    let error = kept("file", "", data.path()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains("thesis.txt"), "{error}");
    assert_eq!(fs::read_to_string(folder.join("thesis.txt")).unwrap(), "years of work");
}

async fn damaged() {
    let data = tempfile::tempdir().unwrap();
    let broker = open(data.path()).await;
    drop(broker.subscribe(&everything()).await.unwrap());
    publish(&*broker, "1").await;
    drop(broker);
    let file = folder(data.path()).join(".groups");
    let mut bytes = fs::read(&file).unwrap();
    bytes[10] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let error = kept("file", "", data.path()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains(".groups"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), bytes, "it was changed");
    fs::remove_file(&file).unwrap();
    let broker = open(data.path()).await;
    let subscription = Subscription { start: Start::Beginning, ..everything() };
    let subscriber = broker.subscribe(&subscription).await.unwrap();
    assert_eq!(texts(&*subscriber).await, ["1"]);
}

async fn locked() {
    let data = tempfile::tempdir().unwrap();
    let broker = open(data.path()).await;
    let lock = fs::File::open(folder(data.path()).join(".lock")).unwrap();
    assert!(lock.try_lock().is_err(), "an open folder is locked");
    drop(broker);
    lock.lock().unwrap();
    let error = kept("file", "", data.path()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("is locked by another process"), "{error}");
    drop(lock);
    open(data.path()).await;
}
