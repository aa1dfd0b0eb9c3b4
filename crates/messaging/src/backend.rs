//! The brokers. To add one: a file, its `mod`, its line in the list.

#[cfg(feature = "amqp")]
pub mod amqp;
#[cfg(feature = "azure-queue")]
pub mod azure_queue;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(any(
    feature = "amqp",
    feature = "azure-queue",
    feature = "nats",
    feature = "redis",
    feature = "sqs"
))]
mod envelope;
pub mod memory;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(any(feature = "azure-queue", feature = "sqs"))]
mod queues;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(any(
    feature = "amqp",
    feature = "azure-queue",
    feature = "nats",
    feature = "redis",
    feature = "sqs"
))]
mod taker;
#[cfg(any(feature = "amqp", feature = "azure-queue", feature = "nats", feature = "sqs"))]
mod word;

use crate::{Best, Broker};
use base::Entry;
use base::backend::backend;
#[cfg(not(all(
    feature = "amqp",
    feature = "azure-queue",
    feature = "embedded",
    feature = "nats",
    feature = "redis",
    feature = "sqs"
)))]
use base::backend::missing;

/// Every backend that a binding's URL may choose.
pub const BACKENDS: &[Entry<dyn Broker>] = &[
    #[cfg(feature = "amqp")]
    backend::<amqp::Amqp>(),
    #[cfg(not(feature = "amqp"))]
    missing("amqp", &["amqp", "amqps"]),
    #[cfg(feature = "azure-queue")]
    backend::<azure_queue::AzureQueue>(),
    #[cfg(not(feature = "azure-queue"))]
    missing("azure-queue", &["azure-queue", "azure-queues"]),
    #[cfg(feature = "embedded")]
    backend::<embedded::Embedded>(),
    #[cfg(not(feature = "embedded"))]
    missing("embedded", &["embedded"]),
    backend::<memory::Memory>(),
    #[cfg(feature = "nats")]
    backend::<nats::Nats>(),
    #[cfg(not(feature = "nats"))]
    missing("nats", &["nats", "tls"]),
    #[cfg(feature = "redis")]
    backend::<redis::Redis>(),
    #[cfg(not(feature = "redis"))]
    missing("redis", &["redis", "rediss"]),
    #[cfg(feature = "sqs")]
    backend::<sqs::Sqs>(),
    #[cfg(not(feature = "sqs"))]
    missing("sqs", &["sqs", "sqss"]),
];

/// What each of them can offer at most.
pub const BEST: &[Best] = &[
    #[cfg(feature = "amqp")]
    amqp::BEST,
    #[cfg(feature = "azure-queue")]
    azure_queue::BEST,
    #[cfg(feature = "embedded")]
    embedded::BEST,
    memory::BEST,
    #[cfg(feature = "nats")]
    nats::BEST,
    #[cfg(feature = "redis")]
    redis::BEST,
    #[cfg(feature = "sqs")]
    sqs::BEST,
];
