//! Messages that are told by their ids.

use super::{PLAIN, Stage, nothing, of_group, text, texts};
use crate::{Broker, Message};
use base::Kind;
use base::offer::Dedup;
use base::promise::{Kept, Promise, equal, refused};

pub(super) const PROMISES: &[Promise<dyn Broker>] =
    base::promises![a_second_message_with_one_id_is_left_out, one_of_many_with_one_id_is_published];

fn with_id(id: &str, text: &str) -> Message {
    Message { id: Some(id.to_owned()), ..Message::new(text.to_owned()) }
}

async fn a_second_message_with_one_id_is_left_out(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a", "b"])?).await?;
    let first = broker.publish("a", with_id("i", "1"), &PLAIN).await;
    if broker.offer().levels.dedup == Dedup::None {
        return refused(first, Kind::Unsupported).map(drop);
    }
    let first = first?;
    equal(first.duplicate, false)?;
    let second = broker.publish("a", with_id("i", "2"), &PLAIN).await?;
    equal(second.duplicate, true)?;
    equal(broker.publish("a", with_id("j", "3"), &PLAIN).await?.duplicate, false)?;
    equal(texts(&*subscriber, 2).await?, ["1", "3"])?;
    nothing(&*subscriber).await
}

async fn one_of_many_with_one_id_is_published(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if broker.offer().levels.dedup == Dedup::None {
        return Ok(());
    }
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let publishing = (0..8).map(|_| broker.publish("a", with_id("i", "1"), &PLAIN));
    let mut published = 0;
    for outcome in futures::future::join_all(publishing).await {
        published += usize::from(!outcome?.duplicate);
    }
    equal(published, 1)?;
    equal(text(&*subscriber).await?, "1")?;
    nothing(&*subscriber).await
}
