//! What a cache can do.

use base::offer::Ttl;
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

/// What one open cache can do. A promise: what is offered holds, what is not offered fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What stands behind the binding, e.g. `memcached 1.6.18`. For people.
    pub backend: Cow<'static, str>,
    /// How finely time to live is kept.
    pub ttl: Ttl,
    /// Who finds what was stored.
    pub reach: Reach,
    /// The most bytes in a key.
    pub max_key: usize,
    /// The most bytes in a value.
    pub max_value: usize,
    /// What the backend does not have and this program gives it, and how.
    pub emulated: Vec<(&'static str, &'static str)>,
}

impl Offer {
    /// The usual most bytes in a key.
    pub const MAX_KEY: usize = 1024;
    /// The usual most bytes in a value.
    pub const MAX_VALUE: usize = 16 << 20;

    /// The lines of the table that `check` prints: ability, what there is.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("ttl", self.ttl.word().to_owned()),
            ("reach", self.reach.word().to_owned()),
            ("max-key", Size(self.max_key as u64).to_string()),
            ("max-value", Size(self.max_value as u64).to_string()),
        ];
        rows.extend(self.emulated.iter().map(|(what, how)| (*what, format!("emulated: {how}"))));
        rows
    }
}
