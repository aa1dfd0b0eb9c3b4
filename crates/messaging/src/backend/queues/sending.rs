//! Messages that are sent and removed together, where they would have to wait for each other.

use super::{Letter, Service};
use base::{Error, Result};
use connect::batcher::{Batch, Batcher, Limits};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// So many calls are on their way before others wait to be made together.
const LANES: usize = 8;
/// So many times what one question takes is made together: of several queues, or at once.
const QUESTIONS: usize = 2;
/// Who waited for so long waits no more for others.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is asked of a queue.
#[derive(Clone)]
pub(super) enum Call {
    /// To take a message.
    Send(Arc<str>, Letter),
    /// To remove the message of a receipt.
    Remove(Arc<str>, String),
}

/// How calls to a service are made.
pub(super) struct Sending<S>(Arc<S>);

pub(super) fn batcher<S: Service>(service: &Arc<S>) -> Batcher<Sending<S>> {
    let limits = Limits {
        lanes: LANES,
        calls: S::TOGETHER * QUESTIONS,
        bytes: service.most_bytes(),
        patience: PATIENCE,
        timeout: service.timeout().saturating_mul(2),
    };
    Batcher::new(service.server(), Sending(Arc::clone(service)), limits)
}

/// Makes a call alone.
pub(super) async fn one<S: Service>(service: &S, call: Call) -> Result<()> {
    let mut answers = match &call {
        Call::Send(queue, letter) => service.send(queue, &[letter]).await?,
        Call::Remove(queue, receipt) => service.remove(queue, &[receipt]).await?,
    };
    answers.pop().unwrap_or_else(lost)
}

fn lost() -> Result<()> {
    Err(Error::internal("a message has no outcome"))
}

impl<S: Service> Batch for Sending<S> {
    type Call = Call;
    type Answer = ();

    fn size(call: &Call) -> usize {
        match call {
            Call::Send(_, letter) => letter.size(),
            Call::Remove(..) => 0,
        }
    }

    async fn one(&self, call: &Call) -> Result<()> {
        one(&*self.0, call.clone()).await
    }

    async fn many(&self, calls: &[Call]) -> Result<Vec<Result<()>>> {
        let mut kinds: HashMap<(&str, bool), Vec<(usize, &Call)>> = HashMap::new();
        for (at, call) in calls.iter().enumerate() {
            let kind = match call {
                Call::Send(queue, _) => (&**queue, true),
                Call::Remove(queue, _) => (&**queue, false),
            };
            kinds.entry(kind).or_default().push((at, call));
        }
        let together = kinds.iter().flat_map(|((queue, _), calls)| {
            calls.chunks(S::TOGETHER).map(move |calls| self.together(queue, calls))
        });
        let mut outcomes: Vec<Option<Result<()>>> = calls.iter().map(|_| None).collect();
        for (at, outcome) in futures::future::join_all(together).await.into_iter().flatten() {
            if let Some(place) = outcomes.get_mut(at) {
                *place = Some(outcome);
            }
        }
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(lost)).collect())
    }
}

impl<S: Service> Sending<S> {
    /// Makes calls of one kind to one queue, and says of each by its number what became of it.
    async fn together(&self, queue: &str, calls: &[(usize, &Call)]) -> Vec<(usize, Result<()>)> {
        let (mut letters, mut receipts) = (Vec::new(), Vec::new());
        for (_, call) in calls {
            match call {
                Call::Send(_, letter) => letters.push(letter),
                Call::Remove(_, receipt) => receipts.push(receipt.as_str()),
            }
        }
        let answered = match receipts.is_empty() {
            true => self.0.send(queue, &letters).await,
            false => self.0.remove(queue, &receipts).await,
        };
        let numbers = calls.iter().map(|(at, _)| *at);
        match answered {
            Ok(answers) => numbers.zip(answers).collect(),
            Err(error) => numbers.map(|at| (at, Err(error.again()))).collect(),
        }
    }
}
