//! What publishes: one producer of librdkafka, and another when that has failed for good.

use super::{Context, Kafka, drop_elsewhere, milliseconds};
use base::{Error, Result, lock, within};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::message::Timestamp;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::{Arc, Mutex};

/// A message waits so long for others to go with it. Short, for who publishes one after the other
/// waits for each.
const LINGER: &str = "1";
/// So many KiB wait to be sent at most; more are refused.
const QUEUE: &str = "65536";
/// A batch has so many bytes at most.
const BATCH: usize = 1_000_000;

type Producer = FutureProducer<Context>;

/// Publishes to the servers of one [`Kafka`].
pub struct Publisher {
    config: rdkafka::ClientConfig,
    context: Context,
    current: Mutex<Option<Arc<Producer>>>,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which part of the topic has it.
    pub partition: i32,
    /// Its number there.
    pub offset: i64,
    /// When it was published, in milliseconds since 1970.
    pub time: Option<i64>,
}

impl Publisher {
    /// What publishes messages of at most `most` bytes.
    pub fn new(server: &Kafka, most: usize) -> Self {
        let mut config = server.config();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // It is given up about when its caller is told so: nothing is sent long after that.
            .set("message.timeout.ms", milliseconds(server.patience()))
            .set("linger.ms", LINGER)
            .set("queue.buffering.max.kbytes", QUEUE)
            .set("message.max.bytes", most.max(1000).to_string())
            .set("batch.size", most.clamp(1000, BATCH).to_string())
            // As programs in Java do it.
            .set("partitioner", "murmur2_random");
        Self { config, context: server.context(), current: Mutex::default() }
    }

    /// Takes a message in, in the order of these calls, and returns what waits for its outcome.
    ///
    /// # Errors
    /// `Exhausted` where too much waits to be sent. Of the outcome: what a broker says, and that
    /// none is there: then nobody knows.
    pub fn send<'a>(
        &self,
        server: &'a Kafka,
        record: FutureRecord<'_, [u8], [u8]>,
    ) -> Result<impl Future<Output = Result<Stored>> + Send + use<'a, '_>> {
        let producer = self.producer(server)?;
        let sent = producer.send_result(record).map_err(|(error, _)| {
            self.look_at(&producer);
            server.error(error)
        })?;
        Ok(async move {
            // The client looks each second alone for what took too long.
            let Ok(outcome) = within(server.patience(), sent).await else {
                return Err(server.silence());
            };
            match outcome {
                Ok(Ok(delivery)) => {
                    self.context.is_well();
                    let time = match delivery.timestamp {
                        Timestamp::NotAvailable => None,
                        Timestamp::CreateTime(time) | Timestamp::LogAppendTime(time) => Some(time),
                    };
                    Ok(Stored { partition: delivery.partition, offset: delivery.offset, time })
                }
                Ok(Err((error, _))) => {
                    self.look_at(&producer);
                    let code = error.rdkafka_error_code();
                    let error = server.error(error);
                    match code {
                        Some(
                            RDKafkaErrorCode::UnknownTopicOrPartition
                            | RDKafkaErrorCode::UnknownTopic
                            | RDKafkaErrorCode::UnknownPartition,
                        ) => Err(error
                            .context("the topic is gone")
                            .with_hint("restart what uses it, if that was not meant")),
                        _ => Err(error),
                    }
                }
                Err(_gone) => {
                    Err(Error::unavailable(format!("{}: publishing ended", server.server())))
                }
            }
        })
    }

    fn producer(&self, server: &Kafka) -> Result<Arc<Producer>> {
        let mut current = lock(&self.current);
        if let Some(producer) = &*current {
            return Ok(Arc::clone(producer));
        }
        let made = Producer::from_config_and_context(&self.config, self.context.clone());
        let made = Arc::new(made.map_err(|error| server.error(error))?);
        *current = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Gives up a producer that will not publish any more: its numbers and those of a broker that
    /// lost messages do not go together.
    fn look_at(&self, producer: &Arc<Producer>) {
        let Some((_, reason)) = producer.client().fatal_error() else { return };
        let mut current = lock(&self.current);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, producer)) {
            tracing::warn!(server = self.context.server(), reason, "publishing begins anew");
            drop_elsewhere(current.take());
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        drop_elsewhere(lock(&self.current).take());
    }
}
