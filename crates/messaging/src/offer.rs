//! What a broker can do, in levels, and how it falls short of a need.

use base::offer::{
    self, Attempts, Dedup, Delay, Durability, Emulated, Groups, Ordering, Redelivery, Replay,
    Reply, Wildcards,
};
use std::borrow::Cow;

offer::contract_levels! {
    /// The level of each ability: what a broker offers, or the lowest that a component needs.
    Levels {
        /// What survives when an acknowledged publication meets a crash.
        durability: Durability,
        /// Whether subscribers share messages.
        groups: Groups,
        /// Whether a subscription may cover several topics with one word.
        wildcards: Wildcards,
        /// When a message comes again that nobody settled.
        redelivery: Redelivery,
        /// How well it is counted how often a message was handed out.
        attempts: Attempts,
        /// How finely giving a message back is put off.
        retry: Delay,
        /// How finely a publication is put off.
        delay: Delay,
        /// What is kept for those that come later.
        replay: Replay,
        /// Whether a second message with the same id is left out.
        dedup: Dedup,
        /// Which messages are handed out in their order.
        ordering: Ordering,
        /// Whether messages can be replied to.
        request: Reply,
    }
}

/// What a broker can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The backend and its version: `nats 2.9.10`. For people.
    pub backend: Cow<'static, str>,
    /// The levels.
    pub levels: Levels,
    /// The most bytes in a message, its headers among them.
    pub max_message: usize,
    /// What is emulated, and how.
    pub emulated: Vec<Emulated>,
}

impl Offer {
    /// The usual most bytes in a message.
    pub const MAX_MESSAGE: usize = 8 << 20;

    /// The lines of the table that `check` prints: ability, what there is.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = offer::Levels::rows(&self.levels);
        rows.push(("max-message", base::units::Size(self.max_message as u64).to_string()));
        rows.extend(self.emulated.iter().map(Emulated::row));
        rows
    }
}
