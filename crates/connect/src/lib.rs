//! One client per vendor, shared by the capabilities; and TLS, shared by everything.

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod batcher;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod gate;
#[cfg(any(feature = "amqp", feature = "nats"))]
mod line;
#[cfg(any(
    feature = "amqp",
    feature = "etcd",
    feature = "memcached",
    feature = "mysql",
    feature = "nats",
    feature = "postgres",
    feature = "redis"
))]
mod look;
#[cfg(feature = "memcached")]
pub mod memcached;
#[cfg(feature = "mysql")]
pub mod mysql;
pub mod names;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod tls;
#[cfg(any(feature = "amqp", feature = "etcd", feature = "memcached"))]
mod url;
pub mod version;
