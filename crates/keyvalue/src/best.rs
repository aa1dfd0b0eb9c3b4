//! What each backend can offer at most, before any server was asked: for advice and the manual.

use crate::backend::BEST;
use crate::{Levels, Offer};
use std::fmt::Write as _;

/// The most that a backend offers, and what lowers it.
#[derive(Clone, Copy, Debug)]
pub struct Best {
    /// The backend's name.
    pub backend: &'static str,
    /// The highest level of each ability.
    pub levels: Levels,
    /// The words that settings or servers lower: what is left, and when.
    pub lowered: &'static [(&'static str, &'static str)],
    /// What is emulated, and how.
    pub emulated: &'static [(&'static str, &'static str)],
}

/// The backends that could offer all that is needed, with the right settings on the right server.
pub fn that_offer(needs: &Levels) -> Vec<&'static str> {
    let would_do = |best: &&Best| best.levels.gaps(needs).is_empty();
    BEST.iter().filter(would_do).map(|best| best.backend).collect()
}

/// The table of offers in the manual, in Markdown: a line for each backend, a column for each word.
pub fn table() -> String {
    let mut table = String::from("| backend |");
    let columns = Levels::WORDS.iter().map(|word| format!(" {word} |"));
    table.extend(columns);
    table.push_str("\n|---|");
    table.extend(Levels::WORDS.map(|_| "---|"));
    for best in BEST {
        // Writing to a string cannot fail.
        _ = write!(table, "\n| `{}:` |", best.backend);
        for (word, level) in best.levels.rows() {
            let lowered = best.lowered.iter().filter(|(of, _)| *of == word);
            let lowered: Vec<_> = lowered.map(|(_, how)| format!("; {how}")).collect();
            _ = write!(table, " {level}{} |", lowered.concat());
        }
    }
    table.push('\n');
    for best in BEST {
        for (ability, how) in best.emulated {
            _ = write!(table, "\n- `{}:` emulates {ability}: {how}.", best.backend);
        }
    }
    table.push('\n');
    table
}

impl Best {
    /// Whether an open store keeps to it: it offers no more, and emulates what is said here.
    ///
    /// # Errors
    /// What does not hold, as a sentence.
    pub fn covers(&self, offer: &Offer) -> Result<(), String> {
        if let Some(gap) = self.levels.gaps(&offer.levels).first() {
            return Err(format!("it offers more than its best: {gap}"));
        }
        for emulated in &offer.emulated {
            if !self.emulated.iter().any(|(ability, _)| *ability == emulated.ability) {
                return Err(format!("it emulates {}, and does not say so", emulated.ability));
            }
        }
        Ok(())
    }
}
