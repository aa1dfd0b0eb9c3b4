//! Calls of many that are made together while the server is busy.
//!
//! As long as few calls are on their way each is made alone and at once. Behind so many that the
//! server has enough to do, calls wait for one of these to end, and then are made together: one
//! question and one answer, and one write to the disk, for all of them. So batches are as large as
//! the load asks for, and nobody waits for the sake of a batch alone, nor for longer than a moment
//! for those who have a lane and do not go on.

use base::{Error, Kind, Result, within};
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
        let answered = match within(patience.min(timeout), &mut answer).await {
            Ok(answered) => Ok(answered),
            Err(elapsed) if patience >= timeout => Err(elapsed),
            Err(_) => {
                self.0.hasten();
                within(timeout, answer).await
            }
        };
        match answered {
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
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Timeout) => {
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
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use tokio::sync::Semaphore;

    /// Doubles numbers, as soon as it is let.
    #[derive(Default)]
    struct Doubling {
        gate: Arc<Gate>,
    }

    struct Gate {
        open: Semaphore,
        batches: Mutex<Vec<usize>>,
        alone: AtomicUsize,
    }

    impl Default for Gate {
        fn default() -> Self {
            Self { open: Semaphore::new(0), batches: Mutex::default(), alone: AtomicUsize::new(0) }
        }
    }

    impl Gate {
        async fn pass(&self) {
            self.open.acquire().await.unwrap().forget();
        }

        fn batches(&self) -> Vec<usize> {
            self.batches.lock().unwrap().clone()
        }
    }

    async fn double(call: u32) -> Result<u32> {
        match call {
            13 => Err(Error::invalid("an unlucky number")),
            call => Ok(call * 2),
        }
    }

    impl Batch for Doubling {
        type Call = u32;
        type Answer = u32;

        fn size(call: &u32) -> usize {
            *call as usize
        }

        async fn one(&self, call: &u32) -> Result<u32> {
            self.gate.alone.fetch_add(1, Relaxed);
            double(*call).await
        }

        async fn many(&self, calls: &[u32]) -> Result<Vec<Result<u32>>> {
            self.gate.batches.lock().unwrap().push(calls.len());
            self.gate.pass().await;
            if calls.contains(&13) {
                return Err(Error::invalid("an unlucky number"));
            }
            if calls.contains(&14) {
                return Err(Error::unavailable("the server is away").with_hint("start it"));
            }
            Ok(calls.iter().map(|call| Ok(call * 2)).collect())
        }
    }

    const LIMITS: Limits = Limits {
        lanes: 1,
        calls: 4,
        bytes: 1000,
        patience: Duration::from_secs(60),
        timeout: Duration::from_secs(5),
    };

    fn batcher(limits: Limits) -> (Arc<Batcher<Doubling>>, Arc<Gate>) {
        let gate = Arc::<Gate>::default();
        (Arc::new(Batcher::new("doubling", Doubling { gate: Arc::clone(&gate) }, limits)), gate)
    }

    /// A call that takes the lane until the gate lets it go on.
    #[expect(clippy::disallowed_methods, reason = "who calls it waits for it")]
    fn occupy(
        batcher: &Arc<Batcher<Doubling>>,
        gate: &Arc<Gate>,
    ) -> tokio::task::JoinHandle<Result<u32>> {
        let (batcher, gate) = (Arc::clone(batcher), Arc::clone(gate));
        tokio::spawn(async move {
            let alone = || async {
                gate.pass().await;
                Ok(0)
            };
            batcher.call(|| unreachable!("the lane is free"), alone).await
        })
    }

    #[expect(clippy::disallowed_methods, reason = "who calls it waits for it")]
    fn calls(
        batcher: &Arc<Batcher<Doubling>>,
        numbers: &[u32],
    ) -> Vec<tokio::task::JoinHandle<Result<u32>>> {
        let call = |number: &u32| {
            let (batcher, number) = (Arc::clone(batcher), *number);
            tokio::spawn(async move { batcher.call(|| number, || double(number)).await })
        };
        numbers.iter().map(call).collect()
    }

    async fn settle() {
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_is_alone_asks_alone() {
        let (batcher, gate) = batcher(LIMITS);
        for number in 0..10 {
            assert_eq!(batcher.call(|| number, || double(number)).await.unwrap(), number * 2);
        }
        assert!(gate.batches().is_empty());
    }

    #[tokio::test]
    async fn who_waits_is_answered_with_others() {
        let (batcher, gate) = batcher(LIMITS);
        let first = occupy(&batcher, &gate);
        settle().await;
        let waiting = calls(&batcher, &[1, 2, 3, 4, 5, 6]);
        settle().await;
        assert!(gate.batches().is_empty());
        gate.open.add_permits(10);
        assert_eq!(first.await.unwrap().unwrap(), 0);
        for (number, call) in (1..).zip(waiting) {
            assert_eq!(call.await.unwrap().unwrap(), number * 2);
        }
        assert_eq!(gate.batches(), [4, 2]);
        settle().await;
        // The lane is free again.
        assert_eq!(batcher.call(|| 7, || double(7)).await.unwrap(), 14);
        assert_eq!(gate.batches(), [4, 2]);
    }

    #[tokio::test]
    async fn a_batch_holds_no_more_bytes_than_it_may() {
        let (batcher, gate) = batcher(Limits { bytes: 100, ..LIMITS });
        let first = occupy(&batcher, &gate);
        settle().await;
        let waiting = calls(&batcher, &[60, 40, 200, 50, 51]);
        settle().await;
        gate.open.add_permits(10);
        for call in waiting {
            call.await.unwrap().unwrap();
        }
        first.await.unwrap().unwrap();
        // Three of them alone.
        assert_eq!(gate.batches(), [2]);
        assert_eq!(gate.alone.load(Relaxed), 3);
    }

    #[tokio::test]
    async fn what_one_did_wrong_the_others_do_not_pay_for() {
        let (batcher, gate) = batcher(LIMITS);
        let first = occupy(&batcher, &gate);
        settle().await;
        let mut waiting = calls(&batcher, &[1, 13, 2]);
        settle().await;
        gate.open.add_permits(10);
        assert_eq!(waiting.remove(2).await.unwrap().unwrap(), 4);
        assert_eq!(waiting.remove(1).await.unwrap().unwrap_err().kind(), Kind::Invalid);
        assert_eq!(waiting.remove(0).await.unwrap().unwrap(), 2);
        first.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn that_the_server_is_away_all_are_told() {
        let (batcher, gate) = batcher(LIMITS);
        let first = occupy(&batcher, &gate);
        settle().await;
        let waiting = calls(&batcher, &[1, 14]);
        settle().await;
        gate.open.add_permits(10);
        for call in waiting {
            let error = call.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), Kind::Unavailable);
            assert_eq!(error.hint(), Some("start it"));
        }
        assert_eq!(gate.alone.load(Relaxed), 0);
        first.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_went_away_is_not_asked_for() {
        let (batcher, gate) = batcher(LIMITS);
        let first = occupy(&batcher, &gate);
        settle().await;
        let mut waiting = calls(&batcher, &[1, 2, 3]);
        settle().await;
        waiting.remove(1).abort();
        // Who has the lane goes away too, and the others have it then.
        first.abort();
        settle().await;
        gate.open.add_permits(10);
        for call in waiting {
            call.await.unwrap().unwrap();
        }
        assert_eq!(gate.batches(), [2]);
    }

    #[tokio::test]
    async fn who_does_not_take_his_answer_holds_up_nobody() {
        let (batcher, gate) = batcher(Limits { patience: Duration::from_millis(5), ..LIMITS });
        let mut stuck = Box::pin(batcher.call(|| 0, std::future::pending::<Result<u32>>));
        // It has the lane, and is not polled again.
        assert!(futures::poll!(&mut stuck).is_pending());
        gate.open.add_permits(10);
        for call in calls(&batcher, &[1, 2, 3]) {
            call.await.unwrap().unwrap();
        }
        assert_eq!(gate.batches(), [3]);
        drop(stuck);
        assert_eq!(batcher.call(|| 4, || double(4)).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_a_call_may_take() {
        let (batcher, gate) = batcher(Limits { timeout: Duration::from_millis(50), ..LIMITS });
        let first = occupy(&batcher, &gate);
        settle().await;
        let error = batcher.call(|| 1, || double(1)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        gate.open.add_permits(1);
        first.await.unwrap().unwrap();
    }

    #[test]
    fn who_waits_for_a_runtime_that_ended_is_told() {
        let (batcher, gate) = batcher(LIMITS);
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (one, other) = (runtime(), runtime());
        one.block_on(async {
            drop(occupy(&batcher, &gate));
            settle().await;
        });
        let waiting = other.block_on(async {
            let waiting = calls(&batcher, &[1, 2]);
            settle().await;
            waiting
        });
        drop(one);
        other.block_on(async {
            for call in waiting {
                assert_eq!(call.await.unwrap().unwrap_err().kind(), Kind::Unavailable);
            }
            assert_eq!(batcher.call(|| 3, || double(3)).await.unwrap(), 6);
        });
    }
}
