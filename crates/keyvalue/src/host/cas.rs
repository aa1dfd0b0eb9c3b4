//! Compare-and-swap by version.

use super::operations::{ATTEMPTS, Client, outrun};
use crate::{Expect, Version, Versioned, WriteOptions, is_unmet};
use base::{Error, Result};
use bytes::Bytes;
use engine::Charge;

/// A key as it was when the handle was made: the resource `cas`.
pub struct Cas {
    client: Client,
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
pub(super) enum Swap<Now> {
    Done,
    /// Another write came first; the key as it is now.
    Late(Now),
}

impl Cas {
    pub(super) async fn new(client: Client, key: String) -> Result<Self> {
        let seen = match client.versioned(&key).await? {
            Some(Versioned { value, version }) => {
                let _charge = client.hold(value.len())?;
                Some(Seen { version, value, _charge })
            }
            None => None,
        };
        Ok(Self { client, key, seen })
    }

    pub(super) fn current(&self) -> Option<&Bytes> {
        self.seen.as_ref().map(|seen| &seen.value)
    }

    pub(super) async fn swap(self, value: Bytes) -> Result<Swap<Self>> {
        let Self { client, key, seen } = self;
        let expect = seen.map_or(Expect::Absent, |seen| Expect::Version(seen.version));
        match client.set(&key, value, &WriteOptions::expecting(expect)).await {
            Ok(_version) => Ok(Swap::Done),
            Err(error) if is_unmet(&error) => Ok(Swap::Late(Self::new(client, key).await?)),
            Err(error) => Err(error),
        }
    }
}

/// What must hold for a swap without a handle.
pub(super) struct Required {
    pub(super) version: Option<String>,
    pub(super) value: Option<Vec<u8>>,
}

impl Required {
    fn holds(&self, found: &Versioned) -> bool {
        self.version.as_ref().is_none_or(|version| *version == found.version.to_string())
            && self.value.as_ref().is_none_or(|value| *value == found.value)
    }

    /// The version, if it is all that counts: then nothing needs to be read before.
    ///
    /// A text that is no version is no mistake; it is one that no entry has.
    fn only_version(&self) -> Option<Version> {
        let text = self.version.as_deref().filter(|_| self.value.is_none())?;
        text.parse().ok().filter(|version: &Version| version.to_string() == text)
    }

    /// Writes `value` if everything holds, else says what there is.
    ///
    /// # Errors
    /// `Invalid` if nothing is required.
    pub(super) async fn swap(
        &self,
        client: &Client,
        key: &str,
        value: Bytes,
    ) -> Result<Swap<Option<Versioned>>> {
        if self.version.is_none() && self.value.is_none() {
            return Err(Error::invalid("the swap requires nothing")
                .with_hint("to write whatever there is, set the key"));
        }
        if let Some(version) = self.only_version() {
            let options = WriteOptions::expecting(Expect::Version(version));
            return match client.set(key, value, &options).await {
                Ok(_version) => Ok(Swap::Done),
                Err(error) if is_unmet(&error) => Ok(Swap::Late(client.versioned(key).await?)),
                Err(error) => Err(error),
            };
        }
        for _ in 0..ATTEMPTS {
            let found = client.versioned(key).await?;
            let Some(held) = found.as_ref().filter(|found| self.holds(found)) else {
                return Ok(Swap::Late(found));
            };
            let options = WriteOptions::expecting(Expect::Version(held.version));
            match client.set(key, value.clone(), &options).await {
                Ok(_version) => return Ok(Swap::Done),
                // The write that came first may have stored the required value once more.
                Err(error) if is_unmet(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(outrun())
    }
}
