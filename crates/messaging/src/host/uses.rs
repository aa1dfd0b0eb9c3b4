//! What a component's imports ask of a broker, and how an open one does it: the table of `check`.

use super::Messaging;
use crate::{Levels, Offer};
use base::offer::{Groups, Redelivery, Reply};
use engine::{Capability as _, How, Imports, Use, called};

/// Every function of messaging interfaces that `imports` has, with how a broker of this offer does
/// it. What only fills in a message asks nothing of a broker.
pub fn uses(imports: &Imports, offer: &Offer) -> Vec<Use> {
    called(imports, Messaging::SERVED, |id, function| {
        (!id.contains("types@")).then(|| how(function, offer))
    })
}

/// The least that a broker has to offer for a function that a component calls. What its arguments
/// ask for besides, such as an order, a place to begin or a delay, is refused where it is asked.
pub fn needs(function: &str) -> Levels {
    let lowest = Levels::LOWEST;
    match name(function) {
        "request" | "reply" => Levels { request: Reply::Inbox, ..lowest },
        "subscribe-receive" | "subscribe-try-receive" => {
            Levels { groups: Groups::Shared, redelivery: Redelivery::Disconnect, ..lowest }
        }
        "forget" => Levels { groups: Groups::Shared, ..lowest },
        "ack" | "nack" | "complete-message" | "abandon-message" => {
            Levels { redelivery: Redelivery::Disconnect, ..lowest }
        }
        "extend" => Levels { redelivery: Redelivery::Deadline, ..lowest },
        _ => lowest,
    }
}

fn how(function: &str, offer: &Offer) -> How {
    How::of(offer.levels.gaps(&needs(function)), &offer.emulated, ability(function))
}

/// The word that offers have for what a function does.
fn ability(function: &str) -> &str {
    match name(function) {
        "send" | "publish-many" => "publish",
        "reply" => "request",
        "open" | "subscribe-receive" | "subscribe-try-receive" | "forget" => "groups",
        name => name,
    }
}

/// A function's name without that of its interface or resource.
fn name(function: &str) -> &str {
    function.rsplit('.').next().unwrap_or(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_offer_lacks_or_emulates_shows() {
        let mut offer = Offer {
            backend: "toy".into(),
            levels: Levels::LOWEST,
            max_message: Offer::MAX_MESSAGE,
            emulated: vec![crate::Emulated { ability: "groups", how: "by hand" }],
        };
        assert_eq!(how("producer.publish", &offer), How::Native);
        assert_eq!(how("consumer.consumer.open", &offer).to_string(), "emulated: by hand");
        for (function, lacks) in [
            ("consumer.consumer.ack", "redelivery >= disconnect (has none)"),
            ("consumer.complete-message", "redelivery >= disconnect (has none)"),
            ("consumer.consumer.extend", "redelivery >= deadline (has none)"),
            ("consumer.subscribe-receive", "groups >= shared (has none)"),
            ("producer.request", "request >= inbox (has none)"),
        ] {
            assert_eq!(how(function, &offer).to_string(), format!("missing: {lacks}"));
        }
        offer.levels.redelivery = Redelivery::Disconnect;
        assert_eq!(how("consumer.consumer.nack", &offer), How::Native);
    }
}
