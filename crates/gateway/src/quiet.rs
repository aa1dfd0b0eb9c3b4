//! Threads that have become quiet give back the memory of their last burst.

use engine::Stop;
use std::cell::Cell;
use std::time::Duration;

/// How often a thread looks.
const LOOK: Duration = Duration::from_secs(5);
/// So few requests since it last looked are quiet.
const FEW: u64 = 100;
/// How many times a thread gives memory back after it was busy: instances that wait for their next
/// request, and connections that wait for theirs, let go of theirs only after a while.
const TIMES: u32 = 6;

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

/// Counts a request of this thread.
pub(crate) fn count() {
    REQUESTS.set(REQUESTS.get().wrapping_add(1));
}

/// Gives memory back whenever this thread is quiet after it was not.
pub(crate) async fn watch(stop: Stop) {
    let mut times = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if REQUESTS.replace(0) > FEW {
            times = TIMES;
        } else if times > 0 {
            times -= 1;
            engine::trim();
        }
    }
}
