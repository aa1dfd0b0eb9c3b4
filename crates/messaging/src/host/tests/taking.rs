//! Messages that are taken, settled, and given back.

use crate::backend::memory::Memory;
use crate::host::operations::Client;
use crate::host::taking::{Batch, Taking, Tokens};
use crate::{Broker, Filter, Message, PublishOptions, Subscription};
use base::units::Size;
use base::{Clock, Kind, Result};
use engine::{Calls, Held};
use std::sync::Arc;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;

fn broker() -> Arc<dyn Broker> {
    let day = Duration::from_secs(24 * 3600);
    let settings = Memory {
        url: "memory:".to_owned(),
        max_size: Size(64 << 20),
        max_age: day,
        forget_groups: day,
    };
    settings.broker(Clock::System)
}

struct Component {
    broker: Arc<dyn Broker>,
    calls: Calls,
    held: Held,
    tokens: Tokens,
}

impl Component {
    fn new(memory: usize) -> Self {
        Self {
            broker: broker(),
            calls: Calls::new("test", Duration::from_secs(10), 16),
            held: Held::new(memory),
            tokens: Tokens::default(),
        }
    }

    async fn open(&self, subscription: &Subscription) -> Result<Taking> {
        let client = Client::to(Arc::clone(&self.broker), "default");
        let operations = client.operations(&self.calls)?;
        Taking::open(operations, subscription, &self.held, &self.tokens).await
    }

    async fn publish(&self, text: &str) {
        let message = Message::new(text.to_owned());
        self.broker.publish("a", message, &PublishOptions::default()).await.unwrap();
    }
}

fn group() -> Subscription {
    Subscription::new(vec![Filter::parse("a").unwrap()]).of_group("g")
}

fn texts(batch: &Batch) -> Vec<String> {
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
    batch.taken.iter().map(|taken| text(&taken.message.data)).collect()
}

fn kinds(outcomes: Vec<Result<()>>) -> Vec<Option<Kind>> {
    outcomes.into_iter().map(|outcome| outcome.err().map(|error| error.kind())).collect()
}

#[tokio::test]
async fn messages_are_settled_once_by_the_consumer_that_has_them() {
    let component = Component::new(32 << 20);
    let (one, other) =
        (component.open(&group()).await.unwrap(), component.open(&group()).await.unwrap());
    for text in ["1", "2", "3"] {
        component.publish(text).await;
    }
    let batch = one.receive(10, NOW).await.unwrap();
    assert_eq!(texts(&batch), ["1", "2", "3"]);
    let tokens: Vec<u64> = batch.taken.iter().map(|taken| taken.token).collect();
    let expired = Some(Kind::Conflict);
    assert_eq!(kinds(other.ack(&tokens).await), [expired; 3]);
    assert_eq!(kinds(one.extend(&tokens).await), [None; 3]);
    let again = [tokens[0], tokens[1], tokens[0]];
    assert_eq!(kinds(one.ack(&again).await), [None, None, expired]);
    // What it has not settled goes to others when it is gone.
    drop(one);
    assert_eq!(texts(&other.receive(10, NOW).await.unwrap()), ["3"]);
}

#[tokio::test]
async fn an_answer_has_no_more_than_the_host_may_keep() {
    let component = Component::new(1 << 20);
    let taking = component.open(&group()).await.unwrap();
    for _ in 0..4 {
        component.publish(&"x".repeat(200_000)).await;
    }
    // The first two are beyond the part that an answer has.
    assert_eq!(taking.receive(10, NOW).await.unwrap().taken.len(), 2);
    let busy = component.held.take(600_000).unwrap();
    let full = taking.receive(10, NOW).await.err().unwrap();
    assert_eq!(full.kind(), Kind::Exhausted);
    drop(busy);
    assert_eq!(taking.receive(10, NOW).await.unwrap().taken.len(), 2, "it was given back");
}

#[tokio::test]
async fn consumers_are_bounded() {
    let component = Component::new(1 << 20);
    let mut open = Vec::new();
    let error = loop {
        match component.open(&group()).await {
            Ok(taking) => open.push(taking),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), open.len()), (Kind::Exhausted, 3));
    open.pop();
    component.open(&group()).await.unwrap();
}
