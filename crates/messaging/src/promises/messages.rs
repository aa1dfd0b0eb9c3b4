//! What is published arrives as it was.

use super::{PLAIN, Stage, next, of_group};
use crate::{Broker, Message};
use base::promise::{Kept, Promise, equal, holds};
use bytes::Bytes;

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    a_message_arrives_as_it_was,
    an_empty_message_is_a_message,
    every_byte_arrives,
    headers_arrive_in_their_order,
    a_message_says_when_it_was_published,
];

/// Publishes a message and holds it to arrive as it was.
async fn arrives(stage: Stage, message: Message) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a.b"])?).await?;
    broker.publish("a.b", message.clone(), &PLAIN).await?;
    let delivery = next(&*subscriber).await?;
    equal(&delivery.topic, "a.b")?;
    equal(&delivery.message, &message)?;
    equal(delivery.attempt, 1)?;
    Ok(delivery.ack().await?)
}

async fn a_message_arrives_as_it_was(stage: Stage) -> Kept {
    let message = Message {
        data: Bytes::from_static(b"{\"n\":1}"),
        content_type: Some("application/json; charset=utf-8".to_owned()),
        headers: vec![
            ("traceparent".to_owned(), "00-0af7651916cd43dd8448eb211c80319c-01".to_owned()),
            ("X-Name".to_owned(), "Zoë, \"quoted\" = 1: 2%3".to_owned()),
            ("empty".to_owned(), String::new()),
        ],
        key: Some("kunde 7".to_owned()),
        ..Message::default()
    };
    arrives(stage, message).await
}

async fn an_empty_message_is_a_message(stage: Stage) -> Kept {
    arrives(stage, Message::default()).await
}

async fn every_byte_arrives(stage: Stage) -> Kept {
    let data: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    arrives(stage, Message::new(data)).await
}

async fn headers_arrive_in_their_order(stage: Stage) -> Kept {
    let headers = [("b", "1"), ("a", "2"), ("b", "3"), ("B", "4"), ("é ü", "5")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    arrives(stage, Message { headers, ..Message::new("x") }).await
}

async fn a_message_says_when_it_was_published(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    super::publish(&*broker, "a", "1").await?;
    let delivery = next(&*subscriber).await?;
    if let Some(time) = delivery.time {
        let now = std::time::SystemTime::now();
        let apart = now.duration_since(time).or_else(|_| time.duration_since(now));
        let is_near = apart.is_ok_and(|apart| apart.as_secs() < 60);
        holds(is_near, "the time is that of the publication")?;
    }
    Ok(delivery.ack().await?)
}
