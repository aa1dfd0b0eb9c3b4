//! The levels in which backends say what they can do, and how they are compared.
//!
//! Each contract has its own `Offer` struct made of these; this module only orders and renders
//! them. A level is a promise: what is offered must hold, what is not offered must fail.

mod best;

pub use best::{Best, Emulated, Levels, table};

use std::fmt;

macro_rules! levels {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The levels from the lowest to the highest.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in the deployment file.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The level that `word` names.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
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
