//! Nothing: every look is a miss. To see how an app does without its cache.

use crate::{Best, Cache, Entries, Expiring, Front, Levels, Offer, Reach};
use async_trait::async_trait;
use base::{Backend, Place, Result};
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

pub(super) const BEST: Best = Best {
    backend: None::NAME,
    levels: Levels { reach: Reach::None, ..Levels::USUAL },
    lowered: &[],
    emulated: &[],
};

/// `none:` — keeps nothing. Vacancies work, so what many ask for at once is made once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct None {
    /// `none:`
    pub url: String,
    /// How long a vacancy is out before another may have it. Default `"30s"`.
    #[serde(
        default = "crate::front::usual_vacancy_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub vacancy_timeout: Duration,
}

impl Backend for None {
    type Contract = dyn Cache;
    const NAME: &'static str = "none";
    const SCHEMES: &'static [&'static str] = &["none"];
    const EXAMPLE: &'static str = "none:";

    fn check(&self) -> Result<(), String> {
        if self.url != "none:" {
            return Err("`none:` takes nothing behind its colon".to_owned());
        }
        super::check_vacancy_timeout(self.vacancy_timeout)
    }

    async fn open(self, _place: Place) -> Result<Arc<dyn Cache>> {
        let offer = Offer { backend: "none".into(), levels: BEST.levels, emulated: Vec::new() };
        Ok(Arc::new(Front::new(Nothing { offer }, self.vacancy_timeout)))
    }
}

/// The entries behind `none:`.
struct Nothing {
    offer: Offer,
}

#[async_trait]
impl Entries for Nothing {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn expiring(&self, _key: &str) -> Result<Option<Expiring>> {
        Ok(None)
    }

    async fn set(&self, _key: &str, _value: Bytes, _ttl: Option<Duration>) -> Result<()> {
        Ok(())
    }

    async fn delete(&self, _key: &str) -> Result<()> {
        Ok(())
    }
}
