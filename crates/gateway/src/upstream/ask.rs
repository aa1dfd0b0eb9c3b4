//! Requests of the host's own, for filters.

use super::Upstream;
use super::replay::Pulled;
use http::client::{Body, Error, Options};
use http_types::{Request, Response};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

impl Upstream {
    /// Sends a request and gives the answer of one of the servers. `timeout` is for all of it, the
    /// answer's body included; without one it is the upstream's own.
    ///
    /// # Errors
    /// When no server is well, or the one that was asked does not answer.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        request: Request<Pulled>,
        timeout: Option<Duration>,
    ) -> Result<Response<Body>, Error> {
        let deadline = Instant::now() + self.settings.limits.queue_timeout;
        let place = self.places.wait(deadline).await;
        let turned_away = || {
            self.counts.turned_away.fetch_add(1, Relaxed);
            Error::ConnectionLimitReached
        };
        let _place = place.ok_or_else(turned_away)?;
        let endpoint = self.choose(None, &[]).await.ok_or_else(turned_away)?;
        let _active = endpoint.begin();
        let total_timeout = timeout.or(self.settings.request_timeout);
        let options = Options { total_timeout, ..Options::default() };
        let answer = endpoint.client.send(request, options).await;
        let is_good = answer.as_ref().is_ok_and(|it| !it.response.status().is_server_error());
        self.note(&endpoint, is_good);
        let count = if answer.is_ok() { &self.counts.answered } else { &self.counts.failed };
        count.fetch_add(1, Relaxed);
        answer.map(|exchange| exchange.response)
    }
}
