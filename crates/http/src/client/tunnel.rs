//! A connection that speaks HTTP no more: what 101 made of it.

use super::Error;
use super::pool::Lease;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::fmt;

/// A server's word that it speaks another protocol from now on.
pub struct Tunnel {
    upgrade: OnUpgrade,
    lease: Lease,
}

/// The connection's place in its pool, for as long as the tunnel lasts.
pub struct Held(#[expect(dead_code, reason = "it is dropped, and that is all")] Lease);

impl Tunnel {
    pub(super) fn new(upgrade: OnUpgrade, lease: Lease) -> Self {
        Self { upgrade, lease }
    }

    /// The bytes of the other protocol, both ways, and the place that they take.
    ///
    /// # Errors
    /// `HttpUpgradeFailed` if the connection ended instead.
    pub async fn open(self) -> Result<(TokioIo<Upgraded>, Held), Error> {
        let upgraded = self.upgrade.await.map_err(|error| {
            tracing::debug!(%error, "no tunnel came of it");
            Error::HttpUpgradeFailed
        })?;
        Ok((TokioIo::new(upgraded), Held(self.lease)))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}
