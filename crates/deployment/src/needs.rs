//! `requires = { … }`: the least that a binding's backend has to offer.

use crate::section::Section;
use base::offer::{Atomicity, Consistency, Durability, Fence, List, Ttl, Watch};

/// The least that a backend has to offer, where the file asks for something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a level of `base::offer`, described there")]
pub struct Needs {
    pub durability: Option<Durability>,
    pub atomicity: Option<Atomicity>,
    pub ttl: Option<Ttl>,
    pub list: Option<List>,
    pub watch: Option<Watch>,
    pub fence: Option<Fence>,
    pub consistency: Option<Consistency>,
}

impl Needs {
    /// Reads the table `requires`.
    pub(crate) fn read(section: &Section<'_>) -> Self {
        Self {
            durability: level(section, "durability", Durability::ALL, Durability::word),
            atomicity: level(section, "atomicity", Atomicity::ALL, Atomicity::word),
            ttl: level(section, "ttl", Ttl::ALL, Ttl::word),
            list: level(section, "list", List::ALL, List::word),
            watch: level(section, "watch", Watch::ALL, Watch::word),
            fence: level(section, "fence", Fence::ALL, Fence::word),
            consistency: level(section, "consistency", Consistency::ALL, Consistency::word),
        }
    }
}

fn level<L: Copy>(
    section: &Section<'_>,
    key: &str,
    levels: &[L],
    word: fn(L) -> &'static str,
) -> Option<L> {
    let words: Vec<_> = levels.iter().map(|level| (word(*level), *level)).collect();
    section.choice(key, &words)
}
