//! What a cache can do.

use base::offer::{self, Ability, Emulated, Gap, Ttl, unknown};
use base::units::Size;
use std::borrow::Cow;
use std::fmt;

/// Who finds what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Nobody: every look is a miss.
    None,
    /// Everybody in this process.
    Host,
    /// Every host that has the same binding.
    Hosts,
}

impl Reach {
    const ALL: &'static [Self] = &[Self::None, Self::Host, Self::Hosts];

    /// The word in tables and in the deployment file.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Host => "host",
            Self::Hosts => "hosts",
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The level of each ability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// How finely time to live is kept.
    pub ttl: Ttl,
    /// Who finds what was stored.
    pub reach: Reach,
    /// The most bytes in a key.
    pub max_key: usize,
    /// The most bytes in a value.
    pub max_value: usize,
}

impl Levels {
    /// No need at all: the lowest of everything.
    pub const LOWEST: Self =
        Self { ttl: Ttl::LOWEST, reach: Reach::None, max_key: 0, max_value: 0 };

    /// What a binding may require of a backend.
    pub const ABILITIES: &[Ability] = &[
        Ability { word: "ttl", about: "How finely time to live is kept.", levels: Ttl::WORDS },
        Ability {
            word: "reach",
            about: "Who finds what was stored.",
            levels: &["none", "host", "hosts"],
        },
    ];

    /// What most backends have.
    pub(crate) const USUAL: Self = Self {
        ttl: Ttl::Milliseconds,
        reach: Reach::Hosts,
        max_key: Offer::MAX_KEY,
        max_value: Offer::MAX_VALUE,
    };
}

impl offer::Levels for Levels {
    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ttl", self.ttl.word().to_owned()),
            ("reach", self.reach.word().to_owned()),
            ("max-key", Size(self.max_key as u64).to_string()),
            ("max-value", Size(self.max_value as u64).to_string()),
        ]
    }

    fn gaps(&self, needs: &Self) -> Vec<Gap> {
        let size = |size: usize| Size(size as u64);
        [
            Gap::between("ttl", needs.ttl, self.ttl),
            Gap::between("reach", needs.reach, self.reach),
            Gap::between("max-key", size(needs.max_key), size(self.max_key)),
            Gap::between("max-value", size(needs.max_value), size(self.max_value)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn require(&mut self, word: &str, level: &str) -> Result<(), String> {
        match word {
            "ttl" => {
                let known = Ttl::from_word(level);
                let ttl = known.ok_or_else(|| unknown("level", level, Ttl::WORDS.to_vec()))?;
                self.ttl = self.ttl.max(ttl);
            }
            "reach" => {
                let known = Reach::ALL.iter().find(|reach| reach.word() == level);
                let words = || Reach::ALL.iter().map(|reach| reach.word());
                let reach = known.ok_or_else(|| unknown("level", level, words()))?;
                self.reach = self.reach.max(*reach);
            }
            _ => return Err(unknown("ability", word, Self::ABILITIES.iter().map(|it| it.word))),
        }
        Ok(())
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self::LOWEST
    }
}

/// What one open cache can do. A promise: what is offered holds, what is not offered fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What stands behind the binding, e.g. `memcached 1.6.18`. For people.
    pub backend: Cow<'static, str>,
    /// The levels.
    pub levels: Levels,
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
        rows.extend(self.emulated.iter().map(Emulated::row));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::offer::Levels as _;

    #[test]
    fn every_ability_can_be_required_and_nothing_else() {
        let mut needs = Levels::LOWEST;
        for ability in Levels::ABILITIES {
            for level in ability.levels {
                needs.require(ability.word, level).unwrap();
            }
        }
        let highest = (Ttl::Milliseconds, Reach::Hosts);
        assert_eq!((needs.ttl, needs.reach), highest);
        assert!(needs.require("reach", "host").is_ok() && needs.reach == Reach::Hosts);
        assert!(needs.require("reach", "hots").unwrap_err().contains("did you mean `host"));
        assert!(needs.require("durability", "fsync").unwrap_err().contains("there are ttl, reach"));
    }
}
