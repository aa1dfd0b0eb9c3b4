//! `requires = { … }`: the least that a binding's backend has to offer.

use crate::section::Section;
use base::offer::Ability;

/// The least that a backend has to offer, where the file asks for something: abilities and levels
/// by their words, which the capability has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs(Vec<(&'static str, &'static str)>);

impl Needs {
    /// Reads the table `requires` of a binding, whose capability knows these abilities.
    pub(crate) fn read(section: &Section<'_>, abilities: &'static [Ability]) -> Self {
        let level = |ability: &Ability| {
            let words: Vec<_> = ability.levels.iter().map(|level| (*level, *level)).collect();
            Some((ability.word, section.choice(ability.word, &words)?))
        };
        Self(abilities.iter().filter_map(level).collect())
    }

    /// Each ability with the level that is needed, in the order that the capability has them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.0.iter().copied()
    }
}
