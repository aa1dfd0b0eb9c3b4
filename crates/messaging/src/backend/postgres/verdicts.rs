//! What receivers say of messages; what many say is said to the server together.

use super::Host;
use super::rows::milliseconds;
use super::tables::Tables;
use crate::{Settle, Verdict, late};
use async_trait::async_trait;
use base::Result;
use connect::batcher::{Batch, Limits};
use connect::postgres::{Commit, Parameters, column};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// So many are said at once before others wait, and then together.
const LANES: usize = 2;
const CALLS: usize = 512;
/// How long they wait for those who do not go on.
const PATIENCE: Duration = Duration::from_millis(20);
/// So many that nobody waits for are on their way. More are not said: their messages come again at
/// their deadlines.
pub(super) const GIVEN: usize = 4096;

/// How verdicts are said together.
pub(super) fn limits(timeout: Duration) -> Limits {
    Limits { lanes: LANES, calls: CALLS, bytes: usize::MAX, patience: PATIENCE, timeout }
}

/// What is said of a message that is out under a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    group: i64,
    seq: i64,
    token: i64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Done,
    /// It is to come again after so long.
    Back(Duration),
    /// It stays out for so long.
    Stays(Duration),
}

/// Says verdicts: each is heard, unless its message was handed out again.
#[derive(Clone)]
pub(super) struct Verdicts(pub(super) Arc<Tables>);

impl Batch for Verdicts {
    type Call = Said;
    type Answer = bool;

    fn size(_said: &Said) -> usize {
        0
    }

    async fn one(&self, said: &Said) -> Result<bool> {
        let heard = self.say(std::slice::from_ref(said)).await?;
        Ok(heard.first().copied().unwrap_or(false))
    }

    async fn many(&self, all: &[Said]) -> Result<Vec<Result<bool>>> {
        Ok(self.say(all).await?.into_iter().map(Ok).collect())
    }
}

impl Verdicts {
    async fn say(&self, all: &[Said]) -> Result<Vec<bool>> {
        let groups: Vec<i64> = all.iter().map(|said| said.group).collect();
        let seqs: Vec<i64> = all.iter().map(|said| said.seq).collect();
        let tokens: Vec<i64> = all.iter().map(|said| said.token).collect();
        let done: Vec<bool> = all.iter().map(|said| matches!(said.what, What::Done)).collect();
        let stays: Vec<bool> = all.iter().map(|said| matches!(said.what, What::Stays(_))).collect();
        let pause = |said: &Said| match said.what {
            What::Done => 0.0,
            What::Back(pause) | What::Stays(pause) => milliseconds(pause),
        };
        let pauses: Vec<f64> = all.iter().map(pause).collect();
        let Self(tables) = self;
        let steps: &[(&str, Parameters<'_>)] =
            &[(&tables.sql.settle, &[&groups, &seqs, &tokens, &done, &stays, &pauses])];
        let rows = tables.server.at_once(Commit::Lazy, steps).await?.pop().unwrap_or_default();
        rows.iter().map(|row| column(row, 0)).collect()
    }
}

/// Says what nobody waits for, until nobody is left who could.
pub(super) async fn give_back(
    verdicts: Verdicts,
    mut given: mpsc::Receiver<Said>,
    ring: impl Fn(i64) + Send,
) {
    let mut all = Vec::new();
    while given.recv_many(&mut all, CALLS).await > 0 {
        if let Err(error) = verdicts.say(&all).await {
            tracing::debug!(%error, "messages that were dropped come again at their deadlines");
        }
        all.drain(..).for_each(|said| ring(said.group));
    }
}

/// A message that is with a receiver.
pub(super) struct Out {
    pub(super) host: Arc<Host>,
    pub(super) group: i64,
    pub(super) seq: i64,
    pub(super) token: i64,
    pub(super) deadline: Duration,
    /// Whether others may wait for it.
    pub(super) has_key: bool,
    pub(super) is_settled: bool,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Out {
    fn said(&self, what: What) -> Said {
        Said { group: self.group, seq: self.seq, token: self.token, what }
    }

    async fn say(&self, what: What) -> Result<()> {
        let (said, verdicts) = (self.said(what), Verdicts(Arc::clone(&self.host.tables)));
        let alone = async move || verdicts.one(&said).await;
        match self.host.verdicts.call(|| said, alone).await? {
            true => Ok(()),
            false => Err(late()),
        }
    }
}

#[async_trait]
impl Settle for Out {
    async fn settle(mut self: Box<Self>, verdict: Verdict) -> Result<()> {
        // Whoever gives up now has said it, or it comes again at its deadline.
        self.is_settled = true;
        let what = match verdict {
            Verdict::Ack => What::Done,
            Verdict::Nack(delay) => What::Back(delay),
        };
        self.say(what).await?;
        if self.has_key || matches!(verdict, Verdict::Nack(_)) {
            self.host.bells.ring(self.group);
        }
        Ok(())
    }

    async fn extend(&self) -> Result<()> {
        self.say(What::Stays(self.deadline)).await
    }
}

impl Drop for Out {
    /// Who says nothing gives it back.
    fn drop(&mut self) {
        if !self.is_settled {
            // Where too many are given back at once it comes at its deadline.
            _ = self.host.given.try_send(self.said(What::Back(Duration::ZERO)));
        }
    }
}
