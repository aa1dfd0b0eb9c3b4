//! Giving memory back to the system when a thread has become quiet.
//!
//! An allocator keeps what a thread freed, for its next burst of work. Only the thread itself can
//! let go of it, and only the program knows its allocator.

use std::sync::OnceLock;

static TRIM: OnceLock<fn()> = OnceLock::new();

/// Says how a thread gives back the memory that it freed. The first word counts.
pub fn trim_with(trim: fn()) {
    TRIM.get_or_init(|| trim);
}

/// Gives back what this thread freed, if the program said how.
pub fn trim() {
    if let Some(trim) = TRIM.get() {
        trim();
    }
}
