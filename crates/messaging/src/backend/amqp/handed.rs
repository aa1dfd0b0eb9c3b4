//! What was handed out, and what becomes of it.
//!
//! The server knows no deadlines. So this host gives back what nobody settled until then; what it
//! has itself when it is frozen or gone the server gives to others once it hears no more of it.

use super::Binding;
use super::group::Queue;
use super::letter::Letter;
use super::wait;
use crate::{Settle, Verdict, late};
use async_trait::async_trait;
use base::{Error, Result, lock, within};
use connect::amqp::Connection;
use futures::FutureExt as _;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicQosOptions};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Where messages come from.
pub(super) struct Source {
    pub(super) connection: Connection,
    pub(super) channel: Channel,
    /// So many may be on their way or here at once.
    pub(super) window: u16,
    /// How many messages were acknowledged, and of how many the server has heard.
    said: AtomicU64,
    heard: AtomicU64,
    /// Held by who asks whether it has.
    asking: tokio::sync::Mutex<()>,
}

impl Source {
    pub(super) fn new(connection: Connection, channel: Channel, window: u16) -> Self {
        Self {
            connection,
            channel,
            window,
            said: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// Whether the server has taken back all that came from it.
    pub(super) fn is_lost(&self) -> bool {
        self.connection.is_lost() || !self.channel.status().connected()
    }

    /// Gives a message back, and does not wait until the server has it.
    pub(super) fn give_back(&self, tag: u64) {
        let options = BasicNackOptions { requeue: true, multiple: false };
        // It is on its way when it was polled once.
        drop(self.channel.basic_nack(tag, options).now_or_never());
    }

    /// Acknowledges a message, and waits until the server has heard: it answers to acknowledgements
    /// nothing, but to what is asked behind them.
    pub(super) async fn acknowledge(&self, tag: u64) -> Result<()> {
        let refused = |error| self.connection.refused(error);
        self.channel.basic_ack(tag, BasicAckOptions::default()).await.map_err(refused)?;
        let number = self.said.fetch_add(1, SeqCst) + 1;
        let _asking = self.asking.lock().await;
        if self.heard.load(SeqCst) >= number {
            return Ok(());
        }
        let said = self.said.load(SeqCst);
        let asked = self.channel.basic_qos(self.window, BasicQosOptions::default()).await;
        asked.map_err(refused)?;
        self.heard.fetch_max(said, SeqCst);
        Ok(())
    }
}

/// What a subscriber was handed out and has not settled, by when it has to be.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    last: u64,
    out: HashMap<u64, (Instant, Arc<Source>, u64)>,
    times: BTreeSet<(Instant, u64)>,
    /// What was handed out is nobody's any more.
    is_forgotten: bool,
}

impl Ledger {
    /// Takes note of a message with this tag. What is returned tells it from all others.
    pub(super) fn note(&self, source: &Arc<Source>, tag: u64, until: Instant) -> u64 {
        let mut book = lock(&self.0);
        book.last += 1;
        let number = book.last;
        book.out.insert(number, (until, Arc::clone(source), tag));
        book.times.insert((until, number));
        book.is_forgotten = false;
        number
    }

    /// Settles a message, unless it was given back.
    fn claim(&self, number: u64) -> Option<Claim> {
        let mut book = lock(&self.0);
        let (until, source, tag) = book.out.remove(&number)?;
        book.times.remove(&(until, number));
        Some(Claim { source, tag, is_settled: false })
    }

    fn extend(&self, number: u64, until: Instant) -> bool {
        let mut book = lock(&self.0);
        let Some((former, source, _)) = book.out.get_mut(&number) else { return false };
        if source.is_lost() {
            return false;
        }
        let former = std::mem::replace(former, until);
        book.times.remove(&(former, number));
        book.times.insert((until, number));
        true
    }

    /// When the next deadline is.
    pub(super) fn next(&self) -> Option<Instant> {
        lock(&self.0).times.first().map(|(until, _)| *until)
    }

    /// Gives back what should have been settled by now.
    pub(super) fn give_back_until(&self, now: Instant) {
        while let Some(number) = self.due(now) {
            // It goes back when it is dropped.
            drop(self.claim(number));
        }
    }

    fn due(&self, now: Instant) -> Option<u64> {
        let book = lock(&self.0);
        let (until, number) = *book.times.first()?;
        (until <= now).then_some(number)
    }

    /// Gives everything back.
    pub(super) fn give_back(&self) {
        let all: Vec<u64> = lock(&self.0).out.keys().copied().collect();
        all.into_iter().for_each(|number| drop(self.claim(number)));
    }

    /// Has verdicts count for nothing, as the group was forgotten.
    pub(super) fn forget(&self) {
        let mut book = lock(&self.0);
        book.is_forgotten = true;
        book.times.clear();
        let forgotten = std::mem::take(&mut book.out);
        drop(book);
        drop(forgotten);
    }

    fn is_forgotten(&self) -> bool {
        lock(&self.0).is_forgotten
    }
}

/// A message that one has to settle. It goes back if that comes to nothing.
struct Claim {
    source: Arc<Source>,
    tag: u64,
    is_settled: bool,
}

impl Claim {
    async fn acknowledge(mut self) -> (Arc<Source>, Result<()>) {
        self.is_settled = true;
        let source = Arc::clone(&self.source);
        let outcome = source.acknowledge(self.tag).await;
        (source, outcome)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_settled {
            self.source.give_back(self.tag);
        }
    }
}

/// A message that is with this host, until somebody settles it.
pub(super) struct Out {
    pub(super) binding: Arc<Binding>,
    pub(super) queue: Queue,
    pub(super) ledger: Arc<Ledger>,
    /// Its number in the ledger.
    pub(super) number: u64,
    /// What a copy of it needs.
    pub(super) letter: Letter,
    pub(super) deadline: Duration,
}

impl Out {
    /// Why there is nothing to say of it any more.
    async fn is_gone(&self) -> Result<()> {
        if self.ledger.is_forgotten() {
            return Ok(());
        }
        // Where the server is away that is what it is: the message is there again when it is back.
        self.binding.server.listen(async |_| Ok(())).await?;
        Err(late())
    }

    async fn acknowledge(&self, claim: Claim) -> Result<()> {
        let server = &self.binding.server;
        match within(server.timeout(), claim.acknowledge()).await {
            Ok((_, Ok(()))) => Ok(()),
            Ok((source, Err(_))) if source.is_lost() => self.is_gone().await,
            Ok((_, Err(error))) => Err(error),
            Err(_elapsed) => {
                let time = base::units::show_duration(server.timeout());
                Err(Error::timeout(format!("{} did not answer within {time}", server.server())))
            }
        }
    }
}

#[async_trait]
impl Settle for Out {
    async fn settle(self: Box<Self>, verdict: Verdict) -> Result<()> {
        let Some(claim) = self.ledger.claim(self.number) else { return self.is_gone().await };
        if claim.source.is_lost() {
            return self.is_gone().await;
        }
        match verdict {
            Verdict::Ack => self.acknowledge(claim).await,
            Verdict::Nack(delay) => {
                let (binding, queue, letter) = (&self.binding, &self.queue, &self.letter);
                let copied = match wait::units(delay) {
                    0 => wait::put_back(binding, queue, letter, letter.attempt).await,
                    units => wait::put_off(binding, queue, letter, letter.attempt, units).await,
                };
                match copied {
                    // There is a copy, so it does not matter if it comes a second time.
                    Ok(()) => drop(self.acknowledge(claim).await),
                    // It comes again as it is.
                    Err(_) if delay.is_zero() => {}
                    Err(error) => return Err(error),
                }
                Ok(())
            }
        }
    }

    async fn extend(&self) -> Result<()> {
        match self.ledger.extend(self.number, Instant::now() + self.deadline) {
            true => Ok(()),
            false => self.is_gone().await,
        }
    }
}

impl Drop for Out {
    /// Who says nothing gives it back.
    fn drop(&mut self) {
        drop(self.ledger.claim(self.number));
    }
}
