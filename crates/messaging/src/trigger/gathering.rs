//! The messages of the next call, while it waits for more of them.

use super::rules::Rules;
use crate::Delivery;
use tokio::time::{Instant, sleep_until};

/// Messages that are handed over together.
#[derive(Default)]
pub(super) struct Gathering {
    messages: Vec<Delivery>,
    /// When they do not wait for others any longer.
    until: Option<Instant>,
}

impl Gathering {
    /// Adds one. Returns all of them if there are enough, or if they do not wait.
    pub(super) fn add(&mut self, delivery: Delivery, rules: &Rules) -> Option<Vec<Delivery>> {
        self.until.get_or_insert_with(|| Instant::now() + rules.batch_wait);
        self.messages.push(delivery);
        (self.messages.len() >= rules.batch).then(|| self.take())
    }

    /// All of them.
    pub(super) fn take(&mut self) -> Vec<Delivery> {
        self.until = None;
        std::mem::take(&mut self.messages)
    }

    /// Waits until they do not wait for others any longer: for ever where there are none.
    pub(super) async fn is_over(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}
