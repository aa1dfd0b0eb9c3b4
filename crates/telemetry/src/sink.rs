//! A writer that never waits: a bounded buffer, and a thread that empties it.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Takes whole lines from any thread and writes them on its own.
///
/// When whatever is behind it is slower than what comes in, and the buffer is full, lines are
/// dropped and counted; the count is written as a line of its own once there is room again.
#[derive(Clone)]
pub(crate) struct Sink(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    written: Condvar,
    /// The most bytes that wait.
    capacity: usize,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    /// Whether the thread waits to be woken.
    idle: bool,
    closed: bool,
    ended: bool,
}

impl Sink {
    /// Starts the thread that writes to `to`. `notice` says in a line that lines were dropped.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn start(
        to: impl Write + Send + 'static,
        capacity: usize,
        notice: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            written: Condvar::new(),
            capacity,
        });
        let thread = Arc::clone(&shared);
        let name = "log".to_owned();
        std::thread::Builder::new().name(name).spawn(move || thread.run(to, notice))?;
        Ok(Self(shared))
    }

    /// Puts a line into the buffer, or drops it.
    pub(crate) fn put(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.ended || state.waiting.len() + line.len() > self.0.capacity {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        // A wake-up is a system call; a thread that is awake looks again by itself.
        if std::mem::take(&mut state.idle) {
            self.0.wake.notify_one();
        }
    }

    /// Ends the thread after it wrote what waits, or after `grace` if that takes longer.
    pub(crate) fn close(&self, grace: Duration) {
        let mut state = self.0.lock();
        state.closed = true;
        self.0.wake.notify_one();
        drop(self.0.written.wait_timeout_while(state, grace, |state| !state.ended));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut to: impl Write, notice: impl Fn(u64) -> String) {
        let mut batch = Vec::new();
        while let Some(dropped) = self.next(&mut batch) {
            if dropped > 0 {
                batch.extend_from_slice(notice(dropped).as_bytes());
            }
            // Where nobody reads the log there is nobody to tell either.
            drop(to.write_all(&batch).and_then(|()| to.flush()));
            batch.clear();
        }
    }

    /// Waits for lines and moves them into `batch`. Returns how many were dropped since, or
    /// nothing at the end.
    fn next(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut state = self.lock();
        while state.waiting.is_empty() && state.dropped == 0 {
            if state.closed {
                state.ended = true;
                self.written.notify_all();
                return None;
            }
            state.idle = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        std::mem::swap(&mut state.waiting, batch);
        Some(std::mem::take(&mut state.dropped))
    }
}

impl Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    /// A reader that takes one write each time it is told to.
    struct Slow {
        go: Receiver<()>,
        got: Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(io::Error::other)?;
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.got.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow(capacity: usize) -> (Sink, Sender<()>, Receiver<String>) {
        let ((go, go_receiver), (got, got_receiver)) = (channel(), channel());
        let slow = Slow { go: go_receiver, got };
        let sink = Sink::start(slow, capacity, |n| format!("{n} dropped\n")).unwrap();
        (sink, go, got_receiver)
    }

    #[test]
    fn a_reader_that_stopped_makes_nobody_wait_and_the_loss_is_told() {
        let (sink, go, got) = slow(10);
        sink.put(b"first\n");
        // Until the thread has taken the first line and hangs in its write.
        while !sink.0.lock().waiting.is_empty() {
            std::thread::yield_now();
        }
        let start = Instant::now();
        (0..1000).for_each(|_| sink.put(b"line\n"));
        assert!(start.elapsed() < Duration::from_secs(1));
        go.send(()).unwrap();
        assert_eq!(got.recv().unwrap(), "first\n");
        go.send(()).unwrap();
        assert_eq!(got.recv().unwrap(), "line\nline\n998 dropped\n");
    }

    #[test]
    fn closing_writes_what_waits_and_does_not_wait_for_ever() {
        let (sink, go, got) = slow(100);
        sink.put(b"last\n");
        sink.close(Duration::from_millis(20));
        assert!(got.try_recv().is_err());
        go.send(()).unwrap();
        sink.close(Duration::from_secs(60));
        assert_eq!(got.try_recv().unwrap(), "last\n");
        sink.put(b"too late\n");
        assert!(sink.0.lock().waiting.is_empty());
    }
}
