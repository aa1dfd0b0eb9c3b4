//! Messages in this process's memory, gone when it ends.

use crate::local::{Local, Memory as Log, Retention};
use crate::{Best, Broker, Checked, Levels, Offer};
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::units::Size;
use base::{Backend, Clock, Openings, Place, Result};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// All that there is, but a crash takes it along.
pub(super) const BEST: Best = Best {
    backend: Memory::NAME,
    levels: Levels {
        durability: Durability::None,
        groups: Groups::Shared,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        attempts: Attempts::Group,
        retry: Delay::Milliseconds,
        delay: Delay::Milliseconds,
        replay: Replay::Log,
        dedup: Dedup::Window,
        ordering: Ordering::Topic,
        request: Reply::Inbox,
    },
    lowered: &[],
    emulated: &[],
};

/// `memory:` — messages in the memory of this process.
///
/// They survive a reload of the deployment file, not the end of the process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memory {
    /// `memory:`
    pub url: String,
    /// Room for all messages together. What every group is done with makes room for what comes;
    /// where there is none of it, publishing fails. Default `"64MiB"`.
    #[serde(default = "Memory::max_size")]
    pub max_size: Size,
    /// For how long a message is kept that every group is done with, for those that come later.
    /// Default `"1h"`.
    #[serde(default = "Memory::max_age", deserialize_with = "base::units::deserialize_duration")]
    pub max_age: Duration,
    /// After how long without a subscriber a group is forgotten. Default `"30d"`.
    #[serde(
        default = "Memory::forget_groups",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub forget_groups: Duration,
}

impl Memory {
    fn max_size() -> Size {
        Size(64 << 20)
    }

    fn max_age() -> Duration {
        Duration::from_secs(3600)
    }

    fn forget_groups() -> Duration {
        Duration::from_secs(30 * 24 * 3600)
    }

    /// A broker of its own with nothing in it, that takes the time from `clock`.
    pub fn broker(&self, clock: Clock) -> Arc<dyn Broker> {
        Arc::new(self.make(clock))
    }

    fn make(&self, clock: Clock) -> Checked<Local<Log>> {
        let retention =
            Retention { size: self.max_size.0, age: self.max_age, groups: self.forget_groups };
        let offer = Offer {
            backend: Self::NAME.into(),
            levels: BEST.levels,
            max_message: Offer::MAX_MESSAGE.min(self.max_size.bytes() / 8),
            emulated: Vec::new(),
        };
        Checked::new(Local::new(offer, Log::default(), clock, retention))
    }
}

impl Backend for Memory {
    type Contract = dyn Broker;
    const NAME: &'static str = "memory";
    const SCHEMES: &'static [&'static str] = &["memory"];
    const EXAMPLE: &'static str = "memory:";

    fn check(&self) -> Result<(), String> {
        if self.url != "memory:" {
            return Err("nothing comes after `memory:`".to_owned());
        }
        match self.max_size.0 {
            0..0x1_0000 => Err("`max-size` is at least 64KiB".to_owned()),
            _ => Ok(()),
        }
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        static OPEN: Openings<[String; 3], Checked<Local<Log>>> = Openings::new();
        let data = place.data.to_string_lossy().into_owned();
        let open = |_| Ok::<_, Infallible>(Arc::new(self.make(Clock::System)));
        let Ok(broker) = OPEN.find_or([data, place.app, place.binding], open);
        Ok(broker)
    }
}
