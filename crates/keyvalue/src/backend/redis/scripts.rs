//! The scripts, and how they are called.

use base::Result;
use connect::redis::Redis as Server;
use redis::{Cmd, ErrorKind, ServerErrorKind, ToRedisArgs, Value, cmd};
use std::sync::LazyLock;

/// A script of ours. The server knows it by its digest once it has seen it.
pub(super) struct Script(LazyLock<redis::Script>);

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(static $name: Script = Script(LazyLock::new(|| {
            redis::Script::new(concat!(include_str!("prelude.lua"), include_str!($file)))
        }));)*

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

/// A call of a script, while its arguments are put together.
pub(super) struct Call {
    script: &'static Script,
    command: Cmd,
}

impl Script {
    /// Calls it on a shard, through the name of one of its keys.
    pub(super) fn call(&'static self, name: &str, shard: &str) -> Call {
        let mut command = cmd("EVALSHA");
        command.arg(self.0.get_hash()).arg(1).arg(name).arg(shard);
        Call { script: self, command }
    }
}

impl Call {
    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) async fn run(self, server: &Server) -> Result<Value> {
        let Self { script, command } = &self;
        server
            .call(async |connection| {
                match command.query_async(connection).await {
                    // A server that was restarted has forgotten it. Nothing happened yet.
                    Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                        script.0.load_async(connection).await?;
                        command.query_async(connection).await
                    }
                    answer => answer,
                }
            })
            .await
    }
}
