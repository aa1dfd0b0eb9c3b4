//! Removes messages that every group is done with, when they are old or their room is needed.
//!
//! The server's own limits know nothing of groups: they would take away what somebody waits for.

use super::stream::{PAUSE, Stream};
use async_nats::jetstream::consumer::AckPolicy;
use base::Result;
use connect::nats::Connection;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// So long the ids of messages are known on a stream of ours.
pub(super) const WINDOW: Duration = Duration::from_secs(120);
/// The pause between two sweeps, at most.
const LONGEST: Duration = Duration::from_secs(300);

/// What makes room.
#[derive(Default)]
pub(super) struct Room(Mutex<Option<Instant>>);

impl Room {
    /// Removes what every group is done with and says which consumer is behind all others.
    pub(super) async fn make(&self, stream: &Stream) -> Result<Option<String>> {
        let mut last = self.0.lock().await;
        // Others have just done so.
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return Ok(None);
        }
        let swept = sweep(stream, Duration::ZERO).await;
        *last = Some(Instant::now());
        swept
    }
}

/// Sweeps for ever what is older than `age`.
pub(super) async fn run(stream: Arc<Stream>, age: Duration) {
    loop {
        // Not every host of a deployment at the same moment.
        sleep((age / 8).min(LONGEST).mul_f64(0.5 + fastrand::f64())).await;
        if let Err(error) = sweep(&stream, age).await {
            tracing::debug!(%error, "sweeping old messages is tried again");
        }
    }
}

/// Removes what is older than `age` and what every group is done with, except messages whose ids
/// are still known. Returns the consumer that is furthest behind.
pub(super) async fn sweep(stream: &Stream, age: Duration) -> Result<Option<String>> {
    let state = stream.info().await?.state;
    // After a crash the server looks up the ids that it has to know in the messages.
    let before = SystemTime::now().checked_sub(age.max(stream.window));
    let Some(before) = before else { return Ok(None) };
    let oldest = u64::try_from(state.first_timestamp.unix_timestamp_nanos()).unwrap_or_default();
    let oldest = SystemTime::UNIX_EPOCH + Duration::from_nanos(oldest);
    if state.messages == 0 || oldest >= before {
        return Ok(None);
    }
    let Some(consumers) = stream.consumers().await? else { return Ok(None) };
    let behind = consumers.iter().min_by_key(|consumer| consumer.done());
    let done = behind.map_or(state.last_sequence, |behind| behind.done().min(state.last_sequence));
    let behind = behind.map(|behind| behind.name.clone());
    if done >= state.first_sequence {
        let old = last_before(stream, before).await?;
        if old.min(done) >= state.first_sequence {
            stream.purge(old.min(done)).await?;
        }
    }
    Ok(behind)
}

/// The last message that was published before this time: where a consumer begins that asks for what
/// came later.
async fn last_before(stream: &Stream, time: SystemTime) -> Result<u64> {
    let question = json!({
        "stream_name": stream.name,
        "config": {
            "deliver_policy": "by_start_time",
            "opt_start_time": humantime::format_rfc3339_nanos(time).to_string(),
            "ack_policy": AckPolicy::None,
            "replay_policy": "instant",
            "mem_storage": true,
            "num_replicas": 1,
            "inactive_threshold": 5_000_000_000_u64,
        },
    });
    let make = async |connection: Connection| {
        let asked = stream
            .insist::<super::stream::Consumer>(&connection, "CONSUMER.CREATE", "", &question)
            .await?;
        asked.map_err(|refusal| stream.refused(&connection, refusal))
    };
    let probe = stream.server.call(make).await?;
    stream.remove_consumer(&probe.name).await?;
    Ok(probe.delivered.stream_seq)
}
