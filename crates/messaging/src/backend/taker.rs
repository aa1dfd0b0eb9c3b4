//! A subscriber: a task takes messages from the server as they are asked for, and keeps what
//! nobody waits for any more until somebody does, or gives it back.

use crate::{Delivery, Subscriber};
use async_trait::async_trait;
use base::Result;
use std::sync::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// So many may wait for a message before others wait to do so.
const ASKS: usize = 64;

/// Who waits for a message.
pub(super) type Ask = oneshot::Sender<Result<Delivery>>;

/// What the task hears from the subscriber.
pub(super) struct Asked {
    /// Those that wait for a message; over when the subscriber is gone.
    pub(super) asks: mpsc::Receiver<Ask>,
    /// Whether it was closed.
    pub(super) closed: watch::Receiver<bool>,
    /// To be dropped when no more messages are taken: who closes it waits for that.
    pub(super) runs: watch::Sender<()>,
}

/// A part in a group.
pub(super) struct Taker {
    asks: mpsc::Sender<Ask>,
    closed: watch::Sender<bool>,
    /// Ends when the task does.
    running: watch::Receiver<()>,
    /// Ends by itself once this is closed and gone: within a call's timeout.
    task: Mutex<JoinSet<()>>,
}

impl Taker {
    /// One whose task is what `run` returns.
    pub(super) fn new<F>(run: impl FnOnce(Asked) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (asks, asked) = mpsc::channel(ASKS);
        let (closed, is_closed) = watch::channel(false);
        let (runs, running) = watch::channel(());
        let mut task = JoinSet::new();
        task.spawn(run(Asked { asks: asked, closed: is_closed, runs }));
        Self { asks, closed, running, task: Mutex::new(task) }
    }
}

/// Waits until the subscriber is closed or gone.
pub(super) async fn is_closed(closed: &mut watch::Receiver<bool>) {
    // An error says that it is gone.
    drop(closed.wait_for(|closed| *closed).await);
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
