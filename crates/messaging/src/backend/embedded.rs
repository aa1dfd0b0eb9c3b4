//! Messages in a file of this machine, kept by redb and written by one thread.

mod code;
mod file;
mod store;

use crate::local::{Disk, Keep, Keeping, Local, Retention, keep};
use crate::{Best, Broker, Checked, Levels, Offer};
use base::embedded::{self, Durability, Opener};
use base::offer::{
    self, Attempts, Dedup, Delay, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::units::Size;
use base::{Backend, Clock, Error, Held, Openings, Place, Result};
use file::Snapshot;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::Store;

/// The broker, before what checks calls to it.
type Kept = Local<Disk<Snapshot>>;

/// With strict writes.
pub(super) const BEST: Best = Best {
    backend: Embedded::NAME,
    levels: Levels {
        durability: offer::Durability::Fsync,
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
    lowered: &[("durability", "none with `durability = \"relaxed\"`")],
    emulated: &[],
};

/// `embedded:` — messages in a file of this machine.
///
/// Without a path, every binding has a file of its own, `messaging/<app>/<binding>.redb` in the
/// data directory. Bindings that name the same path are the same broker. What groups are done with
/// is written a moment later: a crash may hand out again what was acknowledged just before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Embedded {
    /// `embedded:` or `embedded:path/in/the/data/directory.redb`
    pub url: String,
    /// When a publication is acknowledged: `"strict"` (default) or `"relaxed"`.
    #[serde(default)]
    pub durability: Durability,
    /// How long relaxed publications, and what groups are done with, may wait for the disk.
    /// Default `"100ms"`.
    #[serde(
        default = "base::embedded::flush_interval",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub flush_interval: Duration,
    /// How much of the file is kept in memory. Default `"64MiB"`.
    #[serde(default = "base::embedded::cache")]
    pub cache: Size,
    /// Room for all messages together. What every group is done with makes room for what comes;
    /// where there is none of it, publishing fails. Default `"1GiB"`.
    #[serde(default = "Embedded::max_size")]
    pub max_size: Size,
    /// For how long a message is kept that every group is done with, for those that come later.
    /// Default `"7d"`.
    #[serde(default = "Embedded::max_age", deserialize_with = "base::units::deserialize_duration")]
    pub max_age: Duration,
    /// After how long without a subscriber a group is forgotten. Default `"30d"`.
    #[serde(
        default = "Embedded::forget_groups",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub forget_groups: Duration,
}

impl Embedded {
    fn max_size() -> Size {
        Size(1 << 30)
    }

    fn max_age() -> Duration {
        Duration::from_secs(7 * 24 * 3600)
    }

    fn forget_groups() -> Duration {
        Duration::from_secs(30 * 24 * 3600)
    }

    /// What follows the scheme.
    fn path(&self) -> &str {
        self.url.split_once(':').map_or("", |(_, path)| path)
    }

    fn file(&self, place: &Place) -> PathBuf {
        embedded::file(self.path(), place, ".redb")
    }

    /// Opens a broker over what `opener` opens, called `name` in messages.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](base::Kind) if it cannot be reached or is locked,
    /// [`Kind::Corrupt`](base::Kind) if it is no file of this program; nothing changed then.
    pub fn broker(&self, name: String, opener: Opener, clock: Clock) -> Result<Arc<dyn Broker>> {
        Ok(Arc::new(self.make(name, opener, clock, None)?))
    }

    fn make(
        &self,
        name: String,
        opener: Opener,
        clock: Clock,
        held: Option<Held>,
    ) -> Result<Checked<Kept>> {
        let is_strict = self.durability == Durability::Strict;
        let offer = Offer {
            backend: Self::NAME.into(),
            levels: match is_strict {
                true => BEST.levels,
                // A crash takes the last messages along, so nothing can be promised.
                false => Levels { durability: offer::Durability::None, ..BEST.levels },
            },
            max_message: Offer::MAX_MESSAGE.min(self.max_size.bytes() / 8),
            emulated: Vec::new(),
        };
        let retention =
            Retention { size: self.max_size.0, age: self.max_age, groups: self.forget_groups };
        let store = Store::open(name.clone(), opener, self.cache)?;
        let how = Keep { name, is_strict, interval: self.flush_interval, held };
        let settings = self.clone();
        let local = keep(offer, (clock, retention), store, how, |_| Ok(settings))?;
        Ok(Checked::new(local))
    }

    /// The broker in `path`, which may be open already. Blocks.
    fn find(&self, path: &Path) -> Result<Arc<Checked<Kept>>> {
        static OPEN: Openings<PathBuf, Checked<Kept>> = Openings::new();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let open = OPEN.find_or(path.clone(), |held| {
            embedded::create(&path, &file::LAYOUT)?;
            let (name, opener) = (path.display().to_string(), embedded::opener(&path));
            let broker = self.make(name, opener, Clock::System, Some(held))?;
            Result::Ok(Arc::new(broker))
        })?;
        let keeping = open.inner().keeper::<Keeping<Self, Snapshot>>();
        if keeping.is_some_and(|keeping| keeping.beside.is_like(self)) {
            return Ok(open);
        }
        Err(embedded::other_settings(&path))
    }

    /// Whether they are the same, as far as callers can tell.
    fn is_like(&self, other: &Self) -> bool {
        let told = |it: &Self| {
            (it.durability, it.flush_interval, it.max_size, it.max_age, it.forget_groups)
        };
        told(self) == told(other)
    }
}

impl Backend for Embedded {
    type Contract = dyn Broker;
    const NAME: &'static str = "embedded";
    const SCHEMES: &'static [&'static str] = &["embedded"];
    const EXAMPLE: &'static str = "embedded:";

    fn check(&self) -> Result<(), String> {
        embedded::check_path(self.path())?;
        match self.max_size.0 {
            0..0x1_0000 => Err("`max-size` is at least 64KiB".to_owned()),
            _ => Ok(()),
        }
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        let path = self.file(&place);
        let opened = tokio::task::spawn_blocking(move || self.find(&path)).await;
        let failed = |error| Error::internal("opening a broker").with_source(error);
        Ok(opened.map_err(failed)??)
    }
}
