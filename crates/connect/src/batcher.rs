//! Calls of many that are made together while the server is busy.
//!
//! As long as few calls are on their way each is made alone and at once. Behind so many that the
//! server has enough to do, calls wait for one of these to end, and then are made together: one
//! question and one answer, and one write to the disk, for all of them. So batches are as large as
//! the load asks for, and nobody waits for the sake of a batch alone, nor for longer than a moment
//! for those who have a lane and do not go on.

use base::{Error, Result, within};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The most calls that wait.
const QUEUE: usize = 4096;

/// Calls of one kind to one server.
pub trait Batch: Send + Sync + 'static {
    /// What is asked.
    type Call: Send + Sync + 'static;
    /// What is answered.
    type Answer: Send + 'static;

    /// The bytes that a call sends.
    fn size(call: &Self::Call) -> usize;

    /// Makes one call.
    ///
    /// # Errors
    /// The call's own.
    fn one(&self, call: &Self::Call) -> impl Future<Output = Result<Self::Answer>> + Send;

    /// Makes several, with an answer to each in their order.
    ///
    /// # Errors
    /// With `Unavailable` and `Timeout` nobody knows what became of any of them, and each caller is
    /// told so. With any other none took effect, and each of them is made alone.
    fn many(
        &self,
        calls: &[Self::Call],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer>>>> + Send;
}

/// How calls are made together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many calls or batches are on their way before others wait.
    pub lanes: usize,
    /// The most calls in a batch.
    pub calls: usize,
    /// The most bytes in a batch of more than one call.
    pub bytes: usize,
    /// Who waited for so long waits no more for those who have a lane: they may leave their answers
    /// where they are for as long as they like.
    pub patience: Duration,
    /// How long a call may take with all its waiting.
    pub timeout: Duration,
}

/// Makes calls, together where they would have to wait.
pub struct Batcher<B: Batch>(Arc<Shared<B>>);

struct Shared<B: Batch> {
    server: String,
    batch: B,
    limits: Limits,
    state: Mutex<State<B>>,
}

struct State<B: Batch> {
    /// Lanes that are taken.
    busy: usize,
    waiting: VecDeque<Waiting<B>>,
}

struct Waiting<B: Batch> {
    call: B::Call,
    answer: oneshot::Sender<Result<B::Answer>>,
}

/// A lane that a call has for itself. Who waits gets it next.
struct Alone<'a, B: Batch>(&'a Arc<Shared<B>>);

/// A lane on which batches are made as long as somebody waits.
struct Lane<B: Batch> {
    shared: Arc<Shared<B>>,
    is_taken: bool,
}

impl<B: Batch> Batcher<B> {
    /// Makes calls to `server`, as errors shall name it, in the way of `batch`.
    pub fn new(server: impl Into<String>, batch: B, limits: Limits) -> Self {
        let state = Mutex::new(State { busy: 0, waiting: VecDeque::new() });
        Self(Arc::new(Shared { server: server.into(), batch, limits, state }))
    }

    /// Makes a call: `alone` if there is room for it, and otherwise `call` with others.
    ///
    /// # Errors
    /// The call's own; `Timeout` where it takes too long, when nobody knows whether it took effect.
    pub async fn call<F>(
        &self,
        call: impl FnOnce() -> B::Call,
        alone: impl FnOnce() -> F,
    ) -> Result<B::Answer>
    where
        F: Future<Output = Result<B::Answer>>,
    {
        let Some(mut answer) = self.0.enter(call)? else {
            let _lane = Alone(&self.0);
            return alone().await;
        };
        let Limits { patience, timeout, .. } = self.0.limits;
        let answered = async {
            match within(patience, &mut answer).await {
                Ok(answered) => answered,
                Err(_elapsed) => {
                    self.0.hasten();
                    answer.await
                }
            }
        };
        match within(timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_given_up)) => {
                Err(Error::unavailable(format!("{}: the call was given up", self.0.server)))
            }
            Err(_elapsed) => Err(Error::timeout(format!(
                "{} did not answer within {}, with all that came before",
                self.0.server,
                base::units::show_duration(timeout)
            ))),
        }
    }
}

impl<B: Batch> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lane, or where there is none a place among those who wait.
    ///
    /// # Errors
    /// `Exhausted` where too many do.
    fn enter(
        &self,
        call: impl FnOnce() -> B::Call,
    ) -> Result<Option<oneshot::Receiver<Result<B::Answer>>>> {
        let mut state = self.lock();
        if state.busy < self.limits.lanes {
            state.busy += 1;
            return Ok(None);
        }
        if state.waiting.len() >= QUEUE {
            state.waiting.retain(|waiting| !waiting.answer.is_closed());
            if state.waiting.len() >= QUEUE {
                return Err(Error::exhausted(format!("too many calls to {} wait", self.server)));
            }
        }
        let (answer, receiver) = oneshot::channel();
        state.waiting.push_back(Waiting { call: call(), answer });
        Ok(Some(receiver))
    }

    /// Opens one lane more for those who wait, if there are any.
    fn hasten(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            return;
        }
        state.busy += 1;
        drop(state);
        Lane { shared: Arc::clone(self), is_taken: true }.start();
    }

    /// Gives up a lane that nobody will go on with.
    fn leave(&self) {
        let mut state = self.lock();
        state.busy -= 1;
        let given_up = match state.busy {
            0 => std::mem::take(&mut state.waiting),
            _ => VecDeque::new(),
        };
        drop(state);
        drop(given_up);
    }
}

impl<B: Batch> Drop for Alone<'_, B> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.waiting.is_empty() {
            state.busy -= 1;
            return;
        }
        drop(state);
        Lane { shared: Arc::clone(self.0), is_taken: true }.start();
    }
}

impl<B: Batch> Lane<B> {
    fn start(self) {
        // Without a runtime, or with one that ends, the lane is given up.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.run());
        }
    }

    async fn run(mut self) {
        loop {
            // Those who were just answered ask again, if they are let.
            tokio::task::yield_now().await;
            let (calls, answers) = self.take();
            match calls.as_slice() {
                [] => return,
                [call] => tell(answers, [self.shared.batch.one(call).await]),
                calls => self.make(calls, answers).await,
            }
        }
    }

    /// As many calls as fit in a batch; none gives up the lane.
    #[expect(clippy::type_complexity, reason = "a list of each")]
    fn take(&mut self) -> (Vec<B::Call>, Vec<oneshot::Sender<Result<B::Answer>>>) {
        let Limits { calls: most, bytes: room, .. } = self.shared.limits;
        let mut state = self.shared.lock();
        let number = state.waiting.len().min(most);
        let (mut calls, mut answers) = (Vec::with_capacity(number), Vec::with_capacity(number));
        let mut bytes = 0;
        while let Some(next) = state.waiting.front() {
            bytes += B::size(&next.call);
            if calls.len() == most || (bytes > room && !calls.is_empty()) {
                break;
            }
            if let Some(Waiting { call, answer }) = state.waiting.pop_front()
                && !answer.is_closed()
            {
                calls.push(call);
                answers.push(answer);
            }
        }
        if calls.is_empty() {
            state.busy -= 1;
            self.is_taken = false;
        }
        drop(state);
        (calls, answers)
    }

    async fn make(&self, calls: &[B::Call], answers: Vec<oneshot::Sender<Result<B::Answer>>>) {
        let batch = &self.shared.batch;
        match batch.many(calls).await {
            Ok(outcomes) => tell(answers, outcomes),
            Err(error) if error.kind().leaves_open() => {
                tell(answers, std::iter::repeat_with(|| Err(error.again())));
            }
            Err(_refused) => {
                let alone = calls.iter().zip(answers).map(async |(call, answer)| {
                    // Nobody is told who went away meanwhile, and so nothing is done for him.
                    if !answer.is_closed() {
                        drop(answer.send(batch.one(call).await));
                    }
                });
                futures::future::join_all(alone).await;
            }
        }
    }
}

impl<B: Batch> Drop for Lane<B> {
    fn drop(&mut self) {
        if self.is_taken {
            self.shared.leave();
        }
    }
}

/// Answers those who still listen.
fn tell<A>(
    answers: Vec<oneshot::Sender<Result<A>>>,
    outcomes: impl IntoIterator<Item = Result<A>>,
) {
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        drop(answer.send(outcome));
    }
}

#[cfg(test)]
mod tests;
