//! Reads and writes of many at the same time, each of them in one exchange.

use super::plain::Shard;
use super::{Keys, payload, split, strange};
use crate::joined::Together;
use crate::{Store as _, WriteOptions};
use async_trait::async_trait;
use base::Result;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use redis::{Value, cmd};

impl Keys {
    /// [`replace`](Self::replace) for each of several, in one exchange.
    async fn replace_each(
        &self,
        entries: &[(String, Bytes)],
        payloads: &[Vec<u8>],
        known: &Shard,
    ) -> Result<Vec<Result<bool>>> {
        let mut commands = redis::pipe();
        commands.ignore_errors();
        for ((key, _), payload) in entries.iter().zip(payloads) {
            commands.cmd("SET").arg(self.name(key)).arg(payload).arg("XX");
        }
        let answers: Vec<Value> =
            self.server.call(async |connection| commands.query_async(connection).await).await?;
        let is_late = !known.is_unwatched();
        let there = answers.into_iter().zip(entries).zip(payloads).map(async |each| {
            let ((answer, (key, _)), payload) = each;
            let is_there = match answer {
                Value::Okay => true,
                Value::Nil => false,
                Value::ServerError(error) => return Err(self.server.classify(error.into())),
                other => return Err(strange(&other)),
            };
            if is_there && is_late {
                self.tell(key, payload).await?;
            }
            Ok(is_there)
        });
        Ok(there.collect::<FuturesOrdered<_>>().collect().await)
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
        let plain = WriteOptions::default();
        let Some(known) = self.known.first().filter(|known| known.is_plain()) else {
            self.set_many(entries.to_vec(), &plain).await?;
            return Ok(entries.iter().map(|_| Ok(())).collect());
        };
        let write = async {
            let payloads: Vec<_> = entries.iter().map(|(_, value)| payload(value).1).collect();
            let there = self.replace_each(entries, &payloads, known).await?;
            let rest = entries.iter().zip(payloads).zip(there);
            let rest = rest.map(async |(((key, _), payload), there)| match there {
                Ok(true) => {
                    known.has_written(false);
                    Ok(())
                }
                Ok(false) => {
                    let is_new = self.write(key, payload, &plain).await?;
                    known.has_written(is_new);
                    Ok(())
                }
                Err(error) => Err(error),
            });
            Ok(rest.collect::<FuturesOrdered<_>>().collect().await)
        };
        let shard = self.shards.first().map_or("", String::as_str);
        let (written, ()) = tokio::join!(write, self.ask(shard, known));
        written
    }
}
