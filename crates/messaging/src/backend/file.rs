//! Messages in a folder of this machine: a file for each that people can read, and that other
//! programs can drop in.

mod folder;
mod inlet;
mod journal;
mod letter;
mod shelf;
mod store;

use crate::local::{Disk, Found, Keep, Keeping, Local, Retention, keep};
use crate::{Best, Broker, Checked, Levels, Offer};
use base::embedded::{self, Durability};
use base::offer::{
    self, Attempts, Dedup, Delay, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::units::Size;
use base::{Backend, Clock, Error, Held, Openings, Place, Result};
use folder::Real;
use inlet::Inlet;
use serde::Deserialize;
use shelf::Shelf;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::Store;

pub use folder::Folder;

/// The file that is locked as long as a process has the folder.
const LOCK: &str = ".lock";
/// Where other programs drop messages.
const IN: &str = "in";

/// With strict writes.
pub(super) const BEST: Best = Best {
    backend: File::NAME,
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

/// `file:` — messages in a folder of this machine, each in a file that people can read.
///
/// Without a path, every binding has a folder of its own, `messaging/<app>/<binding>` in the data
/// directory. Bindings that name the same path are the same broker. Other programs publish by
/// dropping a file into the folder `in`. What groups are done with is written a moment later: a
/// crash may hand out again what was acknowledged just before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// `file:` or `file:path/in/the/data/directory`
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
    /// Room for all messages together, of which small ones take more on most disks. What every
    /// group is done with makes room for what comes; where there is none of it, publishing fails.
    /// Default `"256MiB"`.
    #[serde(default = "File::max_size")]
    pub max_size: Size,
    /// For how long a message is kept that every group is done with, for those that come later.
    /// Default `"1d"`.
    #[serde(default = "File::max_age", deserialize_with = "base::units::deserialize_duration")]
    pub max_age: Duration,
    /// After how long without a subscriber a group is forgotten. Default `"30d"`.
    #[serde(
        default = "File::forget_groups",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub forget_groups: Duration,
}

/// The broker, before what checks calls to it.
type Kept = Local<Disk<Shelf>>;

/// What is kept with a broker.
struct Beside {
    settings: File,
    _inlet: Option<Inlet>,
}

impl File {
    fn max_size() -> Size {
        Size(256 << 20)
    }

    fn max_age() -> Duration {
        Duration::from_secs(24 * 3600)
    }

    fn forget_groups() -> Duration {
        Duration::from_secs(30 * 24 * 3600)
    }

    /// What follows the scheme.
    fn path(&self) -> &str {
        self.url.split_once(':').map_or("", |(_, path)| path.trim_end_matches('/'))
    }

    /// Opens a broker over a folder that nobody else has, called `name` in messages. Nobody looks
    /// for what other programs drop.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](base::Kind) if it cannot be reached,
    /// [`Kind::Corrupt`](base::Kind) if it is no folder of this program; nothing changed then.
    pub fn broker(
        &self,
        name: String,
        folder: Arc<dyn Folder>,
        clock: Clock,
    ) -> Result<Arc<dyn Broker>> {
        let store = Store::open(name.clone(), folder, None)?;
        Ok(Arc::new(self.make(name, store, clock, None)?))
    }

    /// Makes the broker; with `Held` and a path, one that takes in what is dropped there.
    fn make(
        &self,
        name: String,
        store: (Store, Found<Shelf>),
        clock: Clock,
        at: Option<(Held, &Path)>,
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
        let (held, path) = at.unzip();
        let how = Keep { name, is_strict, interval: self.flush_interval, held };
        let checked = offer.clone();
        let local = keep(offer, (clock, retention), store, how, |shared| {
            let inlet = path.map(|path| Inlet::start(shared, checked, path.to_owned()));
            Ok(Beside { settings: self.clone(), _inlet: inlet.transpose()? })
        })?;
        Ok(Checked::new(local))
    }

    /// The broker in `path`, which may be open already. Blocks.
    fn find(&self, path: &Path) -> Result<Arc<Checked<Kept>>> {
        static OPEN: Openings<PathBuf, Checked<Kept>> = Openings::new();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let open = OPEN.find_or(path.clone(), |held| {
            let name = path.display().to_string();
            let away = |error| embedded::unreachable(&name, error);
            let taken = Real::open(&path).map_err(away)?;
            let (folder, lock) = taken.ok_or_else(|| embedded::locked(&name))?;
            let store = Store::open(name.clone(), Arc::new(folder), Some(lock))?;
            std::fs::create_dir_all(path.join(IN)).map_err(away)?;
            let broker = self.make(name, store, Clock::System, Some((held, &path)))?;
            Result::Ok(Arc::new(broker))
        })?;
        let keeping = open.inner().keeper::<Keeping<Beside, Shelf>>();
        match keeping.is_some_and(|keeping| keeping.beside.settings.is_like(self)) {
            true => Ok(open),
            false => Err(embedded::other_settings(&path)),
        }
    }

    /// Whether they are the same, as far as callers can tell.
    fn is_like(&self, other: &Self) -> bool {
        let told = |it: &Self| {
            (it.durability, it.flush_interval, it.max_size, it.max_age, it.forget_groups)
        };
        told(self) == told(other)
    }
}

impl Backend for File {
    type Contract = dyn Broker;
    const NAME: &'static str = "file";
    const SCHEMES: &'static [&'static str] = &["file"];
    const EXAMPLE: &'static str = "file:";

    fn check(&self) -> Result<(), String> {
        embedded::check_path(self.path())?;
        match self.max_size.0 {
            0..0x1_0000 => Err("`max-size` is at least 64KiB".to_owned()),
            _ => Ok(()),
        }
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        let path = embedded::file(self.path(), &place, "");
        let opened = tokio::task::spawn_blocking(move || self.find(&path)).await;
        let failed = |error| Error::internal("opening a broker").with_source(error);
        Ok(opened.map_err(failed)??)
    }
}
