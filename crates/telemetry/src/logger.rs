//! What one component says, bounded in number and in length.

use crate::bucket::Bucket;
use crate::filter::GUEST;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

/// How long drops are counted before they are told.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A longer record counts as several.
const BYTES_PER_TOKEN: u64 = 1024;

/// How much a record matters, as in `wasi:logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Each step that a program takes.
    Trace,
    /// What helps to find an error.
    Debug,
    /// What an operator likes to know.
    Info,
    /// Something that should not be.
    Warn,
    /// Something failed.
    Error,
    /// Everything failed. Logged as an error with the field `critical`.
    Critical,
}

/// How much a component may log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records per second, in the long run. One above 1 KiB counts as several.
    pub rate: u32,
    /// Records at once after a pause.
    pub burst: u32,
    /// The most bytes of a message, above which it is cut.
    pub message: usize,
    /// The most bytes of a context, above which it is cut.
    pub context: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rate: 1000, burst: 2000, message: 16 << 10, context: 256 }
    }
}

/// One thing that a component says.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How much it matters.
    pub level: Level,
    /// The request that the component serves, if it serves one.
    pub request: Option<&'a str>,
    /// What the component uses to group messages; empty if it does not.
    pub context: &'a str,
    /// What it says.
    pub message: &'a str,
}

/// The log of one component. Cheap to clone; all clones share the limits.
///
/// Records become [`tracing`] events of the target `guest`, with the fields `component`,
/// `request`, `context` and, for the highest level, `critical`.
#[derive(Clone)]
pub struct Logger(Arc<Shared>);

struct Shared {
    component: Arc<str>,
    level: LevelFilter,
    limits: Limits,
    bucket: Bucket,
    start: Instant,
    dropped: AtomicU64,
    /// Whether somebody is about to tell the drops.
    reporting: AtomicBool,
}

impl Logger {
    /// The log of `component`, which is heard down to `level`.
    pub fn new(component: impl Into<Arc<str>>, level: LevelFilter, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            component: component.into(),
            level,
            limits,
            bucket: Bucket::new(limits.rate, limits.burst),
            start: Instant::now(),
            dropped: AtomicU64::new(0),
            reporting: AtomicBool::new(false),
        }))
    }

    /// Whether records of `level` are heard at all.
    pub fn hears(&self, level: Level) -> bool {
        level.tracing() <= self.0.level
    }

    /// The limits that it was made with.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Logs a record, or counts it as dropped where the component says too much.
    pub fn log(&self, record: &Record<'_>) {
        if !self.hears(record.level) {
            return;
        }
        let Limits { message, context, .. } = self.0.limits;
        let message = cut(record.message, message);
        let context = cut(record.context, context);
        let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
        if !self.0.bucket.take(1 + length / BYTES_PER_TOKEN, self.0.start.elapsed()) {
            self.0.dropped.fetch_add(1, Relaxed);
            self.report_later();
            return;
        }
        if self.0.dropped.load(Relaxed) > 0 && !self.0.reporting.load(Relaxed) {
            self.0.report();
        }
        self.0.emit(record.level, record.request, &context, &message);
    }

    /// Tells the drops a second from now, unless that is under way.
    fn report_later(&self) {
        // Where nobody can wait, the next record that passes tells them.
        let Ok(runtime) = Handle::try_current() else { return };
        if self.0.reporting.swap(true, Relaxed) {
            return;
        }
        let shared = Arc::clone(&self.0);
        runtime.spawn(async move {
            tokio::time::sleep(REPORT_EVERY).await;
            shared.report();
        });
    }
}

impl Shared {
    fn report(&self) {
        self.reporting.store(false, Relaxed);
        let dropped = self.dropped.swap(0, Relaxed);
        let component: &str = &self.component;
        tracing::warn!(
            target: GUEST,
            component,
            dropped,
            "log records were dropped because the component logs too much"
        );
    }

    fn emit(&self, level: Level, request: Option<&str>, context: &str, message: &str) {
        let component: &str = &self.component;
        let context = (!context.is_empty()).then_some(context);
        let critical = (level == Level::Critical).then_some(true);
        // The level of an event is part of its static description, hence one for each.
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: GUEST,
                    tracing::Level::$level,
                    component,
                    request,
                    context,
                    critical,
                    message
                )
            };
        }
        match level {
            Level::Trace => event!(TRACE),
            Level::Debug => event!(DEBUG),
            Level::Info => event!(INFO),
            Level::Warn => event!(WARN),
            Level::Error | Level::Critical => event!(ERROR),
        }
    }
}

impl Level {
    fn tracing(self) -> tracing::Level {
        match self {
            Self::Trace => tracing::Level::TRACE,
            Self::Debug => tracing::Level::DEBUG,
            Self::Info => tracing::Level::INFO,
            Self::Warn => tracing::Level::WARN,
            Self::Error | Self::Critical => tracing::Level::ERROR,
        }
    }
}

/// The text, or its beginning and a mark that says how much is missing.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let (kept, rest) = text.split_at(text.floor_char_boundary(limit));
    format!("{kept}… ({} bytes more)", rest.len()).into()
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger")
            .field("component", &self.0.component)
            .field("level", &self.0.level)
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
