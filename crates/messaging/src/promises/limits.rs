//! What cannot be, and what is at the edge of it.

use super::{PLAIN, Stage, alone, next, of_group};
use crate::{Broker, Message, Subscription};
use base::Kind;
use base::promise::{Kept, Promise, equal, refused};
use std::time::Duration;

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    a_message_may_be_as_large_as_is_offered,
    a_larger_message_is_refused,
    what_is_no_topic_is_refused,
    what_is_no_header_is_refused,
    a_subscription_to_nothing_is_refused,
];

async fn a_message_may_be_as_large_as_is_offered(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let most = broker.offer().max_message;
    let data: Vec<u8> = (0..=250).cycle().take(most).collect();
    broker.publish("a", Message::new(data.clone()), &PLAIN).await?;
    let delivery = next(&*subscriber).await?;
    base::promise::holds(delivery.message.data == data, "the content is as it was")?;
    Ok(delivery.ack().await?)
}

async fn a_larger_message_is_refused(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let most = broker.offer().max_message;
    let large = broker.publish("a", Message::new(vec![0; most + 1]), &PLAIN).await;
    refused(large, Kind::TooLarge)?;
    let headers = vec![("a".to_owned(), "b".to_owned())];
    let large = Message { headers, ..Message::new(vec![0; most - 1]) };
    refused(broker.publish("a", large, &PLAIN).await, Kind::TooLarge)?;
    equal(super::publish(&*broker, "a", "1").await?.duplicate, false)
}

async fn what_is_no_topic_is_refused(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let long = "w".repeat(crate::MAX_TOPIC + 1);
    for topic in ["", ".", "a..b", ".a", "a.", "a b", "a\r\nb", "a\0", "*", "a.>", "a*", &long] {
        refused(super::publish(&*broker, topic, "1").await, Kind::Invalid)?;
    }
    Ok(())
}

async fn what_is_no_header_is_refused(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    for (name, value) in [("", "x"), ("a\nb", "x"), ("a", "x\r\nb: c"), ("a", "\0")] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let message = Message { headers, ..Message::new("1") };
        refused(broker.publish("a", message, &PLAIN).await, Kind::Invalid)?;
    }
    let headers = vec![("a".to_owned(), String::new()); 257];
    let message = Message { headers, ..Message::new("1") };
    refused(broker.publish("a", message, &PLAIN).await, Kind::TooLarge)?;
    let message = Message { key: Some(String::new()), ..Message::new("1") };
    refused(broker.publish("a", message, &PLAIN).await, Kind::Invalid)?;
    let message = Message { key: Some("k".repeat(256)), ..Message::new("1") };
    refused(broker.publish("a", message, &PLAIN).await, Kind::TooLarge).map(drop)
}

async fn a_subscription_to_nothing_is_refused(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let plain = alone(&["a"])?;
    let wrong = [
        Subscription { topics: Vec::new(), ..plain.clone() },
        Subscription { prefetch: 0, ..plain.clone() },
        Subscription { deadline: Duration::ZERO, ..plain.clone() },
        Subscription { group: Some(String::new()), ..plain.clone() },
        Subscription { group: Some("a\nb".to_owned()), ..plain.clone() },
    ];
    for subscription in wrong {
        refused(broker.subscribe(&subscription).await.map(drop), Kind::Invalid)?;
    }
    let topics = vec![plain.topics.clone(); Subscription::TOPICS + 1].concat();
    let subscription = Subscription { topics, ..plain };
    refused(broker.subscribe(&subscription).await.map(drop), Kind::TooLarge).map(drop)
}
