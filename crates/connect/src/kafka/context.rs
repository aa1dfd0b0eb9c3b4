//! What librdkafka's threads tell: of errors the last one, for calls that end without a reason.

use base::lock;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An error that is older explains nothing any more.
const RECENT: Duration = Duration::from_secs(15);

/// What the clients of one binding tell.
#[derive(Clone)]
pub struct Context(Arc<Told>);

struct Told {
    server: String,
    last: Mutex<Option<Last>>,
}

/// The last error that a client told of.
struct Last {
    code: Option<RDKafkaErrorCode>,
    reason: String,
    at: Instant,
}

impl Context {
    pub(super) fn new(server: String) -> Self {
        Self(Arc::new(Told { server, last: Mutex::default() }))
    }

    /// What it leads to, for messages.
    pub(super) fn server(&self) -> &str {
        &self.0.server
    }

    /// What kept a client from its servers just now, if something did.
    pub(super) fn trouble(&self) -> Option<(Option<RDKafkaErrorCode>, String)> {
        let last = lock(&self.0.last);
        let last = last.as_ref().filter(|last| last.at.elapsed() < RECENT)?;
        Some((last.code, last.reason.clone()))
    }

    /// Somebody answered.
    pub(super) fn is_well(&self) {
        lock(&self.0.last).take();
    }
}

/// For consumers that take part in nothing.
impl ConsumerContext for Context {}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let server = self.server();
        // Whoever makes a call is told of what went wrong; what has no caller is logged where it
        // is noticed.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(server, facility, "{message}");
            }
            _ => tracing::debug!(server, facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(server = self.server(), %error, reason);
        let code = error.rdkafka_error_code();
        let mut last = lock(&self.0.last);
        // That all are away says less than why the last one is.
        if code == Some(RDKafkaErrorCode::AllBrokersDown)
            && let Some(last) = last.as_mut()
        {
            last.at = Instant::now();
            return;
        }
        *last = Some(Last { code, reason: reason.to_owned(), at: Instant::now() });
    }
}
