//! Takes in the messages that other programs drop into the folder `in`.

use super::folder::{BROKEN, set_aside};
use super::letter;
use super::shelf::{END, LARGEST};
use crate::checked::check;
use crate::local::{Committed, Confirmed, Disk, Shared};
use crate::{Message, Offer, PublishOptions, is_inbox};
use base::{Clock, Error, Kind, Result, lock};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// How often somebody looks.
const PAUSE: Duration = Duration::from_millis(500);
/// So many files are taken in at one look.
const MOST: usize = 256;

/// How a file was found, by which is told whether it is still written to.
type Looks = (u64, Option<SystemTime>);

/// Looks for what was dropped, until it is dropped itself.
pub(super) struct Inlet {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Inlet {
    /// Begins to look into the folder `in` of this one.
    pub(super) fn start<C: Committed>(
        shared: &Arc<Shared<Disk<C>>>,
        offer: Offer,
        folder: PathBuf,
    ) -> Result<Self> {
        let stop = Arc::<(Mutex<bool>, Condvar)>::default();
        let looking = Looking {
            shared: Arc::clone(shared),
            offer,
            folder,
            seen: HashMap::new(),
            is_stuck: false,
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("messaging inlet".to_owned())
            .spawn(move || looking.run(&stopped))
            .map_err(|error| Error::unavailable("starting a thread").with_source(error))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("what looks for dropped messages panicked");
        }
    }
}

struct Looking<C: Committed> {
    shared: Arc<Shared<Disk<C>>>,
    offer: Offer,
    folder: PathBuf,
    /// The files of the last look.
    seen: HashMap<String, Looks>,
    /// Said once, and again only after it went on.
    is_stuck: bool,
}

impl<C: Committed> Looking<C> {
    fn run(mut self, stop: &(Mutex<bool>, Condvar)) {
        let mut stopped = lock(&stop.0);
        while !*stopped {
            drop(stopped);
            let outcome = self.look();
            match &outcome {
                Err(error) if !self.is_stuck => {
                    let folder = self.folder.display();
                    tracing::warn!(%folder, %error, "dropped messages cannot be taken in");
                }
                _ => {}
            }
            self.is_stuck = outcome.is_err();
            stopped = lock(&stop.0);
            if !*stopped {
                stopped = stop.1.wait_timeout(stopped, PAUSE).map_or_else(
                    |poisoned| PoisonError::into_inner(poisoned).0,
                    |(stopped, _)| stopped,
                );
            }
        }
    }

    /// Takes in what is as it was at the last look.
    fn look(&mut self) -> Result<()> {
        let failed = |error| Error::unavailable("reading the folder `in`").with_source(error);
        let found = self.list().map_err(failed)?;
        let mut settled: Vec<&String> = found
            .iter()
            .filter(|(name, looks)| self.seen.get(*name) == Some(looks))
            .map(|(name, _)| name)
            .collect();
        settled.sort_unstable();
        let (mut waiting, mut outcome) = (Vec::new(), Ok(()));
        for name in settled.into_iter().take(MOST) {
            match self.take(name) {
                Ok(confirmed) => waiting.extend(confirmed.map(|confirmed| (name, confirmed))),
                Err(error) => {
                    // Those behind it wait with it.
                    outcome = Err(error);
                    break;
                }
            }
        }
        for (name, confirmed) in waiting {
            match confirmed {
                Some(confirmed) => match confirmed.blocking_recv() {
                    Ok(Ok(())) => self.remove(name),
                    Ok(Err(error)) => outcome = Err(error),
                    // The broker is being closed.
                    Err(_) => {}
                },
                None => self.remove(name),
            }
        }
        self.seen = found;
        outcome
    }

    /// The files that are there. Others than those with messages belong to who writes them.
    fn list(&self) -> io::Result<HashMap<String, Looks>> {
        let mut found = HashMap::new();
        for entry in fs::read_dir(self.folder.join(super::IN))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || !name.ends_with(END) {
                continue;
            }
            // Of a link that of the link itself: it may lead anywhere.
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                found.insert(name, (metadata.len(), metadata.modified().ok()));
            }
        }
        Ok(found)
    }

    /// Publishes what is in a file. `None`: it was no message. The second one hears when it is
    /// kept, where that takes time.
    #[expect(clippy::option_option, reason = "whether it is, and when")]
    fn take(&self, name: &str) -> Result<Option<Option<Confirmed>>> {
        let path = self.folder.join(super::IN).join(name);
        let unread = |error| Error::unavailable(format!("reading `{name}`")).with_source(error);
        let length = fs::metadata(&path).map_err(unread)?.len();
        if length > LARGEST {
            self.set_aside(name, "is too large");
            return Ok(None);
        }
        let letter = match letter::decode(fs::read(&path).map_err(unread)?) {
            Ok(letter) => letter,
            Err(why) => {
                self.set_aside(name, &why);
                return Ok(None);
            }
        };
        let wait = letter.not_before.map(|time| time.saturating_sub(Clock::System.now()));
        let delay = wait.filter(|wait| *wait > 0).map(Duration::from_millis);
        let (topic, message, options) =
            (letter.topic, letter.message, PublishOptions { delay, beyond: false });
        if let Err(why) = self.check(&topic, &message, &options) {
            self.set_aside(name, &why.to_string());
            return Ok(None);
        }
        self.shared.take_in(&topic, message, &options).map(Some)
    }

    fn check(&self, topic: &str, message: &Message, options: &PublishOptions) -> Result<()> {
        match is_inbox(topic) {
            true => Err(Error::new(Kind::Invalid, "is a reply, which nobody waits for here")),
            false => check(&self.offer, topic, message, options),
        }
    }

    fn set_aside(&self, name: &str, why: &str) {
        let folder = self.folder.display();
        let file = self.folder.join(super::IN).join(name);
        match set_aside(&file, &self.folder.join(BROKEN)) {
            Ok(()) => tracing::warn!(%folder, file = name, why, "a dropped file was set aside"),
            Err(error) => {
                tracing::error!(%folder, file = name, why, %error, "setting a file aside failed");
            }
        }
    }

    fn remove(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.folder.join(super::IN).join(name)) {
            let folder = self.folder.display();
            let what = "a file that was taken in cannot be removed";
            tracing::warn!(%folder, file = name, %error, "{what}");
        }
    }
}
