//! Files that are looked at again and again, and read when they changed.
//!
//! Looking is cheap and works everywhere: on network file systems, on mounted secrets that are
//! swapped by a symbolic link, and on files that editors replace.

use crate::{Snapshot, Source};
use base::{Error, Kind, Result};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch::{self, Receiver, Sender};
use tokio_util::task::AbortOnDropHandle;

/// How often files are looked at, unless the settings say otherwise.
pub(crate) const RELOAD: Duration = Duration::from_secs(1);
/// How long files must have been at rest before they are read.
const REST: Duration = Duration::from_millis(100);
/// File times are coarse: a file may change again within this time and look the same.
const COARSE: Duration = Duration::from_secs(2);
/// How often a read is tried at first while the files keep changing.
const ATTEMPTS: usize = 20;
/// The most bytes of one file.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// Files that make up one state. Both methods block.
pub(crate) trait Files: Send + Sync + 'static {
    /// What is different after every change.
    fn mark(&self) -> Mark;
    /// Reads everything.
    fn read(&self) -> Result<Snapshot>;
    /// What they are called in the log.
    fn name(&self) -> String;
}

/// How the files looked, without their content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    files: Vec<(OsString, Result<Stat, ErrorKind>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stat {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    /// Adds how one file looks, behind all symbolic links.
    pub(crate) fn add(&mut self, name: impl Into<OsString>, look: io::Result<Metadata>) {
        let look = look.map(|found| Stat {
            file: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        });
        self.files.push((name.into(), look.map_err(|error| error.kind())));
    }

    /// How one file looks.
    pub(crate) fn of(path: &Path) -> Self {
        let mut mark = Self::default();
        mark.add(path, path.metadata());
        mark
    }

    /// The files in the order of their names.
    pub(crate) fn sorted(mut self) -> Self {
        self.files.sort_by(|(left, _), (right, _)| left.cmp(right));
        self
    }

    /// Whether another change may have left no trace.
    fn is_young(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stats = self.files.iter().filter_map(|(_, look)| look.as_ref().ok());
        stats.into_iter().any(|stat| {
            let changed = Duration::from_secs(stat.changed.0.try_into().unwrap_or(0));
            now.checked_sub(changed).is_some_and(|age| age < COARSE)
        })
    }
}

/// Files that are followed as long as this lives.
struct Watched {
    states: Receiver<Arc<Snapshot>>,
    _follow: Option<AbortOnDropHandle<()>>,
}

impl Source for Watched {
    fn subscribe(&self) -> Receiver<Arc<Snapshot>> {
        self.states.clone()
    }
}

/// Reads the files and follows them, looking `every` so often; zero means never again.
pub(crate) async fn open(files: impl Files, every: Duration) -> Result<Arc<dyn Source>> {
    let files = Arc::new(files);
    let mut attempts = 0;
    let (mark, state) = loop {
        attempts += 1;
        let (mark, state, at_rest) = read(&files).await;
        if at_rest || attempts == ATTEMPTS {
            break (mark, state?);
        }
        tokio::time::sleep(REST).await;
    };
    let (sender, states) = watch::channel(Arc::new(state));
    let seen = (!mark.is_young()).then_some(mark);
    let follow = (!every.is_zero()).then(|| {
        let task = follow(files, every, seen, sender);
        #[expect(clippy::disallowed_methods, reason = "it ends with the source, not before")]
        AbortOnDropHandle::new(tokio::spawn(task))
    });
    Ok(Arc::new(Watched { states, _follow: follow }))
}

/// Follows the files. `seen` is how they looked when they were read, if that can be relied on.
async fn follow(
    files: Arc<impl Files>,
    every: Duration,
    mut seen: Option<Mark>,
    sender: Sender<Arc<Snapshot>>,
) {
    let mut restless: Option<Mark> = None;
    let mut complaint = None;
    loop {
        tokio::time::sleep(if restless.is_some() { REST } else { every }).await;
        let mark = look(&files).await;
        if seen.as_ref() == Some(&mark) {
            restless = None;
            continue;
        }
        if restless.as_ref() != Some(&mark) {
            restless = Some(mark);
            continue;
        }
        let (mark, state, at_rest) = read(&files).await;
        if !at_rest {
            restless = Some(mark);
            continue;
        }
        restless = None;
        seen = (!mark.is_young()).then_some(mark);
        complaint = match state {
            Ok(state) => {
                publish(&sender, state, &files.name());
                None
            }
            Err(error) => complain(complaint, &error, &files.name()),
        };
    }
}

fn publish(sender: &Sender<Arc<Snapshot>>, state: Snapshot, name: &str) {
    let replaced = sender.send_if_modified(|current| {
        let other = **current != state;
        if other {
            *current = Arc::new(state);
        }
        other
    });
    if replaced {
        tracing::info!(source = name, "configuration reloaded");
    }
}

/// Says once what is wrong, however often it is found again.
fn complain(before: Option<String>, error: &Error, name: &str) -> Option<String> {
    let now = error.to_string();
    if before.as_ref() != Some(&now) {
        tracing::warn!(source = name, error = now, "configuration not reloaded, the old one stays");
    }
    Some(now)
}

async fn look(files: &Arc<impl Files>) -> Mark {
    let files = Arc::clone(files);
    tokio::task::spawn_blocking(move || files.mark()).await.unwrap_or_default()
}

/// Reads everything, and says whether nothing changed meanwhile.
async fn read(files: &Arc<impl Files>) -> (Mark, Result<Snapshot>, bool) {
    let files = Arc::clone(files);
    let task = tokio::task::spawn_blocking(move || {
        let before = files.mark();
        let state = files.read();
        let after = files.mark();
        let at_rest = before == after;
        (after, state, at_rest)
    });
    let failed = |error| Error::internal("reading configuration").with_source(error);
    task.await.unwrap_or_else(|error| (Mark::default(), Err(failed(error)), true))
}

/// The text of one regular file.
///
/// # Errors
/// Each names the file: it is not there, may not be read, is too large, or is no UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let context = |error: Error| error.context(format!("`{}`", path.display()));
    read_bounded(path)
        .and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                Error::invalid(format!("is no UTF-8 text at byte {at}"))
            })
        })
        .map_err(context)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    // Opening a pipe would wait for a writer.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Error::invalid("is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE) {
        Ok(bytes)
    } else {
        Err(Error::too_large(format!("is larger than {}", base::units::Size(MAX_FILE))))
    }
}

/// What the system said, sorted by what one can do about it.
pub(crate) fn failed(error: io::Error) -> Error {
    Error::unreadable("cannot be read", error, Kind::Unavailable)
}
