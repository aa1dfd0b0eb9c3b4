//! Reads and writes of many at the same time, each of them in one exchange.

use super::{Keys, payload, split, strange};
use crate::joined::Together;
use crate::{Store as _, WriteOptions};
use async_trait::async_trait;
use base::Result;
use bytes::Bytes;
use connect::redis::Connection;
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use redis::{ServerError, ServerErrorKind, Value, cmd};

impl Keys {
    /// [`replace`](Self::replace) for each of several, in one exchange.
    async fn replace_each(
        &self,
        entries: &[(String, Bytes)],
        payloads: &[Vec<u8>],
    ) -> Result<Vec<Result<bool>>> {
        let mut commands = redis::pipe();
        commands.ignore_errors();
        for ((key, _), payload) in entries.iter().zip(payloads) {
            commands.cmd("SET").arg(self.name(key)).arg(payload).arg("XX");
        }
        let exchange = async |connection: &mut Connection| {
            let answers: Vec<Value> = commands.query_async(connection).await?;
            // Whoever became a replica is no longer asked.
            let is_replica = |error: &ServerError| error.kind() == Some(ServerErrorKind::ReadOnly);
            let refusal = answers.iter().find_map(|answer| match answer {
                Value::ServerError(error) if is_replica(error) => Some(error.clone()),
                _ => None,
            });
            refusal.map_or(Ok(answers), |refusal| Err(refusal.into()))
        };
        let answers = self.server.call(exchange).await?;
        let is_there = |answer| match answer {
            Value::Okay => Ok(true),
            Value::Nil => Ok(false),
            Value::ServerError(error) => Err(self.server.classify(error.into())),
            other => Err(strange(&other)),
        };
        Ok(answers.into_iter().map(is_there).collect())
    }
}

#[async_trait]
impl Together for Keys {
    fn server(&self) -> &str {
        self.server.server()
    }

    /// Of one shard.
    async fn get_each(&self, keys: &[String], _most: usize) -> Result<Vec<Option<Bytes>>> {
        // Whoever asks for one value has room for it.
        let mut command = cmd("MGET");
        for key in keys {
            command.arg(self.name(key));
        }
        let found: Vec<Option<Vec<u8>>> = self.server.read(&command).await?;
        let value = |(key, stored): (&String, Option<Vec<u8>>)| {
            Ok(stored.map(|stored| split(key, stored)).transpose()?.map(|stored| stored.value))
        };
        keys.iter().zip(found).map(value).collect()
    }

    /// Into one shard.
    async fn put_each(&self, entries: &[(String, Bytes)]) -> Result<Vec<Result<()>>> {
        let Some((known, shard)) = self.known.first().zip(self.shards.first()) else {
            return Ok(Vec::new());
        };
        let payloads: Vec<_> = entries.iter().map(|(_, value)| payload(value).1).collect();
        let names = || entries.iter().map(|(key, _)| key.as_str()).zip(payloads.iter());
        let write = async {
            if !known.is_plain() {
                self.set_many(entries.to_vec(), &WriteOptions::default()).await?;
                // It does not say which of them were new. After some a plain one is tried again.
                known.has_written(false);
                return Ok(entries.iter().map(|_| Ok(false)).collect());
            }
            let there = self.replace_each(entries, &payloads).await?;
            let all = names().zip(there).map(async |((key, payload), there)| {
                self.finish((key, payload), there?, known).await
            });
            Ok(all.collect::<FuturesOrdered<_>>().collect::<Vec<_>>().await)
        };
        let (written, ()) = tokio::join!(write, self.ask(shard, known));
        let told = names().zip(written?).map(async |((key, payload), written)| match written? {
            true => self.tell(key, payload, known).await,
            false => Ok(()),
        });
        Ok(told.collect::<FuturesOrdered<_>>().collect().await)
    }
}
