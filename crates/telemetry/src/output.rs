//! A guest's standard output and standard error, line by line into its log.

use crate::logger::{Level, Logger, Record};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Which of a guest's streams it is. The word becomes the context of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes what one instance writes and logs each line as one record of level `info`.
///
/// A line longer than the longest message becomes several records. The last line is logged when
/// this is dropped, even if it never ended.
pub struct GuestOutput {
    logger: Logger,
    stream: Stream,
    request: Box<dyn Fn() -> Option<Arc<str>> + Send + Sync>,
    line: Vec<u8>,
}

impl GuestOutput {
    /// The `stream` of one instance. `request` says which request the instance serves when a line
    /// ends.
    pub fn new(
        logger: Logger,
        stream: Stream,
        request: impl Fn() -> Option<Arc<str>> + Send + Sync + 'static,
    ) -> Self {
        Self { logger, stream, request: Box::new(request), line: Vec::new() }
    }

    /// Takes bytes that the guest wrote.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if !self.logger.hears(Level::Info) {
            return;
        }
        while let Some((line, rest)) = split_line(bytes) {
            self.extend(line);
            self.finish_line();
            bytes = rest;
        }
        self.extend(bytes);
    }

    /// Adds to the present line, and logs its beginning where it becomes too long.
    fn extend(&mut self, mut bytes: &[u8]) {
        let limit = self.logger.limits().message.max(4);
        while self.line.len() + bytes.len() > limit {
            let (fits, rest) = bytes.split_at(limit - self.line.len());
            self.line.extend_from_slice(fits);
            bytes = rest;
            // A character that is not yet whole waits for its other bytes.
            let open = match std::str::from_utf8(&self.line) {
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                _ => self.line.len(),
            };
            let begun = self.line.split_off(open);
            self.log();
            self.line = begun;
        }
        self.line.extend_from_slice(bytes);
    }

    fn finish_line(&mut self) {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        self.log();
    }

    fn log(&mut self) {
        self.logger.log(&Record {
            level: Level::Info,
            request: (self.request)().as_deref(),
            context: match self.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            },
            message: &String::from_utf8_lossy(&self.line),
        });
        self.line.clear();
    }
}

/// The bytes before the first line break, and those after it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at(end);
    Some((line, rest.get(1..)?))
}

impl fmt::Debug for GuestOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestOutput").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Drop for GuestOutput {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.finish_line();
        }
    }
}

impl io::Write for GuestOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
