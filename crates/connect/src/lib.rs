//! One client per vendor, shared by the capabilities; and TLS, shared by everything.

#[cfg(feature = "amqp")]
pub mod amqp;
#[cfg(feature = "azure-queue")]
pub mod azure_queue;
pub mod batcher;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod gate;
#[cfg(any(feature = "azure-queue", feature = "sqs"))]
mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(any(feature = "amqp", feature = "nats"))]
mod line;
#[cfg(any(
    feature = "amqp",
    feature = "azure-queue",
    feature = "etcd",
    feature = "kafka",
    feature = "memcached",
    feature = "mqtt",
    feature = "mysql",
    feature = "nats",
    feature = "postgres",
    feature = "redis",
    feature = "sqs"
))]
mod look;
#[cfg(feature = "memcached")]
pub mod memcached;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "mysql")]
pub mod mysql;
pub mod names;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqs")]
pub mod sqs;
pub mod tls;
#[cfg(any(
    feature = "amqp",
    feature = "azure-queue",
    feature = "etcd",
    feature = "kafka",
    feature = "memcached",
    feature = "mqtt",
    feature = "sqs"
))]
mod url;
pub mod version;
