//! A work queue: each job is done by one worker, and by another where that one fails.
use crate::bindings::wasi::messaging::types::{Error, Message};
use crate::{kept, lost, text};

/// Does a job. What returns an error is tried again, as the schedule says, and goes to the dead
/// letters in the end.
pub fn work(message: &Message) -> Result<(), Error> {
    let job = text(message);
    if job.contains("impossible") {
        return Err(Error::Other(format!("nobody can do `{job}`")));
    }
    // A job may come twice: doing it again has to be no harm.
    kept()?.set(&format!("done/{job}"), b"yes").map_err(lost)
}
