//! What a store can do, in levels, and how it falls short of a need.

use base::offer::{self, Atomicity, Consistency, Durability, Emulated, Fence, List, Ttl, Watch};
use std::borrow::Cow;

offer::contract_levels! {
    /// The level of each ability: what a store offers, or the lowest that a component needs.
    Levels {
        /// What survives when an acknowledged write meets a crash.
        durability: Durability,
        /// How much one write changes as a whole.
        atomicity: Atomicity,
        /// How finely time to live is kept.
        ttl: Ttl,
        /// What a listing keeps.
        list: List,
        /// What a watcher sees.
        watch: Watch,
        /// Where the highest fencing token is kept.
        fence: Fence,
        /// What a reader may see after a write was acknowledged to another.
        consistency: Consistency,
    }
}

/// What one open store can do. A promise: what is offered holds, what is not offered fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What stands behind the binding, e.g. `redis 7.0.15`. For people.
    pub backend: Cow<'static, str>,
    /// The levels.
    pub levels: Levels,
    /// The most bytes in a key.
    pub max_key: usize,
    /// The most bytes in a value.
    pub max_value: usize,
    /// What is emulated, and how.
    pub emulated: Vec<Emulated>,
}

impl Offer {
    /// The usual most bytes in a key.
    pub const MAX_KEY: usize = 1024;
    /// The usual most bytes in a value.
    pub const MAX_VALUE: usize = 16 << 20;

    /// The lines of the table that `check` prints: ability, what there is.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = offer::Levels::rows(&self.levels);
        rows.push(("max-key", base::units::Size(self.max_key as u64).to_string()));
        rows.push(("max-value", base::units::Size(self.max_value as u64).to_string()));
        rows.extend(self.emulated.iter().map(Emulated::row));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            backend: "toy".into(),
            levels: Levels { ttl: Ttl::Binding, list: List::Ordered, ..Levels::LOWEST },
            max_key: Offer::MAX_KEY,
            max_value: Offer::MAX_VALUE,
            emulated: vec![Emulated { ability: "increment", how: "in a loop" }],
        }
    }

    #[test]
    fn every_gap_is_named() {
        let mut needs = Levels::LOWEST;
        assert_eq!(offer().levels.gaps(&needs), []);
        needs.require("ttl", "milliseconds").unwrap();
        needs.require("list", "unordered").unwrap();
        needs.require("durability", "fsync").unwrap();
        let gaps: Vec<String> =
            offer().levels.gaps(&needs).iter().map(ToString::to_string).collect();
        assert_eq!(gaps, ["durability >= fsync (has none)", "ttl >= milliseconds (has binding)"]);
    }

    #[test]
    fn every_word_can_be_required_and_is_shown() {
        let mut needs = Levels::LOWEST;
        for (word, level) in Levels::LOWEST.rows() {
            needs.require(word, level).unwrap();
        }
        assert_eq!(needs, Levels::LOWEST);
        assert!(needs.require("tll", "seconds").unwrap_err().contains("did you mean `ttl`?"));
        assert!(needs.require("ttl", "second").unwrap_err().contains("did you mean `seconds`?"));
        assert!(offer().rows().contains(&("max-value", "16MiB".to_owned())));
        assert!(offer().rows().contains(&("increment", "emulated: in a loop".to_owned())));
    }
}
