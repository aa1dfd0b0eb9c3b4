//! Lists of keys, page by page.

use super::{PLAIN, Stage, keys, put, text};
use crate::{Cursor, ListOptions, Store};
use base::offer::List;
use base::promise::{Broken, Kept, Promise, equal, holds, refused};
use base::{Error, Kind};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    an_empty_store_lists_nothing,
    every_key_is_listed_once,
    pages_keep_to_the_limit,
    a_prefix_is_taken_literally,
    a_range_has_either_end,
    keys_come_in_order_where_offered,
    a_cursor_survives_writes,
    keys_that_stay_are_listed_while_others_write,
    foreign_cursors_do_no_harm,
];

/// The store, if it lists; else the listing has to fail.
async fn listing(stage: &Stage) -> Result<Option<Arc<dyn Store>>, Broken> {
    let store = stage.open().await?;
    if store.offer().levels.list > List::None {
        return Ok(Some(store));
    }
    refused(store.list(&ListOptions::default()).await, Kind::Unsupported)?;
    Ok(None)
}

async fn fill(store: &dyn Store, keys: impl IntoIterator<Item = String>) -> Result<(), Error> {
    let entries = keys.into_iter().map(|key| (key, text("value"))).collect();
    store.set_many(entries, &PLAIN).await
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_unstable();
    keys
}

fn limited(limit: usize) -> ListOptions {
    ListOptions { limit, ..ListOptions::default() }
}

async fn an_empty_store_lists_nothing(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    equal(keys(&*store, ListOptions::default()).await?, Vec::<String>::new())?;
    put(&*store, "key", "value").await?;
    store.delete("key", &PLAIN).await?;
    equal(keys(&*store, ListOptions::default()).await?, Vec::<String>::new())
}

async fn every_key_is_listed_once(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    let names: Vec<String> = (0..2500).map(|key| format!("key {key:04}")).collect();
    fill(&*store, names.clone()).await?;
    equal(sorted(keys(&*store, ListOptions::default()).await?), names.clone())?;
    equal(sorted(keys(&*store, limited(7)).await?), names)
}

async fn pages_keep_to_the_limit(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    fill(&*store, (0..10).map(|key| key.to_string())).await?;
    for limit in [1, 3, 10, 1_000_000] {
        let mut options = limited(limit);
        let mut all = BTreeSet::new();
        loop {
            let page = store.list(&options).await?;
            holds(page.keys.len() <= limit, "a page is not longer than asked")?;
            all.extend(page.keys);
            options.after = page.next;
            if options.after.is_none() {
                break;
            }
        }
        equal(all.len(), 10)?;
    }
    refused(store.list(&limited(0)).await, Kind::Invalid).map(drop)
}

async fn a_prefix_is_taken_literally(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    let names =
        ["a", "a*", "a*b", "a.", "a.b", "a/b", "ab", "a%", "a%b", "a_", "b", "ä", "aä", "A"];
    fill(&*store, names.map(str::to_owned)).await?;
    for prefix in ["", "a", "a*", "a.", "a/", "a%", "a_", "ä", "aä", "c", "?", "[a-b]", "a.b.c"] {
        let wanted: Vec<_> = names.iter().filter(|key| key.starts_with(prefix)).collect();
        let found = sorted(keys(&*store, ListOptions::prefix(prefix)).await?);
        equal(found, sorted(wanted.into_iter().map(|key| (*key).to_owned()).collect()))?;
    }
    Ok(())
}

async fn a_range_has_either_end(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    let names = ["a", "b", "ba", "bb", "c", "é"];
    fill(&*store, names.map(str::to_owned)).await?;
    let ends =
        [None, Some(""), Some("a"), Some("b"), Some("bb"), Some("bz"), Some("é"), Some("😀")];
    for start in ends {
        for end in ends {
            for prefix in ["", "b"] {
                let options = ListOptions {
                    prefix: prefix.to_owned(),
                    start: start.map(str::to_owned),
                    end: end.map(str::to_owned),
                    ..limited(2)
                };
                let asked = |key: &&str| {
                    key.starts_with(prefix)
                        && start.is_none_or(|start| *key >= start)
                        && end.is_none_or(|end| *key < end)
                };
                let wanted: Vec<String> =
                    names.into_iter().filter(asked).map(str::to_owned).collect();
                equal(sorted(keys(&*store, options).await?), wanted)?;
            }
        }
    }
    Ok(())
}

async fn keys_come_in_order_where_offered(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    if store.offer().levels.list < List::Ordered {
        return Ok(());
    }
    let names = ["b", "a", "é", "Z", "aa", "10", "9", "\u{1}", "😀", "\u{ffff}", "a b", "a\0"];
    fill(&*store, names.map(str::to_owned)).await?;
    let wanted = sorted(names.map(str::to_owned).to_vec());
    equal(keys(&*store, limited(3)).await?, wanted.clone())?;
    equal(keys(&*store, ListOptions::default()).await?, wanted)
}

async fn a_cursor_survives_writes(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    fill(&*store, (0..20).map(|key| format!("{key:02}"))).await?;
    let first = store.list(&limited(5)).await?;
    // The key where the page ended is deleted, and keys come and go on either side.
    store.delete_many(&first.keys, &PLAIN).await?;
    fill(&*store, (0..20).map(|key| format!("{key:02} new"))).await?;
    let mut options = limited(5);
    options.after = first.next;
    let rest = keys(&*store, options).await?;
    let unique: BTreeSet<_> = rest.iter().chain(&first.keys).collect();
    equal(unique.len(), rest.len() + first.keys.len())?;
    for key in (0..20).map(|key| format!("{key:02}")) {
        holds(unique.contains(&key), "every key that was there all the time is listed")?;
    }
    Ok(())
}

async fn keys_that_stay_are_listed_while_others_write(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    let staying: Vec<String> = (0..300).map(|key| format!("{key:03} stays")).collect();
    fill(&*store, staying.clone()).await?;
    let writer = async {
        for round in 0..150 {
            let key = format!("{:03} moves", (round * 37) % 300);
            put(&*store, &key, "value").await?;
            let other = format!("{:03} moves", (round * 91) % 300);
            store.delete(&other, &PLAIN).await?;
            tokio::task::yield_now().await;
        }
        Ok::<(), Error>(())
    };
    let reader = async {
        for _ in 0..5 {
            let found = keys(&*store, limited(17)).await?;
            let unique: BTreeSet<&String> = found.iter().collect();
            equal(unique.len(), found.len())?;
            holds(staying.iter().all(|key| unique.contains(key)), "what stays is listed")?;
        }
        Kept::Ok(())
    };
    let (wrote, read) = futures::join!(writer, reader);
    wrote?;
    read
}

async fn foreign_cursors_do_no_harm(stage: Stage) -> Kept {
    let Some(store) = listing(&stage).await? else { return Ok(()) };
    fill(&*store, ["a", "b"].map(str::to_owned)).await?;
    let long = "x".repeat(100_000);
    for cursor in
        ["", "0", "-1", "a", "\0", "\u{10ffff}", "{\"x\":1}", "18446744073709551616", &long]
    {
        let after = Some(Cursor(cursor.to_owned()));
        match store.list(&ListOptions { after, ..ListOptions::default() }).await {
            Ok(page) => {
                let known = |key: &String| key == "a" || key == "b";
                holds(page.keys.iter().all(known), "only keys of the store are listed")?;
            }
            Err(error) => equal(error.kind(), Kind::Invalid)?,
        }
    }
    Ok(())
}
