//! Futures that may take only so long.
//!
//! A timer is made only once there is something to wait for: most calls of a guest are answered at
//! once. A call within a call shares the timer of the outer one, and calls that come one after the
//! other use the same [`Timer`]: to take a place among all timers of a runtime, and to give it up
//! again, costs more than all else that a call and its answer have to go through here. So a place
//! that was taken stays until its time has come.

use pin_project_lite::pin_project;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{self, Handle};
use tokio::time::{Instant, Sleep};

/// The time was over before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// A timer for calls that come one after the other. Cheap to clone; of calls at the same time one
/// uses it, and the others have timers of their own.
#[derive(Clone, Debug, Default)]
pub struct Timer(Arc<Mutex<Option<Place>>>);

/// A place among the timers of a runtime, with which it ends.
#[derive(Debug)]
struct Place {
    runtime: runtime::Id,
    // In a box: a timer within a future makes all that hold it large, and aligned to 128 bytes.
    sleep: Pin<Box<Sleep>>,
}

pin_project! {
    /// What [`within`] and [`Timer::within`] return.
    #[must_use = "futures do nothing unless polled"]
    pub struct Within<'a, F> {
        #[pin]
        future: F,
        // None: there is no end.
        until: Option<Instant>,
        alarm: Alarm<'a>,
    }
}

/// Waits for `future`, for at most `limit` from now on.
///
/// Needs a runtime of Tokio with time, unless it is ready at once.
pub fn within<F: Future>(limit: Duration, future: F) -> Within<'static, F> {
    Within::new(limit, future, None)
}

impl<'a, F: Future> Within<'a, F> {
    fn new(limit: Duration, future: F, timer: Option<&'a Timer>) -> Self {
        let until = Instant::now().checked_add(limit);
        Self { future, until, alarm: Alarm { place: None, timer } }
    }
}

impl Timer {
    /// [`within`], with this timer if it is free.
    pub fn within<F: Future>(&self, limit: Duration, future: F) -> Within<'_, F> {
        Within::new(limit, future, Some(self))
    }

    fn take(&self) -> Option<Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn give(&self, place: Place) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }
}

/// What wakes a task when a time is over.
struct Alarm<'a> {
    place: Option<Place>,
    timer: Option<&'a Timer>,
}

impl Alarm<'_> {
    /// Whether `at` has come. If not, the task will be woken then.
    fn poll(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let Place { sleep, .. } = match &mut self.place {
            Some(place) => place,
            empty => {
                let runtime = Handle::current().id();
                let kept = self.timer.and_then(Timer::take);
                let kept = kept.filter(|kept| kept.runtime == runtime);
                let new = || Place { runtime, sleep: Box::pin(tokio::time::sleep_until(at)) };
                empty.insert(kept.unwrap_or_else(new))
            }
        };
        loop {
            // A place that comes sooner is as good, and it is there already.
            if sleep.deadline() > at || (sleep.is_elapsed() && sleep.deadline() != at) {
                sleep.as_mut().reset(at);
            }
            // A future that always uses up what a task may do at once does not thereby escape.
            let polled = std::pin::pin!(tokio::task::unconstrained(sleep.as_mut())).poll(context);
            if polled.is_pending() || sleep.deadline() >= at {
                return polled;
            }
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let (Some(place), Some(timer)) = (self.place.take(), self.timer) {
            timer.give(place);
        }
    }
}

/// The call that is being polled on this thread, as calls within it see it.
#[derive(Clone, Copy)]
struct Outer {
    /// The waker that it is polled with, for comparison only.
    waker: *const Waker,
    /// When a call within it wants to be polled at the latest.
    next: Option<Instant>,
}

thread_local! {
    static OUTER: Cell<Option<Outer>> = const { Cell::new(None) };
}

/// Puts the outer call back into its place, whatever happens.
struct Restore(Option<Outer>);

impl Drop for Restore {
    fn drop(&mut self) {
        OUTER.set(self.0);
    }
}

impl Restore {
    /// Has the outer call wake the task at `at`, if it is polled with the same waker: what lies
    /// between might else not pass the poll on.
    fn defer(&mut self, at: Instant, context: &Context<'_>) -> bool {
        let Some(outer) = &mut self.0 else { return false };
        // Not only equal: the same one, so that it is the same poll.
        let is_same = std::ptr::eq(outer.waker, context.waker());
        if is_same {
            outer.next = Some(outer.next.map_or(at, |next| next.min(at)));
        }
        is_same
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut outer = Restore(OUTER.get());
        loop {
            OUTER.set(Some(Outer { waker: context.waker(), next: None }));
            let polled = this.future.as_mut().poll(context);
            let within = OUTER.get().and_then(|own| own.next);
            if let Poll::Ready(output) = polled {
                return Poll::Ready(Ok(output));
            }
            let next = [*this.until, within].into_iter().flatten().min();
            let Some(next) = next else { return Poll::Pending };
            if outer.defer(next, context) {
                let is_over = this.until.is_some_and(|until| until <= Instant::now());
                return if is_over { Poll::Ready(Err(Elapsed)) } else { Poll::Pending };
            }
            if this.alarm.poll(next, context).is_pending() {
                return Poll::Pending;
            }
            if this.until.is_some_and(|until| until <= next) {
                return Poll::Ready(Err(Elapsed));
            }
            // It was the time of a call within, which is told so by being polled.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, StreamExt as _};
    use std::future::{pending, ready};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn what_takes_longer_is_over() {
        assert_eq!(within(LONG, ready(7)).await, Ok(7));
        let begun = Instant::now();
        assert_eq!(within(SHORT, pending::<()>()).await, Err(Elapsed));
        assert!(begun.elapsed() >= SHORT);
    }

    #[tokio::test]
    async fn there_may_be_no_end() {
        assert_eq!(within(Duration::MAX, tokio::time::sleep(SHORT)).await, Ok(()));
        let inner = within(SHORT, pending::<()>());
        assert_eq!(within(Duration::MAX, inner).await, Ok(Err(Elapsed)));
    }

    #[test]
    fn what_is_ready_needs_no_runtime() {
        let done = within(SHORT, within(SHORT, ready(()))).now_or_never();
        assert_eq!(done, Some(Ok(Ok(()))));
    }

    #[tokio::test]
    async fn the_sooner_of_two_ends_is_the_end() {
        let outer = within(SHORT, within(LONG, pending::<()>()));
        assert_eq!(outer.await, Err(Elapsed));
        let inner = within(LONG, within(LONG, within(SHORT, pending::<()>())));
        assert_eq!(inner.await, Ok(Ok(Err(Elapsed))));
        // Also where the outer one has waited before.
        let twice = within(LONG, async {
            tokio::time::sleep(SHORT).await;
            (within(SHORT, pending::<()>()).await, within(LONG, ready(7)).await)
        });
        assert_eq!(twice.await, Ok((Err(Elapsed), Ok(7))));
    }

    #[tokio::test]
    async fn what_is_polled_apart_has_its_own_end() {
        let many = (0..10).map(|_| within(SHORT, pending::<()>()));
        let all = futures::stream::iter(many).buffer_unordered(10).collect::<Vec<_>>();
        assert_eq!(within(LONG, all).await, Ok(vec![Err(Elapsed); 10]));
    }

    #[tokio::test]
    async fn who_uses_up_all_turns_does_not_escape() {
        let busy = async {
            loop {
                tokio::task::coop::consume_budget().await;
            }
        };
        assert_eq!(within(SHORT, busy).await, Err(Elapsed));
    }

    #[test]
    fn a_timer_goes_with_its_runtime() {
        let timer = Timer::default();
        for _ in 0..2 {
            let mut runtime = runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().build().unwrap();
            let waiting = timer.within(LONG, tokio::task::yield_now());
            assert_eq!(runtime.block_on(waiting), Ok(()));
            assert_eq!(runtime.block_on(timer.within(SHORT, pending::<()>())), Err(Elapsed));
        }
    }

    #[tokio::test]
    async fn a_place_that_comes_sooner_ends_nothing_too_soon() {
        let timer = Timer::default();
        let begun = Instant::now();
        assert_eq!(timer.within(SHORT, tokio::task::yield_now()).await, Ok(()));
        assert_eq!(timer.within(SHORT * 4, pending::<()>()).await, Err(Elapsed));
        assert!(begun.elapsed() >= SHORT * 4);
        // Also where it came while nobody waited.
        assert_eq!(timer.within(SHORT, tokio::task::yield_now()).await, Ok(()));
        tokio::time::sleep(SHORT * 2).await;
        let begun = Instant::now();
        assert_eq!(timer.within(SHORT, pending::<()>()).await, Err(Elapsed));
        assert!(begun.elapsed() >= SHORT);
        assert_eq!(timer.within(LONG, ready(())).await, Ok(()));
    }

    #[tokio::test]
    async fn a_timer_serves_one_call_after_the_other() {
        let timer = Timer::default();
        for _ in 0..3 {
            assert_eq!(timer.within(LONG, tokio::task::yield_now()).await, Ok(()));
            assert!(timer.0.lock().unwrap().is_some());
        }
        assert_eq!(timer.within(SHORT, pending::<()>()).await, Err(Elapsed));
        assert_eq!(timer.within(SHORT, pending::<()>()).await, Err(Elapsed));
        let (one, two) = tokio::join!(
            timer.within(SHORT, pending::<()>()),
            timer.within(SHORT * 2, tokio::time::sleep(SHORT)),
        );
        assert_eq!((one, two), (Err(Elapsed), Ok(())));
    }
}
