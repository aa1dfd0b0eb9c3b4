//! Which instances have requests now, and how many more they take.

use super::Sent;
use crate::incoming::Uses;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The instances that have requests now.
#[derive(Default)]
pub(in crate::incoming) struct Seats(Mutex<State>);

#[derive(Default)]
struct State {
    seats: Vec<Seat>,
    last: u64,
}

/// One of them.
struct Seat {
    id: u64,
    thread: ThreadId,
    /// Holds no more than the instance has room for.
    jobs: UnboundedSender<Sent>,
    running: u32,
    served: u32,
}

/// A seat, as the task has it that drives the instance. Gone when dropped.
pub(super) struct Taken {
    seats: Arc<Seats>,
    id: u64,
    served: Mutex<u32>,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the job to an instance of this thread that has room, or back.
    pub(super) fn offer(&self, sent: Sent, uses: Uses) -> Result<(), Box<Sent>> {
        let this = thread::current().id();
        let mut state = self.lock();
        let seat = state.seats.iter_mut().find(|seat| {
            seat.running < uses.concurrent && seat.served < uses.requests && seat.thread == this
        });
        let Some(seat) = seat else { return Err(Box::new(sent)) };
        seat.jobs.send(sent).map_err(|back| Box::new(back.0))?;
        seat.running += 1;
        seat.served += 1;
        Ok(())
    }

    /// A seat on this thread for an instance that served so many, with a job in its queue.
    pub(super) fn add(
        seats: &Arc<Self>,
        first: Sent,
        served: u32,
    ) -> (Taken, UnboundedReceiver<Sent>) {
        let (jobs, queue) = unbounded_channel();
        // The other end is here.
        drop(jobs.send(first));
        let mut state = seats.lock();
        state.last += 1;
        let (id, thread) = (state.last, thread::current().id());
        state.seats.push(Seat { id, thread, jobs, running: 1, served: served + 1 });
        drop(state);
        let seats = Arc::clone(seats);
        (Taken { seats, id, served: Mutex::new(served + 1) }, queue)
    }
}

impl Taken {
    /// Counts a job as over. Returns whether it was the last one; then there will be no other.
    pub(super) fn finish(&self) -> bool {
        let mut state = self.seats.lock();
        let Some(seat) = state.seats.iter_mut().find(|seat| seat.id == self.id) else {
            return false;
        };
        seat.running -= 1;
        let last = seat.running == 0;
        if last {
            // Under the same lock, or a job might come in between that nobody does.
            self.leave(&mut state);
        }
        last
    }

    /// Takes no further job. Returns how many came in all.
    pub(super) fn close(&self) -> u32 {
        let mut state = self.seats.lock();
        self.leave(&mut state)
    }

    fn leave(&self, state: &mut State) -> u32 {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = state.seats.iter().position(|seat| seat.id == self.id) {
            *served = state.seats.swap_remove(index).served;
        }
        *served
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.close();
    }
}
