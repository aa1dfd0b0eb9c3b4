//! Groups share messages, and go on while nobody is there.

use super::{Stage, alone, next, nothing, of_group, publish, text, texts};
use crate::{Broker, Subscription};
use base::Kind;
use base::offer::Groups;
use base::promise::{Kept, Promise, equal, holds, refused};
use std::collections::BTreeSet;

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    groups_are_offered_or_refused,
    a_group_shares_its_messages,
    groups_have_nothing_to_do_with_each_other,
    a_group_goes_on_while_nobody_is_there,
    what_was_published_before_a_group_is_not_for_it,
    a_group_that_is_forgotten_begins_anew,
    without_a_group_everybody_gets_everything,
    a_closed_subscriber_gets_no_more,
    a_subscriber_takes_no_more_than_it_may_hold,
    a_group_takes_new_topics,
];

async fn groups_are_offered_or_refused(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscribed = broker.subscribe(&of_group("g", &["a"])?).await;
    match broker.offer().levels.groups {
        Groups::None => refused(subscribed.map(drop), Kind::Unsupported).map(drop),
        Groups::Host | Groups::Shared => Ok(subscribed.map(drop)?),
    }
}

async fn a_group_shares_its_messages(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = Subscription { prefetch: 2, ..of_group("g", &["a"])? };
    let one = broker.subscribe(&subscription).await?;
    let other = broker.subscribe(&subscription).await?;
    for text in ["1", "2", "3", "4"] {
        publish(&*broker, "a", text).await?;
    }
    // Neither may hold more than two, so each has to get two.
    let mut held = Vec::new();
    for subscriber in [&one, &one, &other, &other] {
        held.push(next(&**subscriber).await?);
    }
    let texts: BTreeSet<String> = held.iter().map(super::content).collect();
    equal(texts.len(), 4)?;
    for delivery in held {
        delivery.ack().await?;
    }
    nothing(&*one).await?;
    nothing(&*other).await
}

async fn groups_have_nothing_to_do_with_each_other(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let one = broker.subscribe(&of_group("one", &["a"])?).await?;
    let other = broker.subscribe(&of_group("other", &["a"])?).await?;
    publish(&*broker, "a", "1").await?;
    equal(text(&*one).await?, "1")?;
    equal(text(&*other).await?, "1")?;
    nothing(&*one).await
}

async fn a_group_goes_on_while_nobody_is_there(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    drop(broker.subscribe(&of_group("g", &["a"])?).await?);
    publish(&*broker, "a", "1").await?;
    publish(&*broker, "b", "2").await?;
    publish(&*broker, "a", "3").await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    equal(texts(&*subscriber, 2).await?, ["1", "3"])?;
    nothing(&*subscriber).await
}

async fn what_was_published_before_a_group_is_not_for_it(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    publish(&*broker, "a", "1").await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    publish(&*broker, "a", "2").await?;
    equal(text(&*subscriber).await?, "2")?;
    nothing(&*subscriber).await
}

async fn a_group_that_is_forgotten_begins_anew(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    drop(broker.subscribe(&of_group("g", &["a"])?).await?);
    publish(&*broker, "a", "1").await?;
    broker.forget("g").await?;
    broker.forget("g").await?;
    broker.forget("never there").await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    nothing(&*subscriber).await?;
    publish(&*broker, "a", "2").await?;
    equal(text(&*subscriber).await?, "2")
}

async fn without_a_group_everybody_gets_everything(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    publish(&*broker, "a", "before").await?;
    let one = broker.subscribe(&alone(&["a"])?).await?;
    let other = broker.subscribe(&alone(&["a"])?).await?;
    for text in ["1", "2", "3"] {
        publish(&*broker, "a", text).await?;
    }
    for subscriber in [&one, &other] {
        equal(texts(&**subscriber, 3).await?, ["1", "2", "3"])?;
        nothing(&**subscriber).await?;
    }
    Ok(())
}

async fn a_closed_subscriber_gets_no_more(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let one = broker.subscribe(&of_group("g", &["a"])?).await?;
    publish(&*broker, "a", "1").await?;
    let held = next(&*one).await?;
    // One that waits is told.
    let (waited, ()) = futures::join!(one.next(), one.close());
    holds(waited?.is_none(), "a closed subscriber has no next message")?;
    holds(one.next().await?.is_none(), "and has none ever after")?;
    let other = broker.subscribe(&of_group("g", &["a"])?).await?;
    publish(&*broker, "a", "2").await?;
    equal(text(&*other).await?, "2")?;
    held.ack().await?;
    drop(one);
    nothing(&*other).await
}

async fn a_subscriber_takes_no_more_than_it_may_hold(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = Subscription { prefetch: 1, ..of_group("g", &["a"])? };
    let subscriber = broker.subscribe(&subscription).await?;
    publish(&*broker, "a", "1").await?;
    publish(&*broker, "a", "2").await?;
    let first = next(&*subscriber).await?;
    nothing(&*subscriber).await?;
    first.ack().await?;
    equal(text(&*subscriber).await?, "2")
}

async fn a_group_takes_new_topics(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    drop(broker.subscribe(&of_group("g", &["a"])?).await?);
    let subscriber = broker.subscribe(&of_group("g", &["b"])?).await?;
    publish(&*broker, "a", "1").await?;
    publish(&*broker, "b", "2").await?;
    equal(text(&*subscriber).await?, "2")?;
    nothing(&*subscriber).await
}
