//! What each backend can offer at most, before any server was asked: for the manual.

use crate::Levels;
use crate::backend::BEST;
use base::offer;

/// The most that a backend offers, and what lowers it.
pub type Best = offer::Best<Levels>;

/// The table of offers in the manual, in Markdown.
pub fn table() -> String {
    offer::table(BEST)
}
