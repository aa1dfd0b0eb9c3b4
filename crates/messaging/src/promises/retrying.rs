//! Messages that are given back for a while.

use super::{Stage, next, nothing, of_group, publish, text};
use crate::{Broker, Subscription};
use base::offer::{Attempts, Delay, Ordering};
use base::promise::{Kept, Promise, equal, holds};
use std::time::{Duration, Instant};

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    giving_back_can_be_put_off,
    what_is_put_off_does_not_block_its_neighbours,
    attempts_are_counted_for_the_group,
];

async fn giving_back_can_be_put_off(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.retry == Delay::None {
        return Ok(());
    }
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    publish(&*broker, "a", "1").await?;
    let begun = Instant::now();
    next(&*subscriber).await?.nack(Duration::from_millis(1500)).await?;
    nothing(&*subscriber).await?;
    equal(text(&*subscriber).await?, "1")?;
    let waited = begun.elapsed();
    holds(waited >= Duration::from_millis(1490), "it came no sooner than it should")
}

async fn what_is_put_off_does_not_block_its_neighbours(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.retry == Delay::None {
        return Ok(());
    }
    let subscription = Subscription { prefetch: 1, ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "poison").await?;
    next(&*subscriber).await?.nack(Duration::from_secs(2)).await?;
    for number in 0..20 {
        publish(&*broker, "a", &number.to_string()).await?;
    }
    let mut neighbours = Vec::new();
    for _ in 0..20 {
        neighbours.push(text(&*subscriber).await?);
    }
    let mut wanted: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    if broker.offer().levels.ordering == Ordering::None {
        neighbours.sort();
        wanted.sort();
    }
    equal(neighbours, wanted)?;
    equal(text(&*subscriber).await?, "poison")
}

async fn attempts_are_counted_for_the_group(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.attempts < Attempts::Group {
        return Ok(());
    }
    let subscription = of_group("g", &["a"])?;
    for group in ["g", "h"] {
        drop(broker.subscribe(&of_group(group, &["a"])?).await?);
    }
    publish(&*broker, "a", "1").await?;
    for attempt in 1..=3 {
        let subscriber = broker.subscribe(&subscription).await?;
        let delivery = next(&*subscriber).await?;
        equal(delivery.attempt, attempt)?;
        delivery.nack(Duration::ZERO).await?;
        subscriber.close().await;
    }
    let other = broker.subscribe(&of_group("h", &["a"])?).await?;
    let delivery = next(&*other).await?;
    equal(delivery.attempt, 1)?;
    Ok(delivery.ack().await?)
}
