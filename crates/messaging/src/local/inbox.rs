//! Who waits for replies.

use crate::{INBOX, Message};
use base::{Error, Result, incarnation, lock};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// So many replies wait for one request; more are dropped, as one to a request that is over is.
const WAITING: usize = 1024;

/// The requests of one broker that wait for replies.
pub(super) struct Inboxes {
    /// What a former opening made is over.
    incarnation: u64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u64,
    inboxes: HashMap<u64, Sender<Message>>,
}

/// A request that waits. Closed when dropped.
pub(super) struct Inbox {
    number: u64,
    all: Arc<Inboxes>,
    pub(super) replies: Receiver<Message>,
}

impl Inboxes {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { incarnation: incarnation(), open: Mutex::default() })
    }

    pub(super) fn open(self: &Arc<Self>) -> Inbox {
        let (sender, replies) = channel(WAITING);
        let mut open = lock(&self.open);
        open.last += 1;
        let number = open.last;
        open.inboxes.insert(number, sender);
        Inbox { number, all: Arc::clone(self), replies }
    }

    /// Hands a reply to whoever waits for what is published to this topic.
    pub(super) fn deliver(&self, topic: &str, message: Message) -> Result<()> {
        let (incarnation, number) =
            read(topic).ok_or_else(|| Error::invalid("this is no topic for replies"))?;
        if incarnation == self.incarnation
            && let Some(inbox) = lock(&self.open).inboxes.get(&number)
        {
            // One that is full or gone takes no more.
            drop(inbox.try_send(message));
        }
        Ok(())
    }
}

impl Inbox {
    /// Where replies go.
    pub(super) fn topic(&self) -> String {
        format!("{INBOX}.{:x}-{}", self.all.incarnation, self.number)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        lock(&self.all.open).inboxes.remove(&self.number);
    }
}

fn read(topic: &str) -> Option<(u64, u64)> {
    let (_, place) = topic.split_once('.')?;
    let (incarnation, number) = place.split_once('-')?;
    Some((u64::from_str_radix(incarnation, 16).ok()?, number.parse().ok()?))
}
