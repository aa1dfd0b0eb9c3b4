//! The scripts, by what they do.

use connect::redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($part:literal),+;)*) => {
        $($(#[$doc])* pub(super) static $name: Script =
            Script::new(concat!(include_str!("prelude.lua"), $(include_str!($part)),+));)*
    };
}

scripts! {
    /// Takes messages in.
    PUBLISH = "publish.lua";
    /// Finds a group or makes it, and has it cover its topics.
    JOIN = "join.lua";
    /// Hands messages of a group out.
    TAKE = "group.lua", "take.lua";
    /// Takes verdicts.
    SETTLE = "group.lua", "settle.lua";
    /// Forgets a group.
    FORGET = "remove.lua", "forget.lua";
    /// Removes what nobody needs any more.
    SWEEP = "remove.lua", "sweep.lua";
    /// Removes everything.
    DESTROY = "remove.lua", "destroy.lua";
}
