//! The stores that this process has open, so that opening one again finds it.
//!
//! While a deployment is replaced by its successor both have the same bindings open.

use super::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// Open stores by what tells them apart.
pub(crate) struct Openings<K, T>(Mutex<BTreeMap<K, Opening<T>>>);

/// Kept by a store for as long as opening the same again has to wait.
pub(crate) type Held = Arc<()>;

struct Opening<T> {
    store: Weak<T>,
    held: Weak<()>,
}

impl<K: Ord, T> Openings<K, T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The store that is open under `key`, or the one that `open` makes. Blocks while a former
    /// one is still closing.
    pub(crate) fn find_or<E>(
        &self,
        key: K,
        open: impl FnOnce(Held) -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        let mut openings = lock(&self.0);
        if let Some(opening) = openings.get(&key) {
            if let Some(store) = opening.store.upgrade() {
                return Ok(store);
            }
            while opening.held.strong_count() > 0 {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        openings
            .retain(|_, opening| opening.held.strong_count() + opening.store.strong_count() > 0);
        let held = Held::default();
        let weak = Arc::downgrade(&held);
        let store = open(held)?;
        openings.insert(key, Opening { store: Arc::downgrade(&store), held: weak });
        Ok(store)
    }
}
