//! The scripts, by what they do.

use connect::redis::{Call, Script as Text};

/// A script of ours.
pub(super) struct Script(Text);

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(static $name: Script =
            Script(Text::new(concat!(include_str!("prelude.lua"), include_str!($file))));)*

        impl Script {
            $(pub(super) const $name: &'static Self = &$name;)*
        }
    };
}

scripts! {
    GET_MANY = "get_many.lua";
    SET = "set.lua";
    SET_MANY = "set_many.lua";
    DELETE = "delete.lua";
    INCREMENT = "increment.lua";
    LIST = "list.lua";
    SWEEP = "sweep.lua";
    LISTEN = "listen.lua";
    TELL = "tell.lua";
    DESTROY = "destroy.lua";
}

impl Script {
    /// Calls it on a shard, through the name of one of its keys.
    pub(super) fn call(&'static self, name: &str, shard: &str) -> Call {
        self.0.call(name).arg(shard)
    }
}
