//! What people read: on standard error, results on standard output.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long something may take before it is announced.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says a line on standard error. A closed stream is nobody to tell.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Gives a result on standard output. A closed pipe means that enough was read.
pub(crate) fn give(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Whether standard error shows colours.
pub(crate) fn has_color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Does the work, and says so where it takes long.
pub(crate) fn announced<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, waiting) = mpsc::channel::<()>();
    let text = format!("{what} …");
    let watcher = thread::Builder::new().name("wharf-progress".to_owned()).spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            say(&text);
        }
    });
    let result = work();
    drop(done);
    // Without the thread there was nothing to announce with; the work is done all the same.
    drop(watcher.map(thread::JoinHandle::join));
    result
}
