//! A subscriber: a task takes messages from the server as they are asked for, and keeps what
//! nobody waits for any more until somebody does, or gives it back.

use super::group::Joined;
use super::pump::{Ask, Pump};
use super::stream::Stream;
use crate::{Delivery, Subscriber, Subscription};
use async_trait::async_trait;
use base::Result;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// So many may wait for a message before others wait to do so.
const ASKS: usize = 64;

/// A part in a group.
pub(super) struct Taker {
    asks: mpsc::Sender<Ask>,
    closed: watch::Sender<bool>,
    /// Ends when the task does.
    running: watch::Receiver<()>,
    /// Ends by itself once this is closed or gone: within a call's timeout.
    task: Mutex<JoinSet<()>>,
}

impl Taker {
    pub(super) fn new(stream: &Arc<Stream>, joined: Joined, subscription: Subscription) -> Self {
        let (asks, asked) = mpsc::channel(ASKS);
        let (closed, is_closed) = watch::channel(false);
        let (runs, running) = watch::channel(());
        let pump = Pump::new(Arc::clone(stream), joined, subscription);
        let mut task = JoinSet::new();
        task.spawn(async move {
            pump.run(asked, is_closed).await;
            drop(runs);
        });
        Self { asks, closed, running, task: Mutex::new(task) }
    }
}

#[async_trait]
impl Subscriber for Taker {
    async fn next(&self) -> Result<Option<Delivery>> {
        let (ask, asked) = oneshot::channel();
        if *self.closed.borrow() || self.asks.send(ask).await.is_err() {
            return Ok(None);
        }
        // Who was closed answers nobody.
        asked.await.map_or(Ok(None), |told| told.map(Some))
    }

    async fn close(&self) {
        self.closed.send_replace(true);
        // It says nothing but that it ends.
        while self.running.clone().changed().await.is_ok() {}
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.closed.send_replace(true);
        // What is on its way from the server is given back before it ends.
        base::lock(&self.task).detach_all();
    }
}
