//! Scripts that run on the server in one step, and how they are called.

use super::Redis;
use base::Result;
use redis::{Cmd, ErrorKind, ServerErrorKind, ToRedisArgs, Value, cmd};
use std::sync::OnceLock;

/// A script. The server knows it by its digest once it has seen it.
pub struct Script {
    text: &'static str,
    read: OnceLock<redis::Script>,
}

impl Script {
    /// The script that is written so.
    pub const fn new(text: &'static str) -> Self {
        Self { text, read: OnceLock::new() }
    }

    fn read(&self) -> &redis::Script {
        self.read.get_or_init(|| redis::Script::new(self.text))
    }

    /// A call of it. In a cluster it goes to whoever has this key, and all keys that it uses are in
    /// the same slot.
    pub fn call(&'static self, key: &str) -> Call {
        let mut command = cmd("EVALSHA");
        command.arg(self.read().get_hash()).arg(1).arg(key);
        Call { script: self, command }
    }
}

/// A call of a script, while its arguments are put together.
pub struct Call {
    script: &'static Script,
    command: Cmd,
}

impl Call {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    /// Makes the call.
    ///
    /// # Errors
    /// As [`Redis::query`].
    pub async fn run(&self, server: &Redis) -> Result<Value> {
        let Self { script, command } = self;
        server
            .call(async |connection| {
                match command.query_async(connection).await {
                    // A server that was restarted has forgotten it. Nothing happened yet.
                    Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                        script.read().load_async(connection).await?;
                        command.query_async(connection).await
                    }
                    answer => answer,
                }
            })
            .await
    }
}
