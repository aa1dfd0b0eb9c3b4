//! What each backend can offer at most, before any server was asked: for advice and the manual.

use super::Gap;
use std::fmt::Write as _;

/// The level of each ability that a contract knows.
pub trait Levels {
    /// Every word with its level, for tables. The words are the same for all levels.
    fn rows(&self) -> Vec<(&'static str, String)>;

    /// Every ability in which these levels fall short of `needs`.
    fn gaps(&self, needs: &Self) -> Vec<Gap>;

    /// Raises the level that `word` names, as in `requires = { ttl = "milliseconds" }`.
    ///
    /// # Errors
    /// What is wrong, with the words that would do.
    fn require(&mut self, word: &str, level: &str) -> Result<(), String>;
}

/// An ability that the backend does not have and this program gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emulated {
    /// Which ability, e.g. `increment`.
    pub ability: &'static str,
    /// How, e.g. `compare-and-swap in a loop`.
    pub how: &'static str,
}

impl Emulated {
    /// Its line in tables: the ability, and how there is one.
    pub fn row(&self) -> (&'static str, String) {
        (self.ability, format!("emulated: {}", self.how))
    }
}

/// The most that a backend offers, and what lowers it.
#[derive(Clone, Copy, Debug)]
pub struct Best<L> {
    /// The backend's name.
    pub backend: &'static str,
    /// The highest level of each ability.
    pub levels: L,
    /// The words that settings or servers lower: what is left, and when.
    pub lowered: &'static [(&'static str, &'static str)],
    /// What is emulated, and how.
    pub emulated: &'static [Emulated],
}

impl<L: Levels> Best<L> {
    /// Whether what an open backend offers keeps to it: it offers no more, and emulates what is
    /// said here.
    ///
    /// # Errors
    /// What does not hold, as a sentence.
    pub fn covers(&self, levels: &L, emulated: &[Emulated]) -> Result<(), String> {
        if let Some(gap) = self.levels.gaps(levels).first() {
            return Err(format!("it offers more than its best: {gap}"));
        }
        for emulated in emulated {
            if !self.emulated.iter().any(|said| said.ability == emulated.ability) {
                return Err(format!("it emulates {}, and does not say so", emulated.ability));
            }
        }
        Ok(())
    }
}

/// The backends that could offer all that is needed, with the right settings on the right server.
pub fn that_offer<L: Levels>(all: &[Best<L>], needs: &L) -> Vec<&'static str> {
    let would_do = |best: &&Best<L>| best.levels.gaps(needs).is_empty();
    all.iter().filter(would_do).map(|best| best.backend).collect()
}

/// The table of offers in the manual, in Markdown: a line for each backend, a column for each word,
/// and below what is emulated.
pub fn table<L: Levels>(all: &[Best<L>]) -> String {
    let words = all.first().map(|best| best.levels.rows()).unwrap_or_default();
    let mut table = String::from("| backend |");
    table.extend(words.iter().map(|(word, _)| format!(" {word} |")));
    table.push_str("\n|---|");
    table.extend(words.iter().map(|_| "---|"));
    for best in all {
        // Writing to a string cannot fail.
        _ = write!(table, "\n| `{}:` |", best.backend);
        for (word, level) in best.levels.rows() {
            let lowered = best.lowered.iter().filter(|(of, _)| *of == word);
            let lowered: Vec<_> = lowered.map(|(_, how)| format!("; {how}")).collect();
            _ = write!(table, " {level}{} |", lowered.concat());
        }
    }
    table.push('\n');
    for best in all {
        for Emulated { ability, how } in best.emulated {
            _ = write!(table, "\n- `{}:` emulates {ability}: {how}.", best.backend);
        }
    }
    table.push('\n');
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::Ttl;

    impl Levels for Ttl {
        fn rows(&self) -> Vec<(&'static str, String)> {
            vec![("ttl", self.to_string())]
        }

        fn gaps(&self, needs: &Self) -> Vec<Gap> {
            Gap::between("ttl", *needs, *self).into_iter().collect()
        }

        fn require(&mut self, _: &str, level: &str) -> Result<(), String> {
            *self = (*self).max(Ttl::from_word(level).ok_or("no level")?);
            Ok(())
        }
    }

    const LOOP: Emulated = Emulated { ability: "increment", how: "in a loop" };
    const TOY: Best<Ttl> = Best {
        backend: "toy",
        levels: Ttl::Seconds,
        lowered: &[("ttl", "none on Sundays")],
        emulated: &[LOOP],
    };

    #[test]
    fn nobody_offers_more_than_the_best_or_emulates_in_silence() {
        TOY.covers(&Ttl::Seconds, &[LOOP]).unwrap();
        TOY.covers(&Ttl::None, &[]).unwrap();
        let more = TOY.covers(&Ttl::Milliseconds, &[]).unwrap_err();
        assert!(more.contains("ttl >= milliseconds (has seconds)"), "{more}");
        let silent = TOY.covers(&Ttl::None, &[Emulated { ability: "list", how: "" }]).unwrap_err();
        assert!(silent.contains("emulates list"), "{silent}");
    }

    #[test]
    fn the_table_has_a_line_for_each_backend_and_for_what_is_emulated() {
        let table = table(&[TOY]);
        assert!(table.starts_with("| backend | ttl |\n|---|---|\n"), "{table}");
        assert!(table.contains("\n| `toy:` | seconds; none on Sundays |\n"), "{table}");
        assert!(table.ends_with("\n\n- `toy:` emulates increment: in a loop.\n"), "{table}");
    }
}
