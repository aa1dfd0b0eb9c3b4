//! The HTTP interface of the key-value guests on WASI 0.2, whose calls are answered at once.
pub use kit_keyvalue::Bucket;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasip2::http::types::IncomingBody;
use wasip2::io::streams::StreamError;

use crate::{Outcome, Target};

/// Does what the path says; see `kit_keyvalue`.
pub fn command(bucket: &impl Bucket, target: &Target, body: impl FnOnce() -> Vec<u8>) -> Outcome {
    let command = pin!(kit_keyvalue::command(bucket, target, async || body()));
    match command.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("nothing in 0.2 waits"),
    }
}

/// The whole body of a request.
pub fn whole(body: IncomingBody) -> Vec<u8> {
    let stream = body.stream().unwrap();
    let mut whole = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => whole.extend(bytes),
            Err(StreamError::Closed) => return whole,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
}
