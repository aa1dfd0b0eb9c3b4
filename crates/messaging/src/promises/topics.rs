//! Who gets what is published to which topic.

use super::{Stage, alone, nothing, of_group, publish, text, texts};
use crate::Broker;
use base::Kind;
use base::offer::Wildcards;
use base::promise::{Kept, Promise, equal, refused};

pub(super) const PROMISES: &[Promise<dyn Broker>] = base::promises![
    a_topic_is_its_own,
    a_subscription_covers_several_topics,
    a_star_covers_a_word,
    an_angle_covers_all_that_come_last,
    a_message_comes_once_however_many_words_cover_it,
    any_words_are_topics,
    nobody_listening_is_no_error,
];

async fn a_topic_is_its_own(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let one = broker.subscribe(&of_group("one", &["a.b"])?).await?;
    let other = broker.subscribe(&of_group("other", &["a"])?).await?;
    for topic in ["a.b", "a.b.c", "a.c", "A.b", "b"] {
        publish(&*broker, topic, topic).await?;
    }
    equal(text(&*one).await?, "a.b")?;
    nothing(&*one).await?;
    nothing(&*other).await
}

async fn a_subscription_covers_several_topics(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscriber = broker.subscribe(&of_group("g", &["a", "b.c"])?).await?;
    for topic in ["a", "b", "b.c"] {
        publish(&*broker, topic, topic).await?;
    }
    equal(texts(&*subscriber, 2).await?, ["a", "b.c"])?;
    nothing(&*subscriber).await
}

async fn a_star_covers_a_word(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = of_group("g", &["a.*.c"])?;
    if broker.offer().levels.wildcards == Wildcards::None {
        return refused(broker.subscribe(&subscription).await.map(drop), Kind::Unsupported)
            .map(drop);
    }
    let subscriber = broker.subscribe(&subscription).await?;
    for topic in ["a.b.c", "a.c", "a.b.b.c", "a.x.c", "a.b.d", "b.b.c"] {
        publish(&*broker, topic, topic).await?;
    }
    equal(texts(&*subscriber, 2).await?, ["a.b.c", "a.x.c"])?;
    nothing(&*subscriber).await
}

async fn an_angle_covers_all_that_come_last(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let subscription = of_group("g", &["a.>"])?;
    if broker.offer().levels.wildcards == Wildcards::None {
        return refused(broker.subscribe(&subscription).await.map(drop), Kind::Unsupported)
            .map(drop);
    }
    let subscriber = broker.subscribe(&subscription).await?;
    let all = broker.subscribe(&of_group("all", &[">"])?).await?;
    for topic in ["a", "a.b", "a.b.c", "ab.c"] {
        publish(&*broker, topic, topic).await?;
    }
    equal(texts(&*subscriber, 2).await?, ["a.b", "a.b.c"])?;
    nothing(&*subscriber).await?;
    equal(texts(&*all, 4).await?, ["a", "a.b", "a.b.c", "ab.c"])
}

async fn a_message_comes_once_however_many_words_cover_it(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let topics: &[&str] = match broker.offer().levels.wildcards {
        Wildcards::None => &["a.b", "a.b"],
        Wildcards::Words => &["a.b", "a.*", ">"],
    };
    let subscriber = broker.subscribe(&of_group("g", topics)?).await?;
    let copies = broker.subscribe(&alone(topics)?).await?;
    publish(&*broker, "a.b", "1").await?;
    for subscriber in [&subscriber, &copies] {
        equal(text(&**subscriber).await?, "1")?;
        nothing(&**subscriber).await?;
    }
    Ok(())
}

async fn any_words_are_topics(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    let long = "w".repeat(crate::MAX_TOPIC);
    for topic in ["Ä.ö", "a-b_c", "1", "$x", "a/b", "a:b,c", "%41", "ω.😀", "a+b", "#", &long]
    {
        let subscriber = broker.subscribe(&of_group("g", &[topic])?).await?;
        publish(&*broker, topic, topic).await?;
        equal(text(&*subscriber).await?, topic)?;
        broker.forget("g").await?;
    }
    Ok(())
}

async fn nobody_listening_is_no_error(stage: Stage) -> Kept {
    let broker = stage.open().await?;
    equal(publish(&*broker, "nobody.listens", "1").await?.duplicate, false)
}
