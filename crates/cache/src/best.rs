//! What each backend can offer at most, before any server was asked: for advice and the manual.

use crate::Levels;
use crate::backend::BEST;
use base::offer;

/// The most that a backend offers, and what lowers it.
pub type Best = offer::Best<Levels>;

/// The backends that could offer all that is needed, with the right settings on the right server.
pub fn that_offer(needs: &Levels) -> Vec<&'static str> {
    offer::that_offer(BEST, needs)
}

/// The table of offers in the manual, in Markdown.
pub fn table() -> String {
    offer::table(BEST)
}
