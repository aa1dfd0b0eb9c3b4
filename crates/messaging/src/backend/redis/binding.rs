//! A binding on a server: its names, and how scripts are called on it.

use crate::Position;
use base::units::milliseconds;
use base::{Clock, Error, Result, lock};
use connect::redis::{Call, Connection, Redis as Server, Script};
use redis::{Value, cmd};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Longer than anybody waits for anything, and short enough that the server's scripts count
/// milliseconds exactly.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// No millisecond has more messages, and scripts count exactly up to here.
const LAST: u64 = (1 << 53) - 1;

/// A binding that is there.
pub(super) struct Binding {
    pub(super) server: Server,
    /// What all its names begin with, and what says in a cluster where they are.
    pub(super) tag: String,
    clock: Clock,
    /// What was there before it was removed is another one.
    incarnation: Mutex<Arc<str>>,
    is_destroyed: AtomicBool,
}

/// What a script answers: a word, and what belongs to it.
pub(super) struct Answer {
    pub(super) word: String,
    pub(super) rest: Vec<Value>,
}

impl Binding {
    /// Finds a binding or makes it.
    pub(super) async fn open(server: Server, tag: String, clock: Clock) -> Result<Self> {
        let incarnation = make(&server, &tag).await?;
        let is_destroyed = AtomicBool::default();
        Ok(Self { server, tag, clock, incarnation: Mutex::new(incarnation), is_destroyed })
    }

    pub(super) fn incarnation(&self) -> Arc<str> {
        Arc::clone(&lock(&self.incarnation))
    }

    /// Milliseconds since 1970, by this host's clock.
    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Where it is told that there is something to take.
    pub(super) fn wakes(&self) -> String {
        format!("{}:w", self.tag)
    }

    /// Where replies come to the requests of a broker.
    pub(super) fn replies(&self, broker: &str) -> String {
        format!("{}:r:{broker}", self.tag)
    }

    /// Calls a script, with these arguments behind those that all have.
    pub(super) async fn call(
        &self,
        script: &'static Script,
        arguments: impl Fn(Call) -> Call,
    ) -> Result<Answer> {
        let call = script.call(&format!("{}:m", self.tag)).arg(&self.tag);
        let call = call.arg(&*self.incarnation());
        let call = match &self.clock {
            Clock::System => call.arg(""),
            clock @ Clock::Manual(_) => call.arg(clock.now()),
        };
        Answer::read(arguments(call).run(&self.server).await?)
    }

    /// The same, and makes the binding again where all of it is gone, with the server's memory for
    /// example.
    pub(super) async fn insist(
        &self,
        script: &'static Script,
        arguments: impl Fn(Call) -> Call + Send + Sync,
    ) -> Result<Answer> {
        let answer = self.call(script, &arguments).await?;
        if !answer.is_gone() {
            return Ok(answer);
        }
        if !self.is_destroyed.load(Relaxed) {
            let made = make(&self.server, &self.tag).await?;
            tracing::warn!(binding = self.tag, "all messages and groups are gone from the server");
            *lock(&self.incarnation) = made;
            let answer = self.call(script, &arguments).await?;
            if !answer.is_gone() {
                return Ok(answer);
            }
        }
        Err(Error::unavailable(format!("the binding `{}` is gone", self.tag))
            .with_hint("restart what uses it, if that was not meant"))
    }

    /// Makes no more of what will be removed now.
    pub(super) fn is_to_go(&self) {
        self.is_destroyed.store(true, Relaxed);
    }

    pub(super) fn position(&self, place: Place) -> Position {
        Position(format!("{}-{place}", self.incarnation()))
    }

    /// The place of a position in this binding.
    pub(super) fn place(&self, position: &Position) -> Option<Place> {
        let (incarnation, place) = position.0.split_once('-')?;
        (incarnation == &*self.incarnation()).then(|| Place::read(place))?
    }
}

/// Notes a binding on the server, unless it is there; its incarnation.
async fn make(server: &Server, tag: &str) -> Result<Arc<str>> {
    let (meta, new) = (format!("{tag}:m"), format!("{:x}", fastrand::u64(..)));
    let found: String = server
        .call(async |connection: &mut Connection| {
            let mut find = cmd("HGET");
            find.arg(&meta).arg("i");
            // A server whose memory is full makes nothing, and need not where it is there.
            if let Some(found) = find.query_async(connection).await? {
                return Ok(found);
            }
            let mut make = cmd("HSETNX");
            make.arg(&meta).arg("i").arg(&new).query_async::<()>(connection).await?;
            find.query_async(connection).await
        })
        .await?;
    Ok(found.into())
}

impl Answer {
    fn read(answer: Value) -> Result<Self> {
        let Value::Array(values) = answer else { return Err(strange(&answer)) };
        let mut rest = values.into_iter();
        let word = text(rest.next().unwrap_or(Value::Nil))?;
        Ok(Self { word, rest: rest.collect() })
    }

    fn is_gone(&self) -> bool {
        self.word == "gone"
    }
}

/// The text of an answer's part.
pub(super) fn text(value: Value) -> Result<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes)
            .map_err(|error| Error::corrupt("the server's answer").with_source(error)),
        other => Err(strange(&other)),
    }
}

/// The number of an answer's part.
pub(super) fn number(value: &Value) -> Result<i64> {
    match value {
        Value::Int(number) => Ok(*number),
        other => Err(strange(other)),
    }
}

pub(super) fn strange(answer: &Value) -> Error {
    Error::internal(format!("the script answered {answer:?}"))
}

/// As long as that, or as anybody waits for anything.
pub(super) fn bounded(duration: Duration) -> Duration {
    duration.min(LONGEST)
}

/// Milliseconds as scripts take them: a part of one counts whole.
pub(super) fn count(duration: Duration) -> u64 {
    milliseconds(bounded(duration) + Duration::from_nanos(999_999))
}

/// Where a message is in the stream: when it was published, in milliseconds since 1970, and which
/// of that millisecond's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    time: u64,
    number: u64,
}

impl Place {
    pub(super) fn read(id: &str) -> Option<Self> {
        let (time, number) = id.split_once('-')?;
        Some(Self { time: time.parse().ok()?, number: number.parse().ok()? })
    }

    /// The last place before this time.
    pub(super) fn before(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match milliseconds(since.min(LONGEST)) {
            0 => Self { time: 0, number: 0 },
            after => Self { time: after - 1, number: LAST },
        }
    }

    /// The place before this one.
    pub(super) fn previous(self) -> Self {
        match self.number {
            0 => Self { time: self.time.saturating_sub(1), number: LAST },
            number => Self { number: number - 1, ..self },
        }
    }

    pub(super) fn time(self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.time))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time, self.number)
    }
}
