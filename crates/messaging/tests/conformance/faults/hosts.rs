//! Several hosts that share a group, and what each is told of it.

use super::{PLAIN, bound, next, nothing, of_group, publish, text, trial};
use base::Kind;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::servers::{VENDORS, Vendor};
use wharf_messaging::{Filter, Message, Position, Start, Subscription};

/// Trials for the server of this name, which knows wildcards and groups.
pub(super) fn trials(name: &str) -> Vec<Trial> {
    let vendor = VENDORS.iter().find(|vendor| vendor.name == name).unwrap();
    let all: [(&str, BoxFuture<'static, ()>); 3] = [
        ("hosts_with_other_topics_hand_out_those_of_the_group", new_topics(vendor).boxed()),
        ("a_topics_messages_come_in_their_order", in_order(vendor).boxed()),
        ("a_group_that_another_host_forgot_is_told", forgotten(vendor).boxed()),
    ];
    all.map(|(what, body)| trial(format!("faults::{name}::{what}"), body)).into()
}

/// A new deployment comes to one host after the other: hosts of the old one take part meanwhile.
async fn new_topics(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let settings = format!("{{ url = '{}' }}", (vendor.url)(server.address()));
    let (old, new) = (bound(&settings).await.unwrap(), bound(&settings).await.unwrap());
    let before = old.subscribe(&of_group("g", &["a"])).await.unwrap();
    publish(&old, "a", "1").await.unwrap();
    publish(&old, "b", "passed by").await.unwrap();
    assert_eq!(text(&*before).await, "1");
    nothing(&*before).await;
    let after = new.subscribe(&of_group("g", &["a", "b", "c.>"])).await.unwrap();
    drop(after);
    // The one that was there before gets what the group covers now.
    for (topic, content) in [("b", "2"), ("c.d", "3"), ("d", "nobody's"), ("a", "4")] {
        publish(&new, topic, content).await.unwrap();
    }
    for wanted in ["2", "3", "4"] {
        assert_eq!(text(&*before).await, wanted);
    }
    let after = new.subscribe(&of_group("g", &["d"])).await.unwrap();
    publish(&new, "a", "no more").await.unwrap();
    publish(&new, "d", "5").await.unwrap();
    drop(before);
    assert_eq!(text(&*after).await, "5");
    nothing(&*after).await;
    // And the other way, with one topic that becomes many.
    let several = new.subscribe(&of_group("g", &["d.*", "e"])).await.unwrap();
    for (topic, content) in [("d", "no more"), ("d.x", "6"), ("e", "7")] {
        publish(&new, topic, content).await.unwrap();
    }
    // What it was sent meanwhile it gives back.
    drop(after);
    let both = BTreeSet::from([text(&*several).await, text(&*several).await]);
    assert_eq!(both, BTreeSet::from(["6", "7"].map(str::to_owned)));
}

async fn in_order(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let broker = bound(&format!("{{ url = '{}' }}", (vendor.url)(server.address()))).await.unwrap();
    let subscriber = broker.subscribe(&of_group("g", &["a", "c"])).await.unwrap();
    let messages = (0..1000).map(|number| {
        let topic = if number % 3 == 0 { "b" } else { "a" };
        (topic.to_owned(), Message::new(number.to_string()))
    });
    for outcome in broker.publish_many(messages.collect(), &PLAIN).await {
        outcome.unwrap();
    }
    // Where to begin matters to a group that is not there yet.
    let start = Start::After(Position("somewhere else".to_owned()));
    drop(broker.subscribe(&Subscription { start, ..of_group("g", &["a", "c"]) }).await.unwrap());
    for number in (0..1000).filter(|number| number % 3 != 0) {
        assert_eq!(text(&*subscriber).await, number.to_string());
    }
}

async fn forgotten(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let settings = format!("{{ url = '{}' }}", (vendor.url)(server.address()));
    let (one, other) = (bound(&settings).await.unwrap(), bound(&settings).await.unwrap());
    let subscription = Subscription::new(vec![Filter::parse("a").unwrap()]).of_group("g");
    let subscriber = one.subscribe(&subscription).await.unwrap();
    publish(&one, "a", "1").await.unwrap();
    let held = next(&*subscriber).await;
    let (told, forgot) = futures::join!(subscriber.next(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.forget("g").await
    });
    forgot.unwrap();
    assert_eq!(told.unwrap_err().kind(), Kind::NotFound);
    // What it was handed out is nobody's any more.
    held.ack().await.unwrap();
    assert_eq!(subscriber.next().await.unwrap_err().kind(), Kind::NotFound);
}
