//! The levels in which backends say what they can do, and how they are compared.
//!
//! Each contract has its own `Offer` struct made of these; this module only orders and renders
//! them. A level is a promise: what is offered must hold, what is not offered must fail.

mod best;
mod contract;

pub use crate::contract_levels;
pub use best::{Best, Emulated, Levels, table, that_offer};
pub use contract::{Ability, unknown};

use std::fmt;

macro_rules! levels {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $(#[$ldoc:meta])* $lowest:ident = $lword:literal,
            $($(#[$vdoc:meta])* $variant:ident = $word:literal,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(#[$ldoc])* $lowest, $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The lowest level.
            pub const LOWEST: Self = Self::$lowest;
            /// The levels from the lowest to the highest.
            pub const ALL: &'static [Self] = &[Self::$lowest, $(Self::$variant,)*];
            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$lword, $($word,)*];

            /// The word in the deployment file.
            pub fn word(self) -> &'static str {
                match self { Self::$lowest => $lword, $(Self::$variant => $word,)* }
            }

            /// The level that `word` names.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $lword => Some(Self::$lowest),
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    )*};
}

levels! {
    /// What survives when an acknowledged write meets a crash.
    Durability {
        /// Nothing: the data lives in memory.
        None = "none",
        /// A crash of the process, not of the machine.
        OsBuffer = "os-buffer",
        /// A crash of the machine.
        Fsync = "fsync",
        /// The loss of the machine.
        Replicated = "replicated",
    }
    /// How much one write changes as a whole.
    Atomicity {
        /// One key.
        Key = "key",
        /// The keys of one hash slot.
        Slot = "slot",
        /// Every key of the binding.
        Binding = "binding",
    }
    /// How finely time to live is kept.
    Ttl {
        /// Not at all.
        None = "none",
        /// One for the whole binding.
        Binding = "binding",
        /// Per key, in seconds: over at one moment for everybody, never before its time, and within
        /// two seconds after it unless a server fails meanwhile.
        Seconds = "seconds",
        /// Per key, in milliseconds.
        Milliseconds = "milliseconds",
    }
    /// What a listing keeps.
    List {
        /// There is none.
        None = "none",
        /// Every key that stayed, once, in no order.
        Unordered = "unordered",
        /// In the order of the keys' bytes.
        Ordered = "ordered",
        /// In order, as of one moment.
        Snapshot = "snapshot",
    }
    /// What a watcher sees.
    Watch {
        /// There is none.
        None = "none",
        /// Changes while connected; some may be missed.
        BestEffort = "best-effort",
        /// Every change, from a position that can be taken up again.
        Resumable = "resumable",
    }
    /// Where the highest fencing token is kept.
    Fence {
        /// Nowhere: fenced writes are refused.
        None = "none",
        /// On one node, which a fail-over may set back.
        SingleNode = "single-node",
        /// On a quorum.
        Quorum = "quorum",
    }
    /// Whether subscribers share messages.
    Groups {
        /// Each gets everything.
        None = "none",
        /// Those of a group share them on one host at a time, and the group goes on while nobody is
        /// there.
        Host = "host",
        /// Those of a group share them, wherever they are, and the group goes on while nobody is
        /// there.
        Shared = "shared",
    }
    /// Whether a subscription may cover several topics with one word.
    Wildcards {
        /// It names each topic.
        None = "none",
        /// `*` is any word, and `>` all words at the end.
        Words = "words",
    }
    /// When a message comes again that nobody settled.
    Redelivery {
        /// Never.
        None = "none",
        /// When its subscriber is gone.
        Disconnect = "disconnect",
        /// When its deadline has passed, too.
        Deadline = "deadline",
    }
    /// How well it is counted how often a message was handed out.
    Attempts {
        /// Not at all: it is always the first time.
        None = "none",
        /// As long as its subscriber lasts.
        Subscriber = "subscriber",
        /// Whoever gets it.
        Group = "group",
    }
    /// How finely something is put off.
    Delay {
        /// Not at all.
        None = "none",
        /// In seconds.
        Seconds = "seconds",
        /// In milliseconds.
        Milliseconds = "milliseconds",
    }
    /// What is kept of messages for those that come later.
    Replay {
        /// Nothing but what groups wait for.
        None = "none",
        /// What retention has left, from the beginning, a position or a time.
        Log = "log",
    }
    /// Whether a second message with the same id is left out.
    Dedup {
        /// It is not.
        None = "none",
        /// For two minutes at least.
        Window = "window",
    }
    /// Which messages are handed out in their order, unless one has to come again.
    Ordering {
        /// None.
        None = "none",
        /// Those of a topic with the same key, also where one has to come again.
        Key = "key",
        /// Those of a topic.
        Topic = "topic",
    }
    /// Whether messages can be replied to.
    Reply {
        /// They cannot.
        None = "none",
        /// They can.
        Inbox = "inbox",
    }
    /// What a reader may see after a write was acknowledged to another.
    Consistency {
        /// Possibly an older value.
        Eventual = "eventual",
        /// The value, unless the primary just changed.
        Primary = "primary",
        /// The value.
        Linearizable = "linearizable",
    }
}

/// One word in which an offer falls short of a need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which word, e.g. `ttl`.
    pub word: &'static str,
    /// The lowest level that would do.
    pub needs: String,
    /// The level that there is.
    pub has: String,
}

impl Gap {
    /// The gap between what is needed and what there is, if there is one.
    pub fn between<L: Ord + fmt::Display>(word: &'static str, needs: L, has: L) -> Option<Self> {
        (has < needs).then(|| Self { word, needs: needs.to_string(), has: has.to_string() })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} >= {} (has {})", self.word, self.needs, self.has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_gaps_read_well() {
        assert!(Ttl::None < Ttl::Binding && Ttl::Seconds < Ttl::Milliseconds);
        assert_eq!(Ttl::from_word("seconds"), Some(Ttl::Seconds));
        let gap = Gap::between("ttl", Ttl::Milliseconds, Ttl::Binding).unwrap();
        assert_eq!(gap.to_string(), "ttl >= milliseconds (has binding)");
        assert_eq!(Gap::between("ttl", Ttl::Binding, Ttl::Seconds), None);
    }
}
