//! In which order messages come.

use super::{PLAIN, Stage, content, next, of_group, publish, text};
use crate::{Broker, Message, Subscription};
use base::Kind;
use base::offer::Ordering;
use base::promise::{Kept, Promise, equal, holds, refused};
use std::time::Duration;

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    the_messages_of_a_topic_come_in_their_order,
    messages_with_one_key_wait_for_each_other,
    messages_with_other_keys_do_not_wait,
    one_that_comes_again_keeps_its_keys_place,
];

async fn the_messages_of_a_topic_come_in_their_order(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.ordering < Ordering::Topic {
        return Ok(());
    }
    let subscription = Subscription { prefetch: 1, ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    for number in 0..100 {
        publish(&*broker, "a", &number.to_string()).await?;
    }
    for number in 0..100 {
        equal(text(&*subscriber).await?, number.to_string())?;
    }
    Ok(())
}

fn with_key(key: &str, text: &str) -> Message {
    Message { key: Some(key.to_owned()), ..Message::new(text.to_owned()) }
}

async fn messages_with_one_key_wait_for_each_other(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = Subscription { ordered: true, ..of_group("g", &["a"])? };
    if broker.offer().levels.ordering < Ordering::Key {
        return refused(broker.subscribe(&subscription).await.map(drop), Kind::Unsupported)
            .map(drop);
    }
    let one = broker.subscribe(&subscription).await?;
    for text in ["1", "2", "3"] {
        broker.publish("a", with_key("k", text), &PLAIN).await?;
    }
    for wanted in ["1", "2", "3"] {
        let delivery = next(&*one).await?;
        equal(content(&delivery), wanted)?;
        super::nothing(&*one).await?;
        delivery.ack().await?;
    }
    Ok(())
}

async fn messages_with_other_keys_do_not_wait(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.ordering < Ordering::Key {
        return Ok(());
    }
    let subscription = Subscription { ordered: true, ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    for (key, text) in [("k", "1"), ("k", "2"), ("l", "3")] {
        broker.publish("a", with_key(key, text), &PLAIN).await?;
    }
    publish(&*broker, "a", "no key").await?;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&*subscriber).await?);
    }
    let mut texts: Vec<_> = held.iter().map(content).collect();
    texts.sort();
    equal(texts, ["1", "3", "no key"])?;
    for delivery in held {
        delivery.ack().await?;
    }
    equal(text(&*subscriber).await?, "2")
}

async fn one_that_comes_again_keeps_its_keys_place(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.ordering < Ordering::Key {
        return Ok(());
    }
    let subscription = Subscription { ordered: true, ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    for text in ["1", "2"] {
        broker.publish("a", with_key("k", text), &PLAIN).await?;
    }
    for _ in 0..2 {
        let delivery = next(&*subscriber).await?;
        equal(content(&delivery), "1")?;
        delivery.nack(Duration::from_millis(50)).await?;
    }
    equal(text(&*subscriber).await?, "1")?;
    let second = next(&*subscriber).await?;
    holds(second.attempt == 1, "the second comes for the first time")?;
    equal(content(&second), "2")?;
    Ok(second.ack().await?)
}
