//! How many requests are under way at once, and how many wait for one of them to end.

use super::network::Waiting;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Places for requests, and a queue before them.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    all: usize,
    queued: AtomicUsize,
    queue: usize,
}

impl Places {
    /// So many places, and so many that wait; none at all if there is no place.
    pub fn new(places: usize, queue: usize) -> Self {
        let all = places.min(Semaphore::MAX_PERMITS);
        let (free, queued) = (Arc::new(Semaphore::new(all)), AtomicUsize::new(0));
        Self { free, all, queued, queue }
    }

    /// A place, if one is free.
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A place, as soon as one is free; `None` if too many wait already, or at the deadline.
    pub async fn wait(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        if let Some(place) = self.take() {
            return Some(place);
        }
        if self.all == 0 || self.queued.load(Ordering::Relaxed) >= self.queue {
            return None;
        }
        let _queued = Waiting::new(&self.queued);
        timeout_at(deadline, Arc::clone(&self.free).acquire_owned()).await.ok()?.ok()
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.all.saturating_sub(self.free.available_permits())
    }
}
