//! The key-value backends. To add one: a file, its `mod`, its line in the list.

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;

use crate::{Best, Store};
use base::Entry;
use base::backend::backend;
#[cfg(not(all(
    feature = "embedded",
    feature = "etcd",
    feature = "mysql",
    feature = "nats",
    feature = "postgres",
    feature = "redis"
)))]
use base::backend::missing;

/// Every backend that a binding's URL may choose.
pub const BACKENDS: &[Entry<dyn Store>] = &[
    #[cfg(feature = "embedded")]
    backend::<embedded::Embedded>(),
    #[cfg(not(feature = "embedded"))]
    missing("embedded", &["embedded"]),
    #[cfg(feature = "etcd")]
    backend::<etcd::Etcd>(),
    #[cfg(not(feature = "etcd"))]
    missing("etcd", &["etcd", "etcds"]),
    backend::<memory::Memory>(),
    #[cfg(feature = "mysql")]
    backend::<mysql::Mysql>(),
    #[cfg(not(feature = "mysql"))]
    missing("mysql", &["mysql", "mariadb"]),
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
    #[cfg(feature = "embedded")]
    embedded::BEST,
    #[cfg(feature = "etcd")]
    etcd::BEST,
    memory::BEST,
    #[cfg(feature = "mysql")]
    mysql::BEST,
    #[cfg(feature = "nats")]
    nats::BEST,
    #[cfg(feature = "postgres")]
    postgres::BEST,
    #[cfg(feature = "redis")]
    redis::BEST,
];
