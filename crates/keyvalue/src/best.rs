//! What each backend can offer at most, before any server was asked: for advice and the manual.

use crate::Levels;
use crate::backend::BEST;
use base::offer;

/// The most that a backend offers, and what lowers it.
pub type Best = offer::Best<Levels>;

/// The backends that could offer all that is needed, with the right settings on the right server.
pub fn that_offer(needs: &Levels) -> Vec<&'static str> {
    let would_do = |best: &&Best| best.levels.gaps(needs).is_empty();
    BEST.iter().filter(would_do).map(|best| best.backend).collect()
}

/// The table of offers in the manual, in Markdown.
pub fn table() -> String {
    offer::table(BEST)
}
