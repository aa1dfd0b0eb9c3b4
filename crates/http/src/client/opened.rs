//! Connections over which others speak than HTTP.

use super::{Client, Error, Stream};
use std::time::Duration;

impl Client {
    /// Connects to the one place that the client leads to, TLS included, within its time to
    /// connect. Nobody has spoken over the connection yet, it belongs to no pool, and a write
    /// fails once the server has taken nothing for as long as `patience`.
    ///
    /// # Errors
    /// Why there is no connection; `ConfigurationError` where rules, and not one place, say what
    /// the client may reach.
    pub async fn open(&self, patience: Duration) -> Result<Stream, Error> {
        // In a box, because handshakes are large.
        Box::pin(self.0.pool.dialer().open(patience)).await
    }
}
