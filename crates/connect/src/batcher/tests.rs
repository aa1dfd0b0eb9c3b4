//! Calls that wait for each other, and calls that do not.

use super::*;
use base::Kind;
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
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
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
