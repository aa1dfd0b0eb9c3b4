//! Many keys in one call.

use super::{ALL, PLAIN, Stage, keys, put, some, text};
use crate::{Expect, ListOptions, Store, WriteOptions};
use base::Kind;
use base::offer::{Atomicity, List};
use base::promise::{Kept, Promise, equal, holds, refused};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    get_many_answers_in_order,
    get_many_takes_no_more_than_there_is_room_for,
    set_many_writes_every_key,
    of_a_key_that_comes_twice_the_last_wins,
    delete_many_deletes_what_is_there,
    empty_batches_are_fine,
    batches_take_no_expectation,
    a_batch_with_a_wrong_key_writes_nothing,
    a_batch_is_seen_whole_where_offered,
];

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn entries(entries: &[(&str, &str)]) -> Vec<(String, Bytes)> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), text(*value))).collect()
}

async fn get_many_answers_in_order(stage: Stage) -> Kept {
    let store = stage.open().await?;
    put(&*store, "a", "1").await?;
    put(&*store, "b", "2").await?;
    let asked = names(&["b", "absent", "a", "b"]);
    let wanted = vec![some("2"), None, some("1"), some("2")];
    equal(store.get_many(&asked, ALL).await?, wanted)
}

async fn get_many_takes_no_more_than_there_is_room_for(stage: Stage) -> Kept {
    let store = stage.open().await?;
    store.set_many(entries(&[("a", "12345"), ("b", "1234567"), ("c", "")]), &PLAIN).await?;
    let asked = names(&["a", "absent", "b", "c"]);
    let wanted = vec![some("12345"), None, some("1234567"), some("")];
    equal(store.get_many(&asked, 12).await?, wanted)?;
    refused(store.get_many(&asked, 11).await, Kind::TooLarge)?;
    refused(store.get_many(&names(&["b", "b"]), 13).await, Kind::TooLarge)?;
    equal(store.get_many(&names(&["c", "absent"]), 0).await?, vec![some(""), None])
}

async fn set_many_writes_every_key(stage: Stage) -> Kept {
    let store = stage.open().await?;
    put(&*store, "b", "before").await?;
    store.set_many(entries(&[("a", "1"), ("b", ""), ("c", "3")]), &PLAIN).await?;
    let wanted = vec![some("1"), some(""), some("3")];
    equal(store.get_many(&names(&["a", "b", "c"]), ALL).await?, wanted)
}

async fn of_a_key_that_comes_twice_the_last_wins(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let batch = [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("a", "3")];
    store.set_many(entries(&batch), &PLAIN).await?;
    equal(store.get_many(&names(&["a", "b"]), ALL).await?, vec![some("3"), some("2")])
}

async fn delete_many_deletes_what_is_there(stage: Stage) -> Kept {
    let store = stage.open().await?;
    store.set_many(entries(&[("a", "1"), ("b", "2"), ("c", "3")]), &PLAIN).await?;
    store.delete_many(&names(&["a", "absent", "c", "a"]), &PLAIN).await?;
    let wanted = vec![None, some("2"), None];
    equal(store.get_many(&names(&["a", "b", "c"]), ALL).await?, wanted)
}

async fn empty_batches_are_fine(stage: Stage) -> Kept {
    let store = stage.open().await?;
    store.set_many(Vec::new(), &PLAIN).await?;
    store.delete_many(&[], &PLAIN).await?;
    equal(store.get_many(&[], ALL).await?, Vec::<Option<Bytes>>::new())
}

async fn batches_take_no_expectation(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let options = WriteOptions::expecting(Expect::Absent);
    refused(store.set_many(entries(&[("a", "1")]), &options).await, Kind::Invalid)?;
    refused(store.delete_many(&names(&["a"]), &options).await, Kind::Invalid)?;
    equal(store.get("a").await?, None::<Bytes>)
}

async fn a_batch_with_a_wrong_key_writes_nothing(stage: Stage) -> Kept {
    let store = stage.open().await?;
    put(&*store, "b", "before").await?;
    let wrong = entries(&[("a", "1"), ("", "2"), ("b", "3")]);
    refused(store.set_many(wrong, &PLAIN).await, Kind::Invalid)?;
    refused(store.delete_many(&names(&["b", ""]), &PLAIN).await, Kind::Invalid)?;
    refused(store.get_many(&names(&["b", ""]), ALL).await, Kind::Invalid)?;
    equal(store.get_many(&names(&["a", "b"]), ALL).await?, vec![None, some("before")])?;
    if store.offer().levels.list > List::None {
        equal(keys(&*store, ListOptions::default()).await?, vec!["b"])?;
    }
    Ok(())
}

async fn a_batch_is_seen_whole_where_offered(stage: Stage) -> Kept {
    let store = stage.open().await?;
    if store.offer().levels.atomicity < Atomicity::Binding {
        return Ok(());
    }
    let keys: Arc<[String]> = (0..16).map(|key| format!("key {key}")).collect();
    let writer = |name: &'static str| {
        let (store, keys) = (Arc::clone(&store), Arc::clone(&keys));
        async move {
            for round in 0..50 {
                let value = text(format!("{name} {round}"));
                let batch = keys.iter().map(|key| (key.clone(), value.clone())).collect();
                store.set_many(batch, &PLAIN).await?;
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            Kept::Ok(())
        }
    };
    let reader = async {
        for _ in 0..200 {
            let values = store.get_many(&keys, ALL).await?;
            holds(values.iter().all(|value| Some(value) == values.first()), "no mixed batch")?;
            tokio::task::yield_now().await;
        }
        Kept::Ok(())
    };
    let (one, other, read) = futures::join!(writer("one"), writer("other"), reader);
    one?;
    other?;
    read
}
