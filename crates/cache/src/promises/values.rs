//! What was stored is found, and nothing else.

use super::{Stage, keeping, put, some, text};
use crate::{Cache, Reach};
use base::promise::{Broken, Kept, Promise, equal, holds};
use bytes::Bytes;
use futures::future::join_all;
use std::sync::Arc;

pub(super) const PROMISES: &[Promise<dyn Cache>] = base::promises![
    a_key_that_nobody_stored_is_a_miss,
    what_was_stored_is_found,
    the_last_value_stays,
    what_was_deleted_is_a_miss,
    deleting_twice_is_fine,
    empty_values_are_values,
    every_byte_comes_back,
    keys_are_told_apart_to_the_byte,
    what_one_handle_stores_another_finds,
    bindings_never_meet,
    no_value_comes_out_of_thin_air,
];

async fn a_key_that_nobody_stored_is_a_miss(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    equal(cache.get("absent").await?, None::<Bytes>)?;
    equal(cache.expiring("absent").await?, None)?;
    holds(!cache.exists("absent").await?, "what nobody stored does not exist")
}

async fn what_was_stored_is_found(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    put(&*cache, "key", "value").await?;
    equal(cache.get("key").await?, some("value"))?;
    holds(cache.exists("key").await?, "what was stored exists")?;
    let found = cache.expiring("key").await?;
    equal(found.map(|found| found.value), some("value"))
}

async fn the_last_value_stays(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    for value in ["one", "two, which is longer", "3"] {
        put(&*cache, "key", value).await?;
        equal(cache.get("key").await?, some(value))?;
    }
    Ok(())
}

async fn what_was_deleted_is_a_miss(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    put(&*cache, "key", "value").await?;
    put(&*cache, "other", "stays").await?;
    cache.delete("key").await?;
    equal(cache.get("key").await?, None::<Bytes>)?;
    holds(!cache.exists("key").await?, "what was deleted does not exist")?;
    equal(cache.get("other").await?, some("stays"))?;
    put(&*cache, "key", "again").await?;
    equal(cache.get("key").await?, some("again"))
}

async fn deleting_twice_is_fine(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    put(&*cache, "key", "value").await?;
    cache.delete("key").await?;
    cache.delete("key").await?;
    cache.delete("never stored").await?;
    equal(cache.get("key").await?, None::<Bytes>)
}

async fn empty_values_are_values(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    cache.set("key", Bytes::new(), None).await?;
    equal(cache.get("key").await?, some(""))?;
    holds(cache.exists("key").await?, "an empty value exists")
}

async fn every_byte_comes_back(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    let value: Bytes = (0..=u8::MAX).chain((0..=u8::MAX).rev()).chain(*b"\r\nEND\r\n").collect();
    cache.set("bytes", value.clone(), None).await?;
    equal(cache.get("bytes").await?, Some(value))
}

async fn keys_are_told_apart_to_the_byte(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    let long = |last: char| format!("{}{last}", "long ".repeat(60));
    let (one, other) = (long('a'), long('b'));
    let keys = [
        "a",
        "A",
        " a",
        "a ",
        "a b",
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
        "a\r\nb",
        "\u{7f}",
        "\u{e9}",
        "e\u{301}",
        "ключ",
        "鍵",
        "🔑",
        "..",
        "k.a",
        "h.a",
        "null",
        "\u{10ffff}",
        &one,
        &other,
    ];
    for key in keys {
        put(&*cache, key, &format!("of {key}")).await?;
    }
    for key in keys {
        equal(cache.get(key).await?, some(&format!("of {key}")))?;
    }
    for key in keys {
        cache.delete(key).await?;
        equal(cache.get(key).await?, None::<Bytes>)?;
    }
    Ok(())
}

async fn what_one_handle_stores_another_finds(stage: Stage) -> Kept {
    let Some(one) = keeping(&stage).await? else { return Ok(()) };
    let other = match one.offer().levels.reach {
        Reach::Hosts => stage.open().await?,
        // Whoever opens it again begins anew; components are given the same.
        Reach::Host | Reach::None => Arc::clone(&one),
    };
    put(&*one, "key", "value").await?;
    equal(other.get("key").await?, some("value"))?;
    put(&*one, "other", "value").await?;
    holds(other.exists("other").await?, "what another stored exists")
}

async fn bindings_never_meet(stage: Stage) -> Kept {
    let Some(_) = keeping(&stage).await? else { return Ok(()) };
    let names = ["one", "One/../one", "one:two", "one%3Atwo"];
    let keys = ["key", "two:key", ":key", "key"];
    let mut caches = Vec::new();
    for name in names {
        let cache = stage.open_named(name).await?;
        for key in keys {
            equal(cache.get(key).await?, None::<Bytes>)?;
        }
        caches.push(cache);
    }
    for (name, cache) in names.iter().zip(&caches) {
        for key in keys {
            put(&**cache, key, &format!("of {name}")).await?;
        }
    }
    for (name, cache) in names.iter().zip(&caches) {
        for key in keys {
            equal(cache.get(key).await?, some(&format!("of {name}")))?;
        }
    }
    Ok(())
}

async fn no_value_comes_out_of_thin_air(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    // Each value says of which key it is, and what it is throughout.
    let value = |key: usize, number: usize| text(format!("{key}={number};").repeat(200));
    let workers = (0..8).map(|worker| {
        let cache = Arc::clone(&cache);
        async move {
            for round in 0..40 {
                let key = (worker + round) % 4;
                let name = format!("key {key}");
                match (worker + round) % 3 {
                    0 => cache.set(&name, value(key, worker * 1000 + round), None).await?,
                    1 if round % 7 == 0 => cache.delete(&name).await?,
                    _ => {
                        let Some(found) = cache.get(&name).await? else { continue };
                        let found = String::from_utf8_lossy(&found).into_owned();
                        let first = found.split(';').next().unwrap_or_default();
                        holds(first.starts_with(&format!("{key}=")), "the value is of that key")?;
                        equal(found.clone(), format!("{first};").repeat(200))?;
                    }
                }
            }
            Ok::<(), Broken>(())
        }
    });
    join_all(workers).await.into_iter().collect()
}
