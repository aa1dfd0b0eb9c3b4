//! What misses is made once: by whoever has the vacancy, while the others wait.

use super::{Stage, keeping, put, some, text};
use crate::{Cache, Entry, Look, Vacancy, Waiting};
use base::Kind;
use base::promise::{Broken, Kept, Promise, equal, holds, refused};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

pub(super) const PROMISES: &[Promise<dyn Cache>] = base::promises![
    a_miss_is_a_vacancy_and_filling_it_stores,
    what_is_there_is_no_vacancy,
    a_vacancy_is_given_to_one_at_a_time,
    a_hundred_at_once_make_it_once,
    those_who_wait_get_what_was_made,
    a_dropped_vacancy_goes_to_the_next,
    whoever_gives_up_waiting_holds_up_nobody,
    a_vacancy_that_was_refused_goes_to_the_next,
    keys_have_vacancies_of_their_own,
    a_plain_write_ends_the_wait,
    a_filled_vacancy_lives_for_its_time,
];

async fn vacant(cache: &dyn Cache, key: &str) -> Result<Vacancy, Broken> {
    match cache.get_or_set(key).await? {
        Entry::Vacant(vacancy) => Ok(vacancy),
        Entry::Occupied(value) => Err(Broken::new(format!("found {value:?}, wanted a vacancy"))),
    }
}

async fn busy(cache: &dyn Cache, key: &str) -> Result<Waiting, Broken> {
    match cache.look(key).await? {
        Look::Busy(waiting) => Ok(waiting),
        other => Err(Broken::new(format!("found {other:?}, wanted to wait"))),
    }
}

/// How the wait ends, which it has to do soon.
async fn ended(waiting: Waiting) -> Result<Option<Entry>, Broken> {
    let ended = tokio::time::timeout(Duration::from_secs(10), waiting.end());
    ended.await.map_err(|_elapsed| Broken::new("the wait did not end within 10 s"))
}

async fn value(waiting: Waiting) -> Result<Bytes, Broken> {
    match ended(waiting).await? {
        Some(Entry::Occupied(value)) => Ok(value),
        other => Err(Broken::new(format!("found {other:?}, wanted a value"))),
    }
}

async fn turn(waiting: Waiting) -> Result<Vacancy, Broken> {
    match ended(waiting).await? {
        Some(Entry::Vacant(vacancy)) => Ok(vacancy),
        other => Err(Broken::new(format!("found {other:?}, wanted the vacancy"))),
    }
}

async fn a_miss_is_a_vacancy_and_filling_it_stores(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let vacancy = vacant(&*cache, "key").await?;
    equal(vacancy.key(), "key")?;
    equal(cache.get("key").await?, None::<Bytes>)?;
    vacancy.fill(text("value"), None).await?;
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    // A cache of this host alone was opened anew for this.
    vacant(&*cache, "other").await?.fill(text("value"), None).await?;
    equal(cache.get("other").await?, some("value"))
}

async fn what_is_there_is_no_vacancy(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    put(&*cache, "key", "").await?;
    for _ in 0..3 {
        match cache.get_or_set("key").await? {
            Entry::Occupied(value) => equal(value, text(""))?,
            Entry::Vacant(_) => return Err(Broken::new("an empty value is a value")),
        }
    }
    Ok(())
}

async fn a_vacancy_is_given_to_one_at_a_time(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let vacancy = vacant(&*cache, "key").await?;
    let mut waiting = Box::pin(busy(&*cache, "key").await?.end());
    tokio::time::sleep(Duration::from_millis(50)).await;
    holds((&mut waiting).now_or_never().is_none(), "there is one vacancy at a time")?;
    drop(vacancy);
    let next = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    holds(matches!(next, Ok(Some(Entry::Vacant(_)))), "then it goes to the next")
}

async fn a_hundred_at_once_make_it_once(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    for round in 0..3 {
        let (key, made) = (format!("key {round}"), AtomicUsize::new(0));
        let callers = (0..100).map(async |_| {
            let value = match cache.get_or_set(&key).await? {
                Entry::Occupied(value) => value,
                Entry::Vacant(vacancy) => {
                    // Long enough for all the others to have asked.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    let value = text(format!("made {}", made.fetch_add(1, SeqCst)));
                    vacancy.fill(value.clone(), None).await?;
                    value
                }
            };
            equal(value, text("made 0"))
        });
        join_all(callers).await.into_iter().collect::<Kept>()?;
        equal(made.load(SeqCst), 1)?;
    }
    Ok(())
}

async fn those_who_wait_get_what_was_made(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let vacancy = vacant(&*cache, "key").await?;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(busy(&*cache, "key").await?);
    }
    vacancy.fill(text("made"), None).await?;
    for waiting in waiting {
        equal(value(waiting).await?, text("made"))?;
    }
    Ok(())
}

async fn a_dropped_vacancy_goes_to_the_next(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let first = vacant(&*cache, "key").await?;
    let (second, third) = (busy(&*cache, "key").await?, busy(&*cache, "key").await?);
    drop(first);
    let second = turn(second).await?;
    let mut third = Box::pin(third.end());
    holds((&mut third).now_or_never().is_none(), "the third waits for the second")?;
    second.fill(text("made by the second"), None).await?;
    match tokio::time::timeout(Duration::from_secs(10), third).await {
        Ok(Some(Entry::Occupied(value))) => equal(value, text("made by the second")),
        other => Err(Broken::new(format!("found {other:?}, wanted the value"))),
    }
}

async fn whoever_gives_up_waiting_holds_up_nobody(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let first = vacant(&*cache, "key").await?;
    let (second, third) = (busy(&*cache, "key").await?, busy(&*cache, "key").await?);
    let mut second = Box::pin(second.end());
    holds((&mut second).now_or_never().is_none(), "the second waits")?;
    drop(second);
    drop(first);
    let third = turn(third).await?;
    // One to whom it was given and who never looked gives it on, too.
    let (fourth, fifth) = (busy(&*cache, "key").await?, busy(&*cache, "key").await?);
    drop(third);
    drop(fourth);
    drop(turn(fifth).await?);
    drop(vacant(&*cache, "key").await?);
    Ok(())
}

async fn a_vacancy_that_was_refused_goes_to_the_next(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let first = vacant(&*cache, "key").await?;
    let second = busy(&*cache, "key").await?;
    refused(first.fill(text("value"), Some(Duration::ZERO)).await, Kind::Invalid)?;
    turn(second).await?.fill(text("value"), None).await?;
    Ok(())
}

async fn keys_have_vacancies_of_their_own(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let mut vacancies = Vec::new();
    for number in 0..50 {
        vacancies.push(vacant(&*cache, &format!("key {number}")).await?);
    }
    for vacancy in vacancies {
        let value = text(vacancy.key());
        vacancy.fill(value, None).await?;
    }
    Ok(())
}

async fn a_plain_write_ends_the_wait(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    let vacancy = vacant(&*cache, "key").await?;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let cache = Arc::clone(&cache);
            async move { cache.get_or_set("key").await }
        })
        .collect();
    let write = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        put(&*cache, "key", "written").await
    };
    let (waited, written) = futures::join!(join_all(waiting), write);
    written?;
    for found in waited {
        match found? {
            Entry::Occupied(value) => equal(value, text("written"))?,
            Entry::Vacant(_) => return Err(Broken::new("the key has a value")),
        }
    }
    vacancy.fill(text("filled"), None).await?;
    equal(cache.get("key").await?, some("filled"))
}

async fn a_filled_vacancy_lives_for_its_time(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let ttl = Duration::from_millis(200);
    vacant(&*cache, "key").await?.fill(text("value"), Some(ttl)).await?;
    tokio::time::sleep(ttl + Duration::from_millis(5)).await;
    equal(cache.get("key").await?, None::<Bytes>)?;
    drop(vacant(&*cache, "key").await?);
    Ok(())
}
