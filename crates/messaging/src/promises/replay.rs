//! What comes to those that come later.

use super::{Stage, alone, nothing, of_group, publish, text, texts};
use crate::{Broker, Position, Start, Subscription};
use base::Kind;
use base::offer::Replay;
use base::promise::{Broken, Kept, Promise, equal, refused};
use std::time::{Duration, SystemTime};

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    replay_is_offered_or_refused,
    a_group_can_begin_at_the_beginning,
    a_group_can_begin_after_a_position,
    a_group_can_begin_at_a_time,
    a_group_that_is_there_goes_on_where_it_was,
    who_is_alone_can_begin_at_the_beginning,
    a_position_of_others_is_refused,
];

fn from(start: Start, subscription: Subscription) -> Subscription {
    Subscription { start, ..subscription }
}

fn keeps(broker: &dyn Broker) -> bool {
    broker.offer().levels.replay > Replay::None
}

async fn replay_is_offered_or_refused(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = from(Start::Beginning, alone(&["a"])?);
    let subscribed = broker.subscribe(&subscription).await.map(drop);
    match keeps(&*broker) {
        true => Ok(subscribed?),
        false => refused(subscribed, Kind::Unsupported).map(drop),
    }
}

async fn a_group_can_begin_at_the_beginning(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !keeps(&*broker) {
        return Ok(());
    }
    for (topic, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
        publish(&*broker, topic, text).await?;
    }
    let subscription = from(Start::Beginning, of_group("g", &["a"])?);
    let subscriber = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "4").await?;
    equal(texts(&*subscriber, 3).await?, ["1", "3", "4"])?;
    nothing(&*subscriber).await
}

async fn a_group_can_begin_after_a_position(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !keeps(&*broker) {
        return Ok(());
    }
    publish(&*broker, "a", "1").await?;
    let published = publish(&*broker, "a", "2").await?;
    publish(&*broker, "a", "3").await?;
    let position = published.position.ok_or_else(|| Broken::new("a log gives positions"))?;
    let subscription = from(Start::After(position.clone()), of_group("g", &["a"])?);
    let subscriber = broker.subscribe(&subscription).await?;
    equal(text(&*subscriber).await?, "3")?;
    nothing(&*subscriber).await?;
    // That of a message that was handed out is as good.
    let all = broker.subscribe(&from(Start::Beginning, of_group("h", &["a"])?)).await?;
    let first = super::next(&*all).await?;
    let position = first.position.clone().ok_or_else(|| Broken::new("a log gives positions"))?;
    first.ack().await?;
    let again = from(Start::After(position), alone(&["a"])?);
    let again = broker.subscribe(&again).await?;
    equal(texts(&*again, 2).await?, ["2", "3"])
}

async fn a_group_can_begin_at_a_time(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !keeps(&*broker) {
        return Ok(());
    }
    publish(&*broker, "a", "1").await?;
    // The clocks of host and broker may differ a little.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let time = SystemTime::now();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    publish(&*broker, "a", "2").await?;
    let subscriber = broker.subscribe(&from(Start::Since(time), of_group("g", &["a"])?)).await?;
    equal(text(&*subscriber).await?, "2")?;
    nothing(&*subscriber).await
}

async fn a_group_that_is_there_goes_on_where_it_was(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !keeps(&*broker) {
        return Ok(());
    }
    let subscription = from(Start::Beginning, of_group("g", &["a"])?);
    let subscriber = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "1").await?;
    equal(text(&*subscriber).await?, "1")?;
    drop(subscriber);
    publish(&*broker, "a", "2").await?;
    let subscriber = broker.subscribe(&subscription).await?;
    equal(text(&*subscriber).await?, "2")?;
    nothing(&*subscriber).await
}

async fn who_is_alone_can_begin_at_the_beginning(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !keeps(&*broker) {
        return Ok(());
    }
    publish(&*broker, "a", "1").await?;
    for _ in 0..2 {
        let subscriber = broker.subscribe(&from(Start::Beginning, alone(&["a"])?)).await?;
        equal(text(&*subscriber).await?, "1")?;
        nothing(&*subscriber).await?;
    }
    Ok(())
}

async fn a_position_of_others_is_refused(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !keeps(&*broker) {
        return Ok(());
    }
    for text in ["", "x", "-1", "99999999999999999999", "1-2-3-x"] {
        let subscription = from(Start::After(Position(text.to_owned())), of_group("g", &["a"])?);
        refused(broker.subscribe(&subscription).await.map(drop), Kind::Invalid)?;
    }
    Ok(())
}
