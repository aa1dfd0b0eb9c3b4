//! What a broker hears from the server: that there is something to take, and replies.
//!
//! Nothing depends on it but speed: whoever waits for messages looks from time to time anyway.

use super::binding::Binding;
use super::letter;
use crate::Filter;
use crate::local::Inboxes;
use base::{Error, Result, lock};
use connect::redis::Listening;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// The pause before the server is called again, at first and at the most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// The ears of one broker.
pub(super) struct Ears {
    seats: Mutex<Seats>,
    pub(super) inboxes: Arc<Inboxes>,
    /// How often the connection was made, and whether there is one.
    hears: watch::Sender<(u64, bool)>,
    /// Somebody needs it now.
    needed: Notify,
}

#[derive(Default)]
struct Seats {
    last: u64,
    taken: HashMap<u64, Sitting>,
}

/// Who waits for what.
struct Sitting {
    group: String,
    topics: Vec<Filter>,
    wake: Arc<Notify>,
}

/// A place to wait for messages. Given up when dropped.
pub(super) struct Seat {
    number: u64,
    ears: Arc<Ears>,
    pub(super) wake: Arc<Notify>,
}

impl Ears {
    pub(super) fn new() -> Arc<Self> {
        let (hears, _) = watch::channel((0, false));
        let (seats, needed) = (Mutex::default(), Notify::new());
        Arc::new(Self { seats, inboxes: Inboxes::new(), hears, needed })
    }

    /// A place for who takes messages of this group, which covers these topics.
    pub(super) fn sit(self: &Arc<Self>, group: &str, topics: &[Filter]) -> Seat {
        let wake = Arc::<Notify>::default();
        let mut seats = lock(&self.seats);
        seats.last += 1;
        let number = seats.last;
        let (group, topics) = (group.to_owned(), topics.to_vec());
        seats.taken.insert(number, Sitting { group, topics, wake: Arc::clone(&wake) });
        Seat { number, ears: Arc::clone(self), wake }
    }

    /// Whether anything would be heard now.
    pub(super) fn can_hear(&self) -> bool {
        self.hears.borrow().1
    }

    /// Waits until something would be heard; what it returns ends when that is over.
    ///
    /// # Errors
    /// `Unavailable` if that takes longer than `patience`.
    pub(super) async fn listening(
        &self,
        patience: Duration,
    ) -> Result<impl Future<Output = ()> + use<>> {
        let mut hears = self.hears.subscribe();
        if !self.can_hear() {
            self.needed.notify_one();
        }
        let waiting = hears.wait_for(|(_, hears)| *hears);
        let number = match base::within(patience, waiting).await {
            Ok(Ok(now)) => now.0,
            _ => return Err(Error::unavailable("no replies come from the server now")),
        };
        Ok(async move {
            // An error says that the ears are gone.
            drop(hears.wait_for(|(other, hears)| !*hears || *other != number).await);
        })
    }

    /// Listens for ever.
    pub(super) async fn run(self: Arc<Self>, binding: Arc<Binding>) {
        let (wakes, replies) = (binding.wakes(), binding.replies(&self.inboxes.name()));
        let channels = [wakes.clone(), replies];
        let mut pause = PAUSE;
        loop {
            match binding.server.listen(&channels).await {
                Ok(listening) => {
                    pause = PAUSE;
                    self.hears
                        .send_modify(|(number, hears)| (*number, *hears) = (*number + 1, true));
                    // What was said meanwhile nobody heard.
                    self.wake(|_| true);
                    self.listen(listening, &wakes).await;
                    self.hears.send_modify(|(_, hears)| *hears = false);
                    self.wake(|_| true);
                }
                Err(error) => tracing::debug!(%error, "listening to the server is tried again"),
            }
            // Not every host of a deployment at the same moment.
            tokio::select! {
                () = sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
                () = self.needed.notified() => {}
            }
            pause = (pause * 2).min(LONGEST);
        }
    }

    async fn listen(&self, mut listening: Listening, wakes: &str) {
        while let Some(said) = listening.next().await {
            let content = said.get_payload_bytes();
            if said.get_channel_name() == wakes {
                self.hear(content);
            } else if let Some((topic, message)) = letter::unpack_reply(content) {
                // Who waits no more is told nothing.
                drop(self.inboxes.deliver(topic, message));
            }
        }
    }

    /// Wakes those whom it is about.
    fn hear(&self, said: &[u8]) {
        let Ok(said) = str::from_utf8(said) else { return };
        match said.split_at_checked(1) {
            Some(("t", topics)) => self.wake(|sitting| {
                let is_covered =
                    |topic: &str| sitting.topics.iter().any(|filter| filter.covers(topic));
                topics.split(' ').any(is_covered)
            }),
            Some(("g", group)) => self.wake(|sitting| sitting.group == group),
            _ => {}
        }
    }

    fn wake(&self, whom: impl Fn(&Sitting) -> bool) {
        lock(&self.seats)
            .taken
            .values()
            .filter(|sitting| whom(sitting))
            .for_each(|it| it.wake.notify_one());
    }
}

impl Seat {
    /// Waits for messages of these topics, of the group with this number, from now on.
    pub(super) fn change(&self, change: impl FnOnce(&mut String, &mut Vec<Filter>)) {
        if let Some(sitting) = lock(&self.ears.seats).taken.get_mut(&self.number) {
            change(&mut sitting.group, &mut sitting.topics);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.ears.seats).taken.remove(&self.number);
    }
}
