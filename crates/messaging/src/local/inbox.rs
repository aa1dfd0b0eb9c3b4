//! Who waits for replies.

use crate::options::too_many;
use crate::{INBOX, Message, RequestOptions};
use base::{Error, Result, incarnation, lock};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};

/// So many replies wait for one request; more are dropped, as one to a request that is over is.
const WAITING: usize = 1024;

/// Where the replies to one request go.
struct Waiting {
    sender: Sender<Message>,
    /// How many bytes of replies still fit.
    room: usize,
    is_over: Arc<AtomicBool>,
}

/// The requests of one broker that wait for replies.
pub(crate) struct Inboxes {
    /// What a former opening made is over.
    pub(crate) incarnation: u64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u64,
    inboxes: HashMap<u64, Waiting>,
}

/// A request that waits. Closed when dropped.
pub(crate) struct Inbox {
    number: u64,
    all: Arc<Inboxes>,
    replies: Receiver<Message>,
    /// There were more bytes of replies than fit.
    is_over: Arc<AtomicBool>,
}

impl Inboxes {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { incarnation: incarnation(), open: Mutex::default() })
    }

    /// What stands for all of them in topics.
    pub(crate) fn name(&self) -> String {
        format!("{:x}", self.incarnation)
    }

    /// A place for replies that have at most so many bytes together.
    pub(crate) fn open(self: &Arc<Self>, most: usize) -> Inbox {
        let (sender, replies) = channel(WAITING);
        let mut open = lock(&self.open);
        open.last += 1;
        let number = open.last;
        let is_over = Arc::<AtomicBool>::default();
        let waiting = Waiting { sender, room: most, is_over: Arc::clone(&is_over) };
        open.inboxes.insert(number, waiting);
        Inbox { number, all: Arc::clone(self), replies, is_over }
    }

    /// Hands a reply to whoever waits for what is published to this topic.
    pub(crate) fn deliver(&self, topic: &str, message: Message) -> Result<()> {
        let (incarnation, number) =
            asker(topic).ok_or_else(|| Error::invalid("this is no topic for replies"))?;
        if incarnation == self.incarnation
            && let Some(inbox) = lock(&self.open).inboxes.get_mut(&number)
        {
            match inbox.room.checked_sub(message.size()) {
                Some(room) => {
                    inbox.room = room;
                    // One that is full or gone takes no more.
                    drop(inbox.sender.try_send(message));
                }
                None => inbox.is_over.store(true, Relaxed),
            }
        }
        Ok(())
    }
}

impl Inbox {
    /// Takes replies, until there are as many as were asked for or the time is over.
    pub(crate) async fn collect(
        &mut self,
        end: Instant,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        let mut found = Vec::new();
        while found.len() < options.replies
            && let Ok(Some(reply)) = timeout_at(end, self.replies.recv()).await
        {
            found.push(reply);
        }
        if self.is_over.load(Relaxed) {
            return Err(too_many(options));
        }
        match found.is_empty() {
            true => Err(Error::timeout("nobody replied in time")),
            false => Ok(found),
        }
    }

    /// Where replies go.
    pub(crate) fn topic(&self) -> String {
        format!("{INBOX}.{}-{}", self.all.name(), self.number)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        lock(&self.all.open).inboxes.remove(&self.number);
    }
}

/// Whose topic for replies it is: what stands for the inboxes, and which of them.
pub(crate) fn asker(topic: &str) -> Option<(u64, u64)> {
    let (_, place) = topic.split_once('.')?;
    let (incarnation, number) = place.split_once('-')?;
    Some((u64::from_str_radix(incarnation, 16).ok()?, number.parse().ok()?))
}
