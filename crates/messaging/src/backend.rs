//! The brokers. To add one: a file, its `mod`, its line in the list.

#[cfg(feature = "amqp")]
pub mod amqp;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(any(feature = "amqp", feature = "nats", feature = "redis"))]
mod envelope;
pub mod memory;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "amqp", feature = "nats", feature = "postgres", feature = "redis"))]
mod taker;
#[cfg(any(feature = "amqp", feature = "nats"))]
mod word;

use crate::{Best, Broker};
use base::Entry;
use base::backend::backend;
#[cfg(not(all(
    feature = "amqp",
    feature = "embedded",
    feature = "nats",
    feature = "postgres",
    feature = "redis"
)))]
use base::backend::missing;

/// Every backend that a binding's URL may choose.
pub const BACKENDS: &[Entry<dyn Broker>] = &[
    #[cfg(feature = "amqp")]
    backend::<amqp::Amqp>(),
    #[cfg(not(feature = "amqp"))]
    missing("amqp", &["amqp", "amqps"]),
    #[cfg(feature = "embedded")]
    backend::<embedded::Embedded>(),
    #[cfg(not(feature = "embedded"))]
    missing("embedded", &["embedded"]),
    backend::<memory::Memory>(),
    #[cfg(feature = "nats")]
    backend::<nats::Nats>(),
    #[cfg(not(feature = "nats"))]
    missing("nats", &["nats", "tls"]),
    #[cfg(feature = "postgres")]
    backend::<postgres::Postgres>(),
    #[cfg(not(feature = "postgres"))]
    missing("postgres", &["postgres", "postgresql"]),
    #[cfg(feature = "redis")]
    backend::<redis::Redis>(),
    #[cfg(not(feature = "redis"))]
    missing("redis", &["redis", "rediss"]),
];

/// What each of them can offer at most.
pub const BEST: &[Best] = &[
    #[cfg(feature = "amqp")]
    amqp::BEST,
    #[cfg(feature = "embedded")]
    embedded::BEST,
    memory::BEST,
    #[cfg(feature = "nats")]
    nats::BEST,
    #[cfg(feature = "postgres")]
    postgres::BEST,
    #[cfg(feature = "redis")]
    redis::BEST,
];
