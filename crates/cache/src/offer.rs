//! What a cache can do.

use base::offer::{self, Emulated, Gap, Ttl};
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
    /// The word in tables.
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
