//! What was handed out, and what becomes of it.
//!
//! A service takes a verdict by a receipt that is no longer the last one, or tells of none. So this
//! host notes which deliveries are the last ones of their messages, and until when, and sends no
//! verdict of others.

use super::letter::seconds;
use super::{Service, Shared};
use crate::{Settle, Verdict, late};
use async_trait::async_trait;
use base::{Error, Kind, Result, lock};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// Of each message that is with this host the number of its last delivery.
#[derive(Default)]
pub(super) struct Handed(Mutex<Numbers>);

#[derive(Default)]
struct Numbers {
    last: u64,
    handed: HashMap<(Arc<str>, String), u64>,
}

impl Handed {
    /// Takes note of a delivery.
    fn note(&self, message: &(Arc<str>, String)) -> u64 {
        let mut numbers = lock(&self.0);
        numbers.last += 1;
        let number = numbers.last;
        numbers.handed.insert(message.clone(), number);
        number
    }

    fn is_last(&self, message: &(Arc<str>, String), number: u64) -> bool {
        lock(&self.0).handed.get(message) == Some(&number)
    }

    fn settled(&self, message: &(Arc<str>, String), number: u64) {
        let mut numbers = lock(&self.0);
        if numbers.handed.get(message) == Some(&number) {
            numbers.handed.remove(message);
        }
    }
}

/// A message that is with this host, until somebody settles it.
pub(super) struct Out<S: Service> {
    shared: Arc<Shared<S>>,
    /// Its queue, and what it is called there.
    message: (Arc<str>, String),
    receipt: Mutex<String>,
    number: u64,
    /// For how long it is hidden from others.
    hidden: Duration,
    until: Mutex<Instant>,
    is_settled: bool,
    /// Of who may hold so many.
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S: Service> Out<S> {
    /// One that has just come.
    pub(super) fn new(
        shared: &Arc<Shared<S>>,
        message: (Arc<str>, String),
        receipt: String,
        hidden: Duration,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            number: shared.handed.note(&message),
            message,
            receipt: Mutex::new(receipt),
            hidden,
            until: Mutex::new(Instant::now() + hidden),
            is_settled: false,
            _permit: permit,
        }
    }

    /// Whether it is with another receiver, or will be now.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= *lock(&self.until)
            || !self.shared.handed.is_last(&self.message, self.number)
    }

    /// Removes what is for nobody here.
    pub(super) async fn pass_by(mut self) -> Result<()> {
        self.is_settled = true;
        self.shared.remove(&self.message.0, &self.receipt()).await
    }

    fn receipt(&self) -> String {
        lock(&self.receipt).clone()
    }

    async fn hide(&self, time: Duration) -> Result<()> {
        let receipt = self.receipt();
        let receipt = self.shared.service.hide(&self.message.0, &receipt, time).await?;
        *lock(&self.receipt) = receipt;
        Ok(())
    }
}

/// What a verdict comes to.
fn heard(outcome: Result<()>) -> Result<()> {
    match outcome {
        // What a group that is forgotten was handed out is nobody's any more.
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) if error.kind() == Kind::Conflict => Err(late()),
        outcome => outcome,
    }
}

#[async_trait]
impl<S: Service> Settle for Out<S> {
    async fn settle(mut self: Box<Self>, verdict: Verdict) -> Result<()> {
        if self.is_late() {
            return Err(late());
        }
        let time = match verdict {
            Verdict::Ack => None,
            Verdict::Nack(time) => Some(time),
        };
        if time.is_some_and(|time| time > S::LONGEST_HIDDEN) {
            let most = base::units::show_duration(S::LONGEST_HIDDEN);
            return Err(Error::unsupported(format!(
                "this broker puts a message off for {most} at most"
            )));
        }
        // Whoever gives up now has said it, or it comes again at its deadline.
        self.is_settled = true;
        heard(match time {
            None => self.shared.remove(&self.message.0, &self.receipt()).await,
            Some(time) => self.hide(time).await,
        })
    }

    async fn extend(&self) -> Result<()> {
        if self.is_late() {
            return Err(late());
        }
        let now = Instant::now();
        heard(self.hide(self.hidden).await)?;
        *lock(&self.until) = now + self.hidden;
        Ok(())
    }
}

impl<S: Service> Drop for Out<S> {
    /// Who says nothing gives it back. Without a runtime it comes again at its deadline.
    fn drop(&mut self) {
        if !self.is_settled
            && !self.is_late()
            && let Ok(runtime) = Handle::try_current()
        {
            let (service, queue) = (Arc::clone(&self.shared.service), Arc::clone(&self.message.0));
            let receipt = self.receipt();
            // It ends with its timeout at the latest.
            runtime.spawn(async move {
                if let Err(error) = service.hide(&queue, &receipt, Duration::ZERO).await {
                    tracing::debug!(%error, "a message comes again at its deadline");
                }
            });
        }
        self.shared.handed.settled(&self.message, self.number);
    }
}

/// For how long a message is hidden whose receiver has so long for it, and may wait for it a while
/// before that.
pub(super) fn hidden<S: Service>(deadline: Duration, wait: Duration) -> Duration {
    let time = deadline.saturating_add(wait).min(S::LONGEST_HIDDEN);
    Duration::from_secs(seconds(time))
}
