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

/// How many times a thread gives memory back after it was busy. What it allocated may be freed by
/// others, and late: instances that wait for their next request let go of theirs after a while.
const TIMES: u32 = 6;

/// When a thread gives memory back.
#[derive(Debug, Default)]
pub struct Trimmer {
    times: u32,
}

impl Trimmer {
    /// The thread had much to do since it was last asked.
    pub fn was_busy(&mut self) {
        self.times = TIMES;
    }

    /// The thread had little to do for some seconds. Gives back what it freed, or others freed for
    /// it, if the program said how.
    pub fn was_quiet(&mut self) {
        if self.times > 0 {
            self.times -= 1;
            trim();
        }
    }
}
