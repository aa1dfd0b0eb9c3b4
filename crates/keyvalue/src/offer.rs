//! What a store can do, in levels, and how it falls short of a need.

use base::offer::{
    self, Atomicity, Consistency, Durability, Emulated, Fence, Gap, List, Ttl, Watch,
};
use std::borrow::Cow;

/// The level of each ability: what a store offers, or the lowest that a component needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// What survives when an acknowledged write meets a crash.
    pub durability: Durability,
    /// How much one write changes as a whole.
    pub atomicity: Atomicity,
    /// How finely time to live is kept.
    pub ttl: Ttl,
    /// What a listing keeps.
    pub list: List,
    /// What a watcher sees.
    pub watch: Watch,
    /// Where the highest fencing token is kept.
    pub fence: Fence,
    /// What a reader may see after a write was acknowledged to another.
    pub consistency: Consistency,
}

impl Levels {
    /// No need at all: the lowest of everything.
    pub const LOWEST: Self = Self {
        durability: Durability::None,
        atomicity: Atomicity::Key,
        ttl: Ttl::None,
        list: List::None,
        watch: Watch::None,
        fence: Fence::None,
        consistency: Consistency::Eventual,
    };

    /// The words of the levels, in the order of [`Self::rows`].
    pub const WORDS: [&str; 7] =
        ["durability", "atomicity", "ttl", "list", "watch", "fence", "consistency"];

    /// Raises the level that `word` names, as in `requires = { ttl = "milliseconds" }`.
    ///
    /// # Errors
    /// What is wrong, with the words that would do.
    pub fn require(&mut self, word: &str, level: &str) -> Result<(), String> {
        macro_rules! raise {
            ($($name:literal: $type:ident => $field:ident,)*) => {
                match word {
                    $($name => {
                        let known = $type::ALL.iter().map(|level| level.word());
                        let level = $type::from_word(level)
                            .ok_or_else(|| unknown("level", level, known))?;
                        self.$field = self.$field.max(level);
                        Ok(())
                    })*
                    _ => Err(unknown("ability", word, Self::WORDS)),
                }
            };
        }
        raise! {
            "durability": Durability => durability,
            "atomicity": Atomicity => atomicity,
            "ttl": Ttl => ttl,
            "list": List => list,
            "watch": Watch => watch,
            "fence": Fence => fence,
            "consistency": Consistency => consistency,
        }
    }

    /// Every ability in which these levels fall short of `needs`.
    pub fn gaps(&self, needs: &Levels) -> Vec<Gap> {
        let has = self;
        [
            Gap::between("durability", needs.durability, has.durability),
            Gap::between("atomicity", needs.atomicity, has.atomicity),
            Gap::between("ttl", needs.ttl, has.ttl),
            Gap::between("list", needs.list, has.list),
            Gap::between("watch", needs.watch, has.watch),
            Gap::between("fence", needs.fence, has.fence),
            Gap::between("consistency", needs.consistency, has.consistency),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Every word with its level, for tables.
    pub fn rows(&self) -> [(&'static str, &'static str); 7] {
        let levels = [
            self.durability.word(),
            self.atomicity.word(),
            self.ttl.word(),
            self.list.word(),
            self.watch.word(),
            self.fence.word(),
            self.consistency.word(),
        ];
        let mut rows = Self::WORDS.map(|word| (word, ""));
        for (row, level) in rows.iter_mut().zip(levels) {
            row.1 = level;
        }
        rows
    }
}

impl offer::Levels for Levels {
    fn rows(&self) -> Vec<(&'static str, String)> {
        Levels::rows(self).into_iter().map(|(word, level)| (word, level.to_owned())).collect()
    }

    fn gaps(&self, needs: &Self) -> Vec<Gap> {
        Levels::gaps(self, needs)
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self::LOWEST
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

fn unknown<'a>(what: &str, word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match base::nearest(word, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{word}` (did you mean `{near}`?)"),
        None => format!("unknown {what} `{word}` (there are {})", known.join(", ")),
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
