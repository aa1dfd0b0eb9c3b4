//! What happens to messages that were handed out.

use super::{Stage, next, nothing, of_group, publish, text};
use crate::{Broker, Subscription, is_late};
use base::offer::{Attempts, Redelivery};
use base::promise::{Broken, Kept, Promise, equal, holds};
use std::time::Duration;

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    what_is_acknowledged_does_not_come_again,
    what_is_given_back_comes_again,
    what_is_dropped_comes_again,
    what_a_subscriber_leaves_behind_comes_to_others,
    what_nobody_settles_comes_again_at_its_deadline,
    a_deadline_can_be_put_off,
    a_verdict_can_be_too_late,
    acknowledging_takes_no_order,
];

/// Holds if a message that was handed out `times` before says so, where that is counted.
fn counted(broker: &dyn Broker, attempt: u32, times: u32) -> Kept {
    match broker.offer().levels.attempts {
        Attempts::None => Ok(()),
        _ => equal(attempt, times),
    }
}

async fn what_is_acknowledged_does_not_come_again(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = Subscription { deadline: Duration::from_secs(1), ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "1").await?;
    equal(text(&*subscriber).await?, "1")?;
    drop(subscriber);
    let subscriber = broker.subscribe(&subscription).await?;
    nothing(&*subscriber).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    nothing(&*subscriber).await
}

async fn what_is_given_back_comes_again(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    publish(&*broker, "a", "1").await?;
    for attempt in 1..=4 {
        let delivery = next(&*subscriber).await?;
        equal(super::content(&delivery), "1")?;
        counted(&*broker, delivery.attempt, attempt)?;
        delivery.nack(Duration::ZERO).await?;
    }
    equal(text(&*subscriber).await?, "1")?;
    nothing(&*subscriber).await
}

async fn what_is_dropped_comes_again(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = Subscription { deadline: Duration::from_secs(2), ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "1").await?;
    drop(next(&*subscriber).await?);
    let delivery = next(&*subscriber).await?;
    counted(&*broker, delivery.attempt, 2)?;
    equal(super::content(&delivery), "1")?;
    delivery.ack().await?;
    nothing(&*subscriber).await
}

async fn what_a_subscriber_leaves_behind_comes_to_others(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = of_group("g", &["a"])?;
    let one = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "1").await?;
    publish(&*broker, "a", "2").await?;
    let (first, second) = (next(&*one).await?, next(&*one).await?);
    first.ack().await?;
    drop((one, second));
    let other = broker.subscribe(&subscription).await?;
    let mut left: Vec<String> = Vec::new();
    left.push(text(&*other).await?);
    equal(left.len(), 1)?;
    nothing(&*other).await
}

async fn what_nobody_settles_comes_again_at_its_deadline(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.redelivery < Redelivery::Deadline {
        return Ok(());
    }
    let subscription = Subscription { deadline: Duration::from_secs(1), ..of_group("g", &["a"])? };
    let one = broker.subscribe(&subscription).await?;
    let other = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "1").await?;
    let held = tokio::select! {
        held = next(&*one) => held?,
        held = next(&*other) => held?,
    };
    let again = tokio::select! {
        again = next(&*one) => again?,
        again = next(&*other) => again?,
    };
    equal(super::content(&again), "1")?;
    counted(&*broker, again.attempt, 2)?;
    again.ack().await?;
    drop(held);
    nothing(&*one).await?;
    nothing(&*other).await
}

async fn a_deadline_can_be_put_off(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.redelivery < Redelivery::Deadline {
        return Ok(());
    }
    let subscription = Subscription { deadline: Duration::from_secs(2), ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "1").await?;
    let held = next(&*subscriber).await?;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(900)).await;
        held.extend().await?;
    }
    nothing(&*subscriber).await?;
    held.ack().await?;
    nothing(&*subscriber).await
}

async fn a_verdict_can_be_too_late(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.redelivery < Redelivery::Deadline {
        return Ok(());
    }
    let subscription = Subscription { deadline: Duration::from_secs(1), ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "1").await?;
    let held = next(&*subscriber).await?;
    let again = next(&*subscriber).await?;
    // Where the broker cannot tell, the verdict counts for nothing.
    match held.ack().await {
        Ok(()) => {}
        Err(error) if is_late(&error) => {}
        Err(error) => return Err(Broken::new(format!("it is no error of lateness: {error:?}"))),
    }
    again.nack(Duration::ZERO).await?;
    let last = next(&*subscriber).await?;
    holds(super::content(&last) == "1", "only its last receiver settles a message")?;
    Ok(last.ack().await?)
}

async fn acknowledging_takes_no_order(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = of_group("g", &["a"])?;
    let subscriber = broker.subscribe(&subscription).await?;
    for text in ["1", "2", "3"] {
        publish(&*broker, "a", text).await?;
    }
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&*subscriber).await?);
    }
    held.sort_by_key(super::content);
    let mut held = held.into_iter();
    let (first, second, third) = (held.next(), held.next(), held.next());
    for delivery in [third, first].into_iter().flatten() {
        delivery.ack().await?;
    }
    drop((subscriber, second));
    let subscriber = broker.subscribe(&subscription).await?;
    equal(text(&*subscriber).await?, "2")?;
    nothing(&*subscriber).await
}
