//! Requests and their replies.

use super::{PLAIN, Stage, next, of_group, publish};
use crate::{Broker, Message, RequestOptions, Subscriber};
use base::Kind;
use base::offer::{Reply, Wildcards};
use base::promise::{Broken, Kept, Promise, equal, refused};
use std::time::{Duration, Instant};

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    requests_are_offered_or_refused,
    a_request_is_replied_to,
    a_request_can_have_several_replies,
    a_request_ends_with_the_replies_that_came,
    a_request_that_nobody_replies_to_ends,
    requests_do_not_get_each_others_replies,
    a_late_reply_is_dropped,
    replies_can_go_to_any_topic,
    replies_are_for_who_asked,
];

fn within(milliseconds: u64, replies: usize) -> RequestOptions {
    RequestOptions { timeout: Duration::from_millis(milliseconds), replies, most: 1 << 20 }
}

fn carries(broker: &dyn Broker) -> bool {
    broker.offer().levels.request > Reply::None
}

async fn requests_are_offered_or_refused(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let asked = broker.request("a", Message::new("?"), &within(200, 1)).await;
    match carries(&*broker) {
        true => refused(asked, Kind::Timeout).map(drop),
        false => {
            refused(asked, Kind::Unsupported)?;
            refused(publish(&*broker, "_inbox.1", "!").await, Kind::Unsupported).map(drop)
        }
    }
}

/// Replies to the next message with its content and each of the `ends`, and acknowledges it.
async fn serve(broker: &dyn Broker, subscriber: &dyn Subscriber, ends: &[&str]) -> Kept {
    let delivery = next(subscriber).await?;
    let asks = || Broken::new("a request says where replies go");
    let to = delivery.message.reply_to.clone().ok_or_else(asks)?;
    for end in ends {
        let text = super::content(&delivery) + end;
        let headers = vec![("end".to_owned(), (*end).to_owned())];
        broker.publish(&to, Message { headers, ..Message::new(text) }, &PLAIN).await?;
    }
    Ok(delivery.ack().await?)
}

fn texts(replies: &[Message]) -> Vec<String> {
    replies.iter().map(|reply| String::from_utf8_lossy(&reply.data).into_owned()).collect()
}

async fn a_request_is_replied_to(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !carries(&*broker) {
        return Ok(());
    }
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let options = within(20_000, 1);
    let asked = broker.request("a", Message::new("1"), &options);
    let (replies, served) = futures::join!(asked, serve(&*broker, &*subscriber, &["!"]));
    served?;
    let replies = replies?;
    equal(texts(&replies), ["1!"])?;
    equal(replies.first().and_then(|reply| reply.header("end")), Some("!"))?;
    // What was no request asks for no reply.
    publish(&*broker, "a", "2").await?;
    let delivery = next(&*subscriber).await?;
    equal(&delivery.message.reply_to, &None)?;
    Ok(delivery.ack().await?)
}

async fn a_request_can_have_several_replies(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !carries(&*broker) {
        return Ok(());
    }
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let options = within(20_000, 3);
    let asked = broker.request("a", Message::new("1"), &options);
    let ends = ["a", "b", "c", "d"];
    let (replies, served) = futures::join!(asked, serve(&*broker, &*subscriber, &ends));
    served?;
    equal(texts(&replies?), ["1a", "1b", "1c"])
}

async fn a_request_ends_with_the_replies_that_came(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !carries(&*broker) {
        return Ok(());
    }
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let options = within(1500, 2);
    let asked = broker.request("a", Message::new("1"), &options);
    let (replies, served) = futures::join!(asked, serve(&*broker, &*subscriber, &["a"]));
    served?;
    equal(texts(&replies?), ["1a"])
}

async fn a_request_that_nobody_replies_to_ends(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !carries(&*broker) {
        return Ok(());
    }
    let begun = Instant::now();
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    for topic in ["a", "nobody.is.here"] {
        let asked = broker.request(topic, Message::new("1"), &within(500, 1)).await;
        refused(asked, Kind::Timeout)?;
    }
    base::promise::holds(begun.elapsed() < Duration::from_secs(15), "it ends in time")?;
    next(&*subscriber).await?.ack().await?;
    Ok(())
}

async fn requests_do_not_get_each_others_replies(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !carries(&*broker) {
        return Ok(());
    }
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let options = within(20_000, 1);
    let ask = async |text: &str| broker.request("a", Message::new(text.to_owned()), &options).await;
    let serving = async {
        for _ in 0..3 {
            serve(&*broker, &*subscriber, &["!"]).await?;
        }
        Kept::Ok(())
    };
    let (one, two, three, served) = futures::join!(ask("1"), ask("2"), ask("3"), serving);
    served?;
    for (replies, wanted) in [(one, "1!"), (two, "2!"), (three, "3!")] {
        equal(texts(&replies?), [wanted])?;
    }
    Ok(())
}

async fn a_late_reply_is_dropped(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !carries(&*broker) {
        return Ok(());
    }
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let asked = broker.request("a", Message::new("1"), &within(300, 1)).await;
    refused(asked, Kind::Timeout)?;
    serve(&*broker, &*subscriber, &["late"]).await
}

async fn replies_can_go_to_any_topic(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a", "answers"])?).await?;
    let message = Message { reply_to: Some("answers".to_owned()), ..Message::new("1") };
    broker.publish("a", message, &PLAIN).await?;
    serve(&*broker, &*subscriber, &["!"]).await?;
    equal(super::text(&*subscriber).await?, "1!")
}

async fn replies_are_for_who_asked(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    if !carries(&*broker) {
        return Ok(());
    }
    let all = match broker.offer().levels.wildcards {
        Wildcards::None => None,
        Wildcards::Words => Some(broker.subscribe(&of_group("all", &[">"])?).await?),
    };
    let subscriber = broker.subscribe(&of_group("g", &["a"])?).await?;
    let options = within(20_000, 1);
    let asked = broker.request("a", Message::new("1"), &options);
    let (replies, served) = futures::join!(asked, serve(&*broker, &*subscriber, &["!"]));
    served?;
    equal(texts(&replies?), ["1!"])?;
    if let Some(all) = all {
        equal(super::text(&*all).await?, "1")?;
        super::nothing(&*all).await?;
    }
    Ok(())
}
