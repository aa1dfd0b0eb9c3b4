//! The memory of this host in front of another backend.
//!
//! What another host changes is seen here once the entry in front is over, so its time is short.

use crate::entries::{end, is_over};
use crate::{Best, Cache, Entries, Expiring, Front, Levels, Offer};
use async_trait::async_trait;
use base::backend::choose;
use base::units::Size;
use base::{Backend, Error, Opening, Place, Result};
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use toml::de::DeTable;

use super::memory::{Slots, check_size};

/// It offers what stands behind, and emulates what that does.
pub(super) const BEST: Best = Best {
    backend: Tiered::NAME,
    levels: Levels::USUAL,
    lowered: &[("reach", BEHIND), ("max-value", BEHIND)],
    emulated: &[],
};

const BEHIND: &str = "as the backend behind";

/// `tiered:` — memory in front of another backend.
///
/// `{ url = "tiered:", memory = "16MiB", behind = "redis://…", ttl = "1s" }`, or
/// `"tiered:redis://…"` with the usual settings.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tiered {
    /// `tiered:`, or `tiered:` and the URL of the backend behind
    pub url: String,
    /// The backend behind: its URL, or a table as a binding has it.
    #[serde(default)]
    pub behind: Option<toml::Value>,
    /// How much the entries in front take together. Default `"16MiB"`.
    #[serde(default = "Tiered::usual_memory")]
    pub memory: Size,
    /// How long an entry is in front at most, and so how long another host's change may go
    /// unseen. Default `"1s"`.
    #[serde(
        default = "Tiered::one_second",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub ttl: Duration,
    /// How long a vacancy is out before another may have it. Default `"30s"`.
    #[serde(
        default = "crate::front::usual_vacancy_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub vacancy_timeout: Duration,
}

impl Tiered {
    fn usual_memory() -> Size {
        Size(16 << 20)
    }

    fn one_second() -> Duration {
        Duration::from_secs(1)
    }

    /// How the backend behind is opened.
    fn behind(&self) -> Result<Opening<dyn Cache>, String> {
        let settings = match (self.url.strip_prefix("tiered:").unwrap_or_default(), &self.behind) {
            ("", Some(behind)) => behind.clone(),
            ("", None) => return Err("`behind` says what stands behind the memory".to_owned()),
            (url, None) => toml::Value::String(url.to_owned()),
            (_, Some(_)) => {
                return Err("it is either `tiered:URL` or `behind`, not both".to_owned());
            }
        };
        let text = toml::Table::from_iter([("behind".to_owned(), settings)]).to_string();
        let wrong = |error: &dyn std::fmt::Display| format!("`behind`: {error}");
        let table = DeTable::parse(&text).map_err(|error| wrong(&error.message()))?;
        let settings = table.into_inner().remove("behind");
        let settings = settings.ok_or_else(|| wrong(&"it is empty"))?;
        match choose(super::BACKENDS, settings) {
            Ok((Self::NAME, _)) => Err(wrong(&"two tiers are enough")),
            Ok((_, opening)) => Ok(opening),
            Err(mistake) => Err(wrong(&mistake)),
        }
    }
}

impl Backend for Tiered {
    type Contract = dyn Cache;
    const NAME: &'static str = "tiered";
    const SCHEMES: &'static [&'static str] = &["tiered"];
    const EXAMPLE: &'static str = "tiered:redis://127.0.0.1:6379";

    fn check(&self) -> Result<(), String> {
        check_size(self.memory)?;
        if self.ttl < Duration::from_millis(1) {
            return Err("an entry is in front for at least a millisecond".to_owned());
        }
        super::check_vacancy_timeout(self.vacancy_timeout)?;
        self.behind().map(drop)
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Cache>> {
        let behind = self.behind().map_err(Error::invalid)?(place).await?;
        let front = Slots::new(self.memory);
        let backend = format!("memory in front of {}", behind.offer().backend);
        let offer = Offer { backend: backend.into(), ..behind.offer().clone() };
        let tiers = Tiers { front, behind, ttl: self.ttl, offer };
        Ok(Arc::new(Front::new(tiers, self.vacancy_timeout)))
    }
}

/// The entries behind `tiered:`.
struct Tiers {
    front: Slots,
    behind: Arc<dyn Cache>,
    /// The longest time in front.
    ttl: Duration,
    offer: Offer,
}

impl Tiers {
    /// Puts an entry in front, if it fits there, from a moment before it was known.
    async fn keep(&self, key: &str, entry: &Expiring, known: Instant) {
        if entry.value.len() > self.front.offer().levels.max_value {
            return;
        }
        let longest = end(known, Some(self.ttl));
        let until = match (longest, entry.until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        if !is_over(until) {
            self.front.put(key, Expiring { value: entry.value.clone(), until }).await;
        }
    }
}

#[async_trait]
impl Entries for Tiers {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn expiring(&self, key: &str) -> Result<Option<Expiring>> {
        if let Some(entry) = self.front.expiring(key).await? {
            return Ok(Some(entry));
        }
        let known = Instant::now();
        let Some(entry) = self.behind.expiring(key).await? else { return Ok(None) };
        self.keep(key, &entry, known).await;
        Ok(Some(entry).filter(|entry| !is_over(entry.until)))
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.front.expiring(key).await?.is_some() || self.behind.exists(key).await?)
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<()> {
        let known = Instant::now();
        // The former value is gone from here whatever becomes of the write.
        self.front.delete(key).await?;
        self.behind.set(key, value.clone(), ttl).await?;
        self.keep(key, &Expiring { value, until: end(known, ttl) }, known).await;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.front.delete(key).await?;
        self.behind.delete(key).await?;
        // What a look at the former value put there meanwhile goes too.
        self.front.delete(key).await
    }

    async fn destroy(&self) -> Result<()> {
        self.front.forget();
        self.behind.destroy().await
    }
}
