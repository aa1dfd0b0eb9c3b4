//! Compare-and-swap by version.

use super::held::Charge;
use super::operations::{Host, Result};
use crate::{Expect, Store, Version, WriteOptions, is_unmet};
use bytes::Bytes;
use std::sync::Arc;

/// A key as it was when the handle was made: the resource `cas`.
pub struct Cas {
    store: Arc<dyn Store>,
    key: String,
    seen: Option<Seen>,
}

/// What the key had. The value is kept, so that it is always the one of the version.
struct Seen {
    version: Version,
    value: Bytes,
    _charge: Charge,
}

/// How a swap ends if nothing failed.
pub(super) enum Swap {
    Done,
    /// Another write came first; the key as it is now.
    Late(Cas),
}

impl Cas {
    pub(super) async fn new(
        host: &mut Host<'_>,
        store: Arc<dyn Store>,
        key: String,
    ) -> Result<Self> {
        let seen = match host.call("cas", store.versioned(&key)).await? {
            Some(found) => {
                let _charge = host.state.held.take(found.value.len())?;
                Some(Seen { version: found.version, value: found.value, _charge })
            }
            None => None,
        };
        Ok(Self { store, key, seen })
    }

    pub(super) fn current(&self) -> Option<&Bytes> {
        self.seen.as_ref().map(|seen| &seen.value)
    }

    pub(super) async fn swap(self, host: &mut Host<'_>, value: Bytes) -> Result<Swap> {
        let Self { store, key, seen } = self;
        let expect = seen.map_or(Expect::Absent, |seen| Expect::Version(seen.version));
        let options = WriteOptions::expecting(expect);
        match host.call("swap", store.set(&key, value, &options)).await {
            Ok(_version) => Ok(Swap::Done),
            Err(error) if is_unmet(&error) => Ok(Swap::Late(Self::new(host, store, key).await?)),
            Err(error) => Err(error.into()),
        }
    }
}
