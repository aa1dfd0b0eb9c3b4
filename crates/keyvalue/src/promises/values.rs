//! What was written is read.

use super::{ALL, PLAIN, Stage, put, some, text};
use crate::Store;
use base::offer::Durability;
use base::promise::{Kept, Promise, equal, holds};
use bytes::Bytes;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    absent_key_is_none,
    last_write_wins,
    deleted_key_is_absent,
    deleting_twice_is_fine,
    empty_values_are_values,
    every_byte_comes_back,
    keys_are_told_apart_to_the_byte,
    writes_are_seen_through_every_handle,
    bindings_never_meet,
    what_was_written_survives_reopening,
];

async fn absent_key_is_none(stage: Stage) -> Kept {
    let store = stage.open().await?;
    equal(store.get("absent").await?, None::<Bytes>)?;
    holds(!store.exists("absent").await?, "an absent key does not exist")?;
    equal(store.versioned("absent").await?.map(|found| found.value), None::<Bytes>)
}

async fn last_write_wins(stage: Stage) -> Kept {
    let store = stage.open().await?;
    for value in ["one", "two", "three"] {
        put(&*store, "key", value).await?;
        equal(store.get("key").await?, some(value))?;
    }
    holds(store.exists("key").await?, "a written key exists")
}

async fn deleted_key_is_absent(stage: Stage) -> Kept {
    let store = stage.open().await?;
    put(&*store, "key", "value").await?;
    put(&*store, "other", "stays").await?;
    store.delete("key", &PLAIN).await?;
    equal(store.get("key").await?, None::<Bytes>)?;
    holds(!store.exists("key").await?, "a deleted key does not exist")?;
    equal(store.get("other").await?, some("stays"))
}

async fn deleting_twice_is_fine(stage: Stage) -> Kept {
    let store = stage.open().await?;
    put(&*store, "key", "value").await?;
    store.delete("key", &PLAIN).await?;
    store.delete("key", &PLAIN).await?;
    store.delete("never written", &PLAIN).await?;
    equal(store.get("key").await?, None::<Bytes>)
}

async fn empty_values_are_values(stage: Stage) -> Kept {
    let store = stage.open().await?;
    store.set("key", Bytes::new(), &PLAIN).await?;
    equal(store.get("key").await?, some(""))?;
    holds(store.exists("key").await?, "a key with an empty value exists")?;
    equal(store.get_many(&["key".to_owned()], ALL).await?, vec![some("")])
}

async fn every_byte_comes_back(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let value: Bytes = (0..=u8::MAX).chain((0..=u8::MAX).rev()).collect();
    store.set("bytes", value.clone(), &PLAIN).await?;
    equal(store.get("bytes").await?, Some(value))
}

async fn keys_are_told_apart_to_the_byte(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let keys = [
        "a",
        "A",
        " a",
        "a ",
        "a/b",
        "a//b",
        "/",
        "a.b",
        "a:b",
        "a*",
        "a?",
        "[a]",
        "a%2fb",
        "{a}",
        "a\0b",
        "a\nb",
        "\u{e9}",
        "e\u{301}",
        "ключ",
        "鍵",
        "🔑",
        "..",
        "$x",
        "a>b",
        "null",
        "\u{10ffff}",
    ];
    for key in keys {
        put(&*store, key, &format!("of {key}")).await?;
    }
    for key in keys {
        equal(store.get(key).await?, some(&format!("of {key}")))?;
    }
    for key in keys {
        store.delete(key, &PLAIN).await?;
        equal(store.get(key).await?, None::<Bytes>)?;
    }
    Ok(())
}

async fn writes_are_seen_through_every_handle(stage: Stage) -> Kept {
    let (one, other) = (stage.open().await?, stage.open().await?);
    for round in 0..20 {
        let value = round.to_string();
        put(&*one, "key", &value).await?;
        equal(other.get("key").await?, some(&value))?;
        other.delete("key", &PLAIN).await?;
        equal(one.get("key").await?, None::<Bytes>)?;
    }
    Ok(())
}

async fn bindings_never_meet(stage: Stage) -> Kept {
    let (one, other) = (stage.open_named("one").await?, stage.open_named("One/../one").await?);
    put(&*one, "key", "of one").await?;
    equal(other.get("key").await?, None::<Bytes>)?;
    put(&*other, "key", "of the other").await?;
    one.delete("key", &PLAIN).await?;
    equal(other.get("key").await?, some("of the other"))
}

async fn what_was_written_survives_reopening(stage: Stage) -> Kept {
    let store = stage.open().await?;
    if store.offer().levels.durability == Durability::None {
        return Ok(());
    }
    let long = "long ".repeat(10_000);
    put(&*store, "short", "value").await?;
    put(&*store, "long", &long).await?;
    put(&*store, "gone", "value").await?;
    store.delete("gone", &PLAIN).await?;
    let before = store.versioned("short").await?;
    drop(store);
    let store = stage.open().await?;
    equal(store.versioned("short").await?, before)?;
    equal(store.get("long").await?, Some(text(long)))?;
    equal(store.get("gone").await?, None::<Bytes>)
}
