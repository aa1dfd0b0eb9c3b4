//! What a component's imports ask of a cache, and how an open one does it.

use super::Caches;
use cache::Offer;
use engine::{Capability as _, Imports};
use engine::{How, Use, called};

/// Every function of the interface that `imports` has, with how a cache of this offer does it.
pub fn uses(imports: &Imports, offer: &Offer) -> Vec<Use> {
    called(imports, Caches::SERVED, |_, function| Some(how(function, offer)))
}

fn how(function: &str, offer: &Offer) -> How {
    let asked = abilities(function);
    let emulated = offer.emulated.iter().filter(|emulated| asked.contains(&emulated.ability));
    let emulated: Vec<&str> = emulated.map(|emulated| emulated.how).collect();
    match emulated.is_empty() {
        true => How::Native,
        false => How::Emulated(emulated.join("; ")),
    }
}

/// The words that offers have for what a function does. None where it only looks after what
/// another began.
fn abilities(function: &str) -> &'static [&'static str] {
    match function {
        "get" | "exists" | "get-or-set" | "delete" => &["key"],
        "set" | "vacancy.vacancy-fill" => &["key", "ttl"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache::{Emulated, Levels, backend::BEST};

    #[test]
    fn what_an_offer_emulates_shows_in_each_function_that_asks_for_it() {
        let emulated = |ability, how| Emulated { ability, how };
        let levels: Levels = BEST.first().unwrap().levels;
        let mut offer = Offer { backend: "toy".into(), levels, emulated: Vec::new() };
        assert_eq!(how("set", &offer), How::Native);
        offer.emulated = vec![emulated("key", "hashed"), emulated("ttl", "by our clock")];
        assert_eq!(how("get", &offer).to_string(), "emulated: hashed");
        assert_eq!(how("set", &offer).to_string(), "emulated: hashed; by our clock");
        assert_eq!(how("vacancy.vacancy-fill", &offer), how("set", &offer));
        assert_eq!(how("future-get-result.future-get-result-get", &offer), How::Native);
    }
}
