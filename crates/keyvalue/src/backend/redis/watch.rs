//! What watchers are told: writes leave a line in a stream while somebody watches.
//!
//! A line names the key and the version that it got, not the value: that is fetched when the line
//! is read. All watchers of a binding share one reader for each shard; one that goes on from an
//! earlier place has a reader of its own.

use super::plain::GRACE;
use super::scripts::Script;
use super::{VERSION, name_in, split};
use crate::local::Record;
use crate::local::relay::{self, Failures, Relay, Told, resumed};
use crate::{Changes, Position, Versioned, WatchOptions};
use base::{Error, Result};
use connect::redis::{Connection, Redis as Server};
use redis::streams::{StreamInfoStreamReply, StreamReadReply};
use redis::{Value, cmd};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the server waits for a line before it says that there is none.
const WAIT: Duration = Duration::from_millis(200);
/// How long lines are kept after the last word of a watcher, and how often it is given.
const HEARD: Duration = Duration::from_secs(600);
const WORD: Duration = Duration::from_secs(60);
/// Lines that are read at once, and entries that are looked at for their end.
const BATCH: usize = 512;
/// Values that were told before their line came.
const AHEAD: usize = 4096;

/// The watchers of one binding.
pub(super) struct Watching {
    server: Arc<Server>,
    shards: Arc<[String]>,
    relay: Relay,
}

impl Watching {
    pub(super) fn new(server: Arc<Server>, shards: Arc<[String]>) -> Self {
        Self { server, shards, relay: Relay::new() }
    }

    pub(super) async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        if let (Some(from), [shard]) = (&options.from, &*self.shards) {
            let reader = Reader::open(&self.server, shard, Some(place(from)?)).await?;
            return Ok(resumed(reader, options.clone()));
        }
        let open = async {
            let mut opened = Vec::with_capacity(self.shards.len());
            for shard in &*self.shards {
                opened.push(Reader::open(&self.server, shard, None).await?);
            }
            Ok(opened)
        };
        self.relay.watch(options, open).await
    }
}

impl relay::Reader for Reader {
    async fn next(&mut self) -> Vec<Told> {
        match self.read().await {
            Ok(told) => {
                self.failures.end();
                told
            }
            Err(error) => {
                self.connection = None;
                self.is_known = false;
                self.failures.wait(&error).await;
                Vec::new()
            }
        }
    }
}

/// A reader of one shard's stream. Takes its connection anew when it is lost.
struct Reader {
    server: Arc<Server>,
    shard: String,
    connection: Option<Connection>,
    /// Whether all hosts have noticed that somebody watches.
    is_known: bool,
    /// The last line that was read.
    last: String,
    /// The last word that somebody watches.
    word: Instant,
    /// Versions that were told before their line came.
    ahead: HashMap<String, Vec<u8>>,
    failures: Failures,
}

impl Reader {
    /// A reader of what comes after `from`, or from now on.
    async fn open(server: &Arc<Server>, shard: &str, from: Option<String>) -> Result<Self> {
        let mut reader = Self {
            server: Arc::clone(server),
            shard: shard.to_owned(),
            connection: None,
            is_known: false,
            last: String::new(),
            word: Instant::now(),
            ahead: HashMap::new(),
            failures: Failures::default(),
        };
        reader.last = reader.listen().await?;
        if let Some(from) = from {
            reader.last = from;
        }
        Ok(reader)
    }

    /// Has lines kept of every write that is acknowledged from now on; the place of the last one
    /// before.
    async fn listen(&mut self) -> Result<String> {
        let call = Script::LISTEN.call(&format!("{}:s", self.shard), &self.shard);
        let answer = call.arg(HEARD.as_millis().to_string()).run(&self.server).await?;
        self.word = Instant::now();
        let (place, is_new): (String, bool) = redis::from_redis_value(answer)
            .map_err(|error| Error::corrupt("the place in a stream").with_source(error))?;
        if is_new || !self.is_known {
            // Until every host has noticed, writes may pass that nobody is told of.
            tokio::time::sleep(GRACE).await;
            self.is_known = true;
        }
        Ok(place)
    }

    async fn read(&mut self) -> Result<Vec<Told>> {
        let mut told = Vec::new();
        if self.connection.is_none() {
            self.listen().await?;
            if self.is_behind().await? {
                told.push(Told::Missed(position(&self.last)?));
            }
            self.connection = Some(self.server.connect().await?);
        }
        if self.word.elapsed() > WORD {
            self.listen().await?;
        }
        let call = Script::SWEEP.call(&format!("{}:x", self.shard), &self.shard);
        call.arg(BATCH).run(&self.server).await?;
        told.extend(self.lines().await?);
        Ok(told)
    }

    /// Whether lines after the last one that was read are gone.
    async fn is_behind(&self) -> Result<bool> {
        let feed = format!("{}:s", self.shard);
        let info: StreamInfoStreamReply =
            self.server.read(cmd("XINFO").arg("STREAM").arg(feed)).await?;
        Ok(position(&info.first_entry.id)?.bytes() > position(&self.last)?.bytes())
    }

    async fn lines(&mut self) -> Result<Vec<Told>> {
        let feed = format!("{}:s", self.shard);
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(BATCH).arg("BLOCK").arg(WAIT.as_millis().to_string());
        command.arg("STREAMS").arg(feed).arg(&self.last);
        let Some(connection) = &mut self.connection else { return Ok(Vec::new()) };
        let limit = WAIT + Duration::from_secs(5);
        let answer = tokio::time::timeout(limit, command.query_async(connection)).await;
        let answer: Option<StreamReadReply> = answer
            .map_err(|_elapsed| Error::timeout("the server does not answer"))?
            .map_err(|error| Error::unavailable("reading a stream").with_source(error))?;
        let lines = answer.map(|answer| answer.keys).unwrap_or_default();
        let lines: Vec<Line> = lines
            .into_iter()
            .flat_map(|stream| stream.ids)
            .map(|entry| Line::read(entry.id, &entry.map))
            .collect::<Result<_>>()?;
        let Some(last) = lines.last() else { return Ok(Vec::new()) };
        let last = last.id.clone();
        let told = self.tell(lines).await?;
        self.last = last;
        Ok(told)
    }

    /// Fetches the values that lines are about.
    async fn tell(&mut self, lines: Vec<Line>) -> Result<Vec<Told>> {
        // Of several lines of one key the last says it all.
        let last: HashMap<String, usize> =
            lines.iter().enumerate().map(|(index, line)| (line.key.clone(), index)).collect();
        let mut command = cmd("MGET");
        let mut asked = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            if line.kind == Kind::Set && last.get(&line.key) == Some(&index) {
                command.arg(name_in(&self.shard, &line.key));
                asked.push(index);
            }
        }
        let found: Vec<Option<Vec<u8>>> = match asked.is_empty() {
            true => Vec::new(),
            false => self.server.read(&command).await?,
        };
        let mut found: HashMap<usize, Option<Vec<u8>>> = asked.into_iter().zip(found).collect();
        let mut told = Vec::new();
        for (index, line) in lines.into_iter().enumerate() {
            let position = position(&line.id)?;
            match line.kind {
                Kind::Mark => told.push(Told::Missed(position)),
                Kind::Delete if last.get(&line.key) == Some(&index) => {
                    told.push(Told::Change(Record::remote(position, line.key, None)));
                }
                Kind::Delete => {}
                Kind::Set => {
                    // One that is gone meanwhile has a line of its own for that.
                    let Some(Some(stored)) = found.remove(&index) else { continue };
                    let stored = split(&line.key, stored)?;
                    if self.is_new(&line, &stored) {
                        told.push(Told::Change(Record::remote(position, line.key, Some(stored))));
                    }
                }
            }
        }
        Ok(told)
    }

    /// Whether the value was not told before. One that is newer than its line is told at once,
    /// and not again when its own line comes.
    fn is_new(&mut self, line: &Line, stored: &Versioned) -> bool {
        let version = stored.version.bytes();
        let told = self.ahead.get(&line.key).is_some_and(|ahead| ahead == version);
        if version == line.version {
            self.ahead.remove(&line.key);
        } else {
            if self.ahead.len() >= AHEAD {
                self.ahead.clear();
            }
            self.ahead.insert(line.key.clone(), version.to_vec());
        }
        !told
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    Delete,
    /// Before it nobody watched.
    Mark,
}

struct Line {
    id: String,
    kind: Kind,
    key: String,
    version: Vec<u8>,
}

impl Line {
    fn read(id: String, fields: &HashMap<String, Value>) -> Result<Self> {
        let field = |name: &str| match fields.get(name) {
            Some(Value::BulkString(bytes)) => Some(bytes.clone()),
            _ => None,
        };
        let found = [("s", Kind::Set), ("d", Kind::Delete), ("m", Kind::Mark)]
            .into_iter()
            .find_map(|(name, kind)| Some((kind, field(name)?)));
        let (kind, key) = found.ok_or_else(|| Error::corrupt("a line of the stream"))?;
        let key = String::from_utf8(key)
            .map_err(|error| Error::corrupt("a key in the stream").with_source(error))?;
        let version = field("v").filter(|version| version.len() == VERSION).unwrap_or_default();
        Ok(Self { id, kind, key, version })
    }
}

/// The position after a line of this id, which is two numbers.
fn position(id: &str) -> Result<Position> {
    let parts = id
        .split_once('-')
        .and_then(|(time, number)| Some((time.parse::<u64>().ok()?, number.parse::<u64>().ok()?)));
    let (time, number) = parts.ok_or_else(|| Error::corrupt("the id of a line"))?;
    Ok(Position::from(u128::from(time) << 64 | u128::from(number)))
}

/// The id that a position stands for.
fn place(position: &Position) -> Result<String> {
    let bytes: Option<[u8; 16]> = position.bytes().try_into().ok();
    let bytes = bytes.ok_or_else(|| Error::invalid("this is no position of the store"))?;
    let number = u128::from_be_bytes(bytes);
    Ok(format!("{}-{}", number >> 64, number & u128::from(u64::MAX)))
}
