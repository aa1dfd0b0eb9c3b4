//! Writes by one plain command, where a script has nothing to add.
//!
//! Most writes ask for nothing and replace an entry that is there. Then the index is right as it
//! is, and if nobody watches there is nobody to tell. Whether an entry is there the command itself
//! says. That nobody watches is known for a while once the server has said so: a watcher waits for
//! [`GRACE`] before it is said to watch, and a write that was acknowledged within [`KNOWN`] of the
//! question came before that, however long it was on its way.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a watcher waits until all hosts know of it.
pub(super) const GRACE: Duration = Duration::from_millis(250);
/// How long it counts that nobody watched. Shorter, because clocks do not run at the same speed.
const KNOWN: Duration = Duration::from_millis(200);
/// The server is asked again before that is over.
const ASKED: Duration = Duration::from_millis(100);

/// New entries among the last ones from which on a plain command is not worth a try.
const NEW: u32 = 4;
/// How long new entries are remembered, in entries that were there.
const MEMORY: u32 = 16;

/// What one host knows of one shard.
pub(super) struct Shard {
    start: Instant,
    /// When the server was asked that said last that nobody watches, in nanoseconds after the
    /// start; 0 if somebody does, or nobody asked.
    unwatched: AtomicU64,
    asking: AtomicBool,
    /// How many of the last entries that were written were new.
    new: AtomicU32,
}

/// A question whether somebody watches. There is one at a time.
pub(super) struct Question<'a> {
    shard: &'a Shard,
    begun: u64,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            unwatched: AtomicU64::new(0),
            asking: AtomicBool::new(false),
            new: AtomicU32::new(0),
        }
    }

    /// Whether a write that ends now came before any watcher that is not known here.
    pub(super) fn is_unwatched(&self) -> bool {
        self.age().is_some_and(|age| age < KNOWN)
    }

    /// Whether a plain command is likely to do.
    pub(super) fn is_plain(&self) -> bool {
        self.is_unwatched() && self.new.load(Relaxed) < NEW
    }

    /// The question that is due, if nobody asks it already.
    pub(super) fn question(&self) -> Option<Question<'_>> {
        let is_due = self.age().is_none_or(|age| age >= ASKED);
        let begins = is_due && !self.asking.swap(true, Relaxed);
        begins.then(|| Question { shard: self, begun: self.now() })
    }

    /// Takes note of whether an entry that was written was new.
    pub(super) fn has_written(&self, is_new: bool) {
        let new = self.new.load(Relaxed);
        // A guess, which need not count what happens at the same time.
        match is_new {
            true => self.new.store((new + 1).min(MEMORY), Relaxed),
            false if new > 0 => self.new.store(new - 1, Relaxed),
            false => {}
        }
    }

    fn age(&self) -> Option<Duration> {
        match self.unwatched.load(Relaxed) {
            0 => None,
            asked => Some(Duration::from_nanos(self.now().saturating_sub(asked))),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

impl Question<'_> {
    /// The server's answer.
    pub(super) fn answer(self, is_watched: bool) {
        let asked = if is_watched { 0 } else { self.begun };
        self.shard.unwatched.store(asked, Relaxed);
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.shard.asking.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_is_not_known() {
        let shard = Shard::new();
        assert!(!shard.is_unwatched());
        let question = shard.question().unwrap();
        assert!(shard.question().is_none(), "one question at a time");
        drop(question);
        assert!(!shard.is_unwatched());
        shard.question().unwrap().answer(true);
        assert!(!shard.is_unwatched());
        shard.question().unwrap().answer(false);
        assert!(shard.is_unwatched() && shard.is_plain());
        assert!(shard.question().is_none(), "nothing is due yet");
    }

    #[tokio::test]
    async fn what_counts_is_when_the_question_was_asked() {
        let shard = Shard::new();
        let question = shard.question().unwrap();
        tokio::time::sleep(KNOWN).await;
        question.answer(false);
        assert!(!shard.is_unwatched());
    }

    #[test]
    fn who_writes_new_entries_is_not_plain() {
        let shard = Shard::new();
        shard.question().unwrap().answer(false);
        for _ in 0..NEW {
            assert!(shard.is_plain());
            shard.has_written(true);
        }
        assert!(!shard.is_plain());
        shard.has_written(false);
        assert!(shard.is_plain());
    }
}
