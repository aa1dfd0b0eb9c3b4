//! One trigger that runs, whose callee can be exchanged meanwhile.

use engine::{Stop, Tasks};
use std::time::Duration;
use tokio::sync::watch;

/// A trigger that runs: what it is by the file, and what it calls.
pub(super) struct Running<K, C> {
    of: K,
    callee: watch::Sender<C>,
    stop: Stop,
    tasks: Tasks,
}

impl<K: PartialEq, C> Running<K, C> {
    /// Runs what is `ready` in the place of `running`, and returns what is left of that.
    ///
    /// Of two that are the same by the file, the second is not started but told whom to call.
    pub(super) fn exchange<F>(
        running: &mut Vec<Self>,
        ready: Vec<(K, C)>,
        start: impl Fn(&K, watch::Receiver<C>, Stop) -> F,
    ) -> Vec<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut earlier = std::mem::take(running);
        for (of, callee) in ready {
            if let Some(same) = earlier.iter().position(|earlier| earlier.of == of) {
                let same = earlier.swap_remove(same);
                same.callee.send_replace(callee);
                running.push(same);
                continue;
            }
            let (sender, receiver) = watch::channel(callee);
            let (stop, tasks) = (Stop::new(), Tasks::new());
            tasks.spawn(start(&of, receiver, stop.clone()));
            running.push(Self { of, callee: sender, stop, tasks });
        }
        earlier
    }

    /// Lets it finish its call, at most `grace`; returns whether it did not, as a number.
    pub(super) fn end(self, grace: Duration) -> impl Future<Output = usize> + Send + use<K, C> {
        let Self { stop, tasks, .. } = self;
        async move {
            stop.now();
            tasks.drain(grace).await
        }
    }
}
