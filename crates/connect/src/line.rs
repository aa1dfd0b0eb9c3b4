//! A connection that many calls share, and that is made anew once it is lost.

use base::{Result, lock};
use std::sync::Mutex as StdMutex;
use tokio::sync::Mutex;

/// What calls share.
pub(crate) trait Shared: Clone {
    /// Whether it is of no further use.
    fn is_lost(&self) -> bool;

    /// Whether it is the same.
    fn is(&self, other: &Self) -> bool;
}

/// The connection that calls share, if there is one.
pub(crate) struct Line<C> {
    current: StdMutex<Option<C>>,
    /// Held by the call that makes one; the others wait for it.
    connecting: Mutex<()>,
}

impl<C> Default for Line<C> {
    fn default() -> Self {
        Self { current: StdMutex::default(), connecting: Mutex::default() }
    }
}

impl<C: Shared + Send> Line<C> {
    /// The connection, or another one if it is lost: `make` is given that.
    pub(crate) async fn get<F>(&self, make: impl FnOnce(Option<C>) -> F + Send) -> Result<C>
    where
        F: Future<Output = Result<C>> + Send,
    {
        if let Some(connection) = self.usable() {
            return Ok(connection);
        }
        // In a box, as what is done for the first call only would make all of them large.
        Box::pin(async {
            let _connecting = self.connecting.lock().await;
            if let Some(connection) = self.usable() {
                return Ok(connection);
            }
            let lost = lock(&self.current).take();
            let made = make(lost).await?;
            *lock(&self.current) = Some(made.clone());
            Ok(made)
        })
        .await
    }

    fn usable(&self) -> Option<C> {
        lock(&self.current).clone().filter(|connection| !connection.is_lost())
    }

    /// Has calls share it no longer. Tells whether they did.
    pub(crate) fn discard(&self, connection: &C) -> bool {
        let mut current = lock(&self.current);
        let is_shared = current.as_ref().is_some_and(|other| other.is(connection));
        if is_shared {
            *current = None;
        }
        is_shared
    }
}
