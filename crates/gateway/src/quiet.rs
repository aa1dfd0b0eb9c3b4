//! Threads that have become quiet give back the memory of their last burst.

use engine::{Stop, Trimmer};
use std::cell::Cell;
use std::time::Duration;

/// How often a thread looks.
const LOOK: Duration = Duration::from_secs(5);
/// So few requests since it last looked are quiet.
const FEW: u64 = 100;

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

/// Counts a request of this thread.
pub(crate) fn count() {
    REQUESTS.set(REQUESTS.get().wrapping_add(1));
}

/// Gives memory back whenever this thread is quiet after it was not.
pub(crate) async fn watch(stop: Stop) {
    let mut trimmer = Trimmer::default();
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        match REQUESTS.replace(0) > FEW {
            true => trimmer.was_busy(),
            false => trimmer.was_quiet(),
        }
    }
}
