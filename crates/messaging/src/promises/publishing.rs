//! What becomes of publications.

use super::{PLAIN, Stage, content, next, nothing, of_group, publish, text, texts};
use crate::{Broker, Message, PublishOptions};
use base::Kind;
use base::offer::{Delay, Durability};
use base::promise::{Kept, Promise, equal, holds, refused};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    each_of_many_has_its_outcome,
    a_publication_can_be_put_off,
    what_is_put_off_holds_up_nobody,
    publishers_do_not_hinder_each_other,
    what_was_published_is_there_when_it_is_opened_again,
];

async fn each_of_many_has_its_outcome(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a", "b"])?).await?;
    let large = vec![0; broker.offer().max_message + 1];
    let messages = vec![
        ("a".to_owned(), Message::new("1")),
        ("a.*".to_owned(), Message::new("2")),
        ("b".to_owned(), Message::new("3")),
        ("b".to_owned(), Message::new(large)),
        ("a".to_owned(), Message::new("5")),
    ];
    let mut outcomes = broker.publish_many(messages, &PLAIN).await.into_iter();
    let mut outcome = || outcomes.next().unwrap_or(Err(base::Error::internal("no outcome")));
    outcome()?;
    refused(outcome(), Kind::Invalid)?;
    outcome()?;
    refused(outcome(), Kind::TooLarge)?;
    outcome()?;
    equal(texts(&*subscriber, 3).await?, ["1", "3", "5"])?;
    nothing(&*subscriber).await?;
    equal(broker.publish_many(Vec::new(), &PLAIN).await.len(), 0)
}

fn later(delay: u64) -> PublishOptions {
    PublishOptions { delay: Some(Duration::from_millis(delay)), ..PLAIN }
}

async fn a_publication_can_be_put_off(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let begun = Instant::now();
    let published = broker.publish("a", Message::new("1"), &later(1500)).await;
    if broker.offer().levels.delay == Delay::None {
        return refused(published, Kind::Unsupported).map(drop);
    }
    published?;
    let delivery = next(&*subscriber).await?;
    equal(delivery.attempt, 1)?;
    let waited = begun.elapsed();
    holds(waited >= Duration::from_millis(1490), "it came no sooner than it should")?;
    Ok(delivery.ack().await?)
}

async fn what_is_put_off_holds_up_nobody(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.delay == Delay::None {
        return Ok(());
    }
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    broker.publish("a", Message::new("late"), &later(2000)).await?;
    broker.publish("a", Message::new("soon"), &PLAIN).await?;
    equal(text(&*subscriber).await?, "soon")?;
    equal(text(&*subscriber).await?, "late")
}

async fn publishers_do_not_hinder_each_other(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let publisher = |publisher: usize| {
        let broker = Arc::clone(&broker);
        async move {
            for message in 0..25 {
                publish(&*broker, "a", &format!("{publisher} {message:02}")).await?;
            }
            Kept::Ok(())
        }
    };
    let publishers = futures::future::join_all((0..8).map(publisher));
    for outcome in publishers.await {
        outcome?;
    }
    let mut wanted: Vec<String> =
        (0..8).flat_map(|one| (0..25).map(move |other| format!("{one} {other:02}"))).collect();
    wanted.sort();
    equal(texts(&*subscriber, 200).await?, wanted)
}

async fn what_was_published_is_there_when_it_is_opened_again(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.durability == Durability::None {
        return Ok(());
    }
    drop(broker.subscribe(&of_group("g", &["a"])?).await?);
    publish(&*broker, "a", "1").await?;
    publish(&*broker, "a", "2").await?;
    drop(broker);
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let first = next(&*subscriber).await?;
    let text_of_first = content(&first);
    first.ack().await?;
    drop(subscriber);
    drop(broker);
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let second = text(&*subscriber).await?;
    let mut both = [text_of_first, second];
    both.sort();
    equal(both, ["1", "2"])?;
    nothing(&*subscriber).await
}
