//! Futures that may take only so long.

use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The time was over before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

pin_project! {
    /// What [`within`] returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct Within<F> {
        #[pin]
        future: F,
        until: Option<Instant>,
        // In a box: a timer within a future makes all that hold it large, and aligned to 128 bytes.
        sleep: Option<Pin<Box<Sleep>>>,
    }
}

/// Waits for `future`, for at most `limit` from now on.
///
/// A timer is made only once there is something to wait for: most calls of a guest are answered at
/// once. Needs a runtime of Tokio with time then.
pub fn within<F: Future>(limit: Duration, future: F) -> Within<F> {
    Within { future, until: Instant::now().checked_add(limit), sleep: None }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        // Without an end in sight there is none.
        let Some(until) = *this.until else { return Poll::Pending };
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        // A future that always uses up what a task may do at once does not thereby escape.
        let sleep = std::pin::pin!(tokio::task::unconstrained(sleep.as_mut()));
        ready!(sleep.poll(context));
        Poll::Ready(Err(Elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_takes_longer_is_over() {
        assert_eq!(within(Duration::from_secs(5), ready(7)).await, Ok(7));
        let begun = Instant::now();
        assert_eq!(within(SHORT, pending::<()>()).await, Err(Elapsed));
        assert!(begun.elapsed() >= SHORT);
    }

    #[tokio::test]
    async fn there_may_be_no_end() {
        assert_eq!(within(Duration::MAX, tokio::time::sleep(SHORT)).await, Ok(()));
    }

    #[test]
    fn what_is_ready_needs_no_runtime() {
        let done = futures::executor::block_on(within(SHORT, ready(())));
        assert_eq!(done, Ok(()));
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
}
