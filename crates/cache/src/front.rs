//! The one place where sizes are enforced and vacancies are kept, in front of every backend.

use crate::entries::end;
use crate::flights::{Flights, Joined};
use crate::vacancy::{Look, Vacancy, Waiting};
use crate::{Cache, Entries, Expiring, Offer};
use async_trait::async_trait;
use base::{Error, Result};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a vacancy is out before another may have it, where the deployment says nothing else.
pub(crate) fn usual_vacancy_timeout() -> Duration {
    Duration::from_secs(30)
}

/// A backend's entries as a cache.
pub struct Front(Arc<Behind>);

/// What vacancies need of a cache.
pub(crate) struct Behind {
    entries: Box<dyn Entries>,
    flights: Arc<Flights>,
}

impl Front {
    /// Puts sizes and vacancies in front of `entries`. A vacancy is out for `timeout` at least
    /// before another may have it.
    pub fn new(entries: impl Entries, timeout: Duration) -> Self {
        let (entries, flights) = (Box::new(entries), Flights::new(timeout));
        Self(Arc::new(Behind { entries, flights }))
    }

    fn entries(&self) -> &dyn Entries {
        &*self.0.entries
    }

    fn key(&self, key: &str) -> Result<()> {
        let most = self.offer().levels.max_key;
        if key.is_empty() {
            return Err(Error::invalid("a key must not be empty"));
        }
        if key.len() > most {
            let length = key.len();
            return Err(Error::too_large(format!("a key has {length} bytes, at most {most} fit")));
        }
        Ok(())
    }
}

impl Behind {
    fn check(&self, value: &Bytes, ttl: Option<Duration>) -> Result<()> {
        let most = self.entries.offer().levels.max_value;
        if value.len() > most {
            let length = value.len();
            return Err(Error::too_large(format!(
                "a value has {length} bytes, at most {most} fit"
            )));
        }
        if ttl.is_some_and(|ttl| ttl < Duration::from_millis(1)) {
            return Err(Error::invalid("a time to live is at least a millisecond"));
        }
        Ok(())
    }

    /// Stores what a vacancy was filled with, and until when it lives.
    pub(crate) async fn fill(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> (Option<Expiring>, Result<()>) {
        if let Err(error) = self.check(&value, ttl) {
            return (None, Err(error));
        }
        let until = end(Instant::now(), ttl);
        let stored = self.entries.set(key, value.clone(), ttl).await;
        (Some(Expiring { value, until }), stored)
    }
}

#[async_trait]
impl Cache for Front {
    fn offer(&self) -> &Offer {
        self.entries().offer()
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.key(key)?;
        self.entries().get(key).await
    }

    async fn expiring(&self, key: &str) -> Result<Option<Expiring>> {
        self.key(key)?;
        self.entries().expiring(key).await
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.key(key)?;
        self.entries().exists(key).await
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<()> {
        self.key(key)?;
        self.0.check(&value, ttl)?;
        self.entries().set(key, value, ttl).await?;
        self.0.flights.look_again(key);
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.key(key)?;
        self.entries().delete(key).await
    }

    async fn look(&self, key: &str) -> Result<Look> {
        self.key(key)?;
        if let Some(value) = self.entries().get(key).await? {
            return Ok(Look::Occupied(value));
        }
        let claim = match self.0.flights.join(key)? {
            Joined::Waits(place) => {
                return Ok(Look::Busy(Waiting::new(place, Arc::clone(&self.0))));
            }
            Joined::Leads(claim) => claim,
        };
        // Whoever had the vacancy before may have filled it between the look and the claim.
        if let Some(value) = self.entries().get(key).await? {
            claim.look_again();
            return Ok(Look::Occupied(value));
        }
        Ok(Look::Vacant(Vacancy::new(claim, Arc::clone(&self.0))))
    }

    async fn destroy(&self) -> Result<()> {
        self.entries().destroy().await
    }
}
