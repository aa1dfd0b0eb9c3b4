//! The brokers. To add one: a file, its `mod`, its line in the list.

#[cfg(feature = "amqp")]
pub mod amqp;
#[cfg(feature = "azure-queue")]
pub mod azure_queue;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "remote")]
mod envelope;
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "azure-queue", feature = "sqs"))]
mod queues;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "remote")]
mod taker;
#[cfg(feature = "remote")]
mod word;

use crate::{Best, Broker};
use base::{Entry, backend};

/// Every backend that a binding's URL may choose.
pub const BACKENDS: &[Entry<dyn Broker>] = &[
    #[cfg(feature = "amqp")]
    backend::backend::<amqp::Amqp>(),
    #[cfg(not(feature = "amqp"))]
    backend::missing("amqp", &["amqp", "amqps"]),
    #[cfg(feature = "azure-queue")]
    backend::backend::<azure_queue::AzureQueue>(),
    #[cfg(not(feature = "azure-queue"))]
    backend::missing("azure-queue", &["azure-queue", "azure-queues"]),
    #[cfg(feature = "embedded")]
    backend::backend::<embedded::Embedded>(),
    #[cfg(not(feature = "embedded"))]
    backend::missing("embedded", &["embedded"]),
    backend::backend::<file::File>(),
    #[cfg(feature = "kafka")]
    backend::backend::<kafka::Kafka>(),
    #[cfg(not(feature = "kafka"))]
    backend::missing("kafka", &["kafka"]),
    backend::backend::<memory::Memory>(),
    #[cfg(feature = "mqtt")]
    backend::backend::<mqtt::Mqtt>(),
    #[cfg(not(feature = "mqtt"))]
    backend::missing("mqtt", &["mqtt", "mqtts"]),
    #[cfg(feature = "nats")]
    backend::backend::<nats::Nats>(),
    #[cfg(not(feature = "nats"))]
    backend::missing("nats", &["nats", "tls"]),
    #[cfg(feature = "postgres")]
    backend::backend::<postgres::Postgres>(),
    #[cfg(not(feature = "postgres"))]
    backend::missing("postgres", &["postgres", "postgresql"]),
    #[cfg(feature = "redis")]
    backend::backend::<redis::Redis>(),
    #[cfg(not(feature = "redis"))]
    backend::missing("redis", &["redis", "rediss"]),
    #[cfg(feature = "sqs")]
    backend::backend::<sqs::Sqs>(),
    #[cfg(not(feature = "sqs"))]
    backend::missing("sqs", &["sqs", "sqss"]),
];

/// What each of them can offer at most.
pub const BEST: &[Best] = &[
    #[cfg(feature = "amqp")]
    amqp::BEST,
    #[cfg(feature = "azure-queue")]
    azure_queue::BEST,
    #[cfg(feature = "embedded")]
    embedded::BEST,
    file::BEST,
    #[cfg(feature = "kafka")]
    kafka::BEST,
    memory::BEST,
    #[cfg(feature = "mqtt")]
    mqtt::BEST,
    #[cfg(feature = "nats")]
    nats::BEST,
    #[cfg(feature = "postgres")]
    postgres::BEST,
    #[cfg(feature = "redis")]
    redis::BEST,
    #[cfg(feature = "sqs")]
    sqs::BEST,
];
