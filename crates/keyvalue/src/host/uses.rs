//! What a component's imports ask of a store, and how an open one does it: the table of `check`.

use super::{KeyValue, VALUES};
use crate::{Levels, Offer};
use base::offer::List;
use engine::{Capability as _, How, Imports, Use, called};

/// Every function of key-value interfaces that `imports` has, with how a store of this offer does
/// it.
pub fn uses(imports: &Imports, offer: &Offer) -> Vec<Use> {
    called(imports, KeyValue::SERVED, |id, function| {
        // Values ask nothing of a store, and who has a cache alone imports them too.
        let asks = !VALUES.contains(&id) || function.starts_with("bucket.");
        asks.then(|| how(function, offer))
    })
}

/// The least that a store has to offer for a function that a component calls.
pub fn needs(function: &str) -> Levels {
    match ability(function) {
        "list" => Levels { list: List::Unordered, ..Levels::LOWEST },
        _ => Levels::LOWEST,
    }
}

fn how(function: &str, offer: &Offer) -> How {
    How::of(offer.levels.gaps(&needs(function)), &offer.emulated, ability(function))
}

/// The word that offers have for what a function does.
fn ability(function: &str) -> &str {
    let name = function.rsplit('.').next().unwrap_or(function);
    match name {
        "list-keys" | "keys" => "list",
        "swap" | "compare-and-swap" => "compare-and-swap",
        "get-many" | "set-many" | "delete-many" => "batch",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Emulated;

    #[test]
    fn what_an_offer_lacks_or_emulates_shows() {
        let mut offer = Offer {
            backend: "toy".into(),
            levels: Levels::LOWEST,
            max_key: Offer::MAX_KEY,
            max_value: Offer::MAX_VALUE,
            emulated: vec![Emulated { ability: "increment", how: "in a loop" }],
        };
        assert_eq!(how("bucket.get", &offer), How::Native);
        assert_eq!(how("increment", &offer).to_string(), "emulated: in a loop");
        let missing = how("bucket.list-keys", &offer).to_string();
        assert_eq!(missing, "missing: list >= unordered (has none)");
        offer.levels.list = List::Ordered;
        assert_eq!(how("bucket.list-keys", &offer), How::Native);
    }
}
