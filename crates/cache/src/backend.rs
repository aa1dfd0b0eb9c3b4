//! The cache backends. To add one: a file, its `mod`, its line in the list.

#[cfg(feature = "memcached")]
pub mod memcached;
pub mod memory;
pub mod none;
#[cfg(feature = "redis")]
pub mod redis;
pub mod tiered;

use crate::{Best, Cache};
use base::Entry;
use base::backend::backend;
#[cfg(not(all(feature = "memcached", feature = "redis")))]
use base::backend::missing;

/// Every backend that a binding's URL may choose.
pub const BACKENDS: &[Entry<dyn Cache>] = &[
    backend::<memory::Memory>(),
    backend::<none::None>(),
    #[cfg(feature = "memcached")]
    backend::<memcached::Memcached>(),
    #[cfg(not(feature = "memcached"))]
    missing("memcached", &["memcached", "memcacheds"]),
    #[cfg(feature = "redis")]
    backend::<redis::Redis>(),
    #[cfg(not(feature = "redis"))]
    missing("redis", &["redis", "rediss"]),
    backend::<tiered::Tiered>(),
];

/// What each of them can offer at most.
pub const BEST: &[Best] = &[
    memory::BEST,
    none::BEST,
    #[cfg(feature = "memcached")]
    memcached::BEST,
    #[cfg(feature = "redis")]
    redis::BEST,
    tiered::BEST,
];

/// Whether a vacancy may be out for that long.
fn check_vacancy_timeout(timeout: std::time::Duration) -> Result<(), String> {
    match timeout.is_zero() {
        true => Err("a vacancy is out for some time, so `vacancy-timeout` is not zero".to_owned()),
        false => Ok(()),
    }
}
