//! What a component's imports ask of a broker, and how an open one does it: the table of `check`.

use super::Messaging;
use crate::{Levels, Offer};
use base::offer::Reply;
use engine::{Capability as _, How, Imports, Use, called};

/// Every function of messaging interfaces that `imports` has, with how a broker of this offer does
/// it. What only fills in a message asks nothing of a broker.
pub fn uses(imports: &Imports, offer: &Offer) -> Vec<Use> {
    called(imports, Messaging::SERVED, |id, function| {
        (!id.contains("/types@")).then(|| how(function, offer))
    })
}

/// The least that a broker has to offer for a function that a component calls.
pub fn needs(function: &str) -> Levels {
    match ability(function) {
        "request" => Levels { request: Reply::Inbox, ..Levels::LOWEST },
        _ => Levels::LOWEST,
    }
}

fn how(function: &str, offer: &Offer) -> How {
    How::of(offer.levels.gaps(&needs(function)), &offer.emulated, ability(function))
}

/// The word that offers have for what a function does.
fn ability(function: &str) -> &str {
    match function.rsplit('.').next().unwrap_or(function) {
        "send" => "publish",
        "reply" => "request",
        name => name,
    }
}
