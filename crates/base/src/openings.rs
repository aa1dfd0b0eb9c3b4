//! What backends inside this process have open, so that opening one again finds it.
//!
//! While a deployment is replaced by its successor both have the same bindings open.

use crate::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// What is open, by what tells it apart.
pub struct Openings<K, T>(Mutex<BTreeMap<K, Opening<T>>>);

/// Kept by what was opened for as long as opening the same again has to wait.
pub type Held = Arc<()>;

struct Opening<T> {
    store: Weak<T>,
    held: Weak<()>,
}

impl<K: Ord, T> Default for Openings<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, T> Openings<K, T> {
    /// Nothing is open.
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// What is open under `key`, or what `open` makes. Blocks while a former
    /// one is still closing.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn find_or<E>(
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
