//! Removes the marks that deleted keys leave in the stream, when they are old.
//!
//! A mark is what tells watchers and other hosts' indexes that a key is gone, so it is kept for a
//! while: whoever comes back later is told that changes were missed.

use super::bucket::{Bucket, now};
use super::reader::{Reader, Told};
use base::Result;
use base::units::milliseconds;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The pause between two sweeps, at most.
const PAUSE: Duration = Duration::from_secs(900);
/// After so many marks others get their turn.
const BATCH: u32 = 100;

/// Sweeps for ever.
pub(super) async fn sweep(bucket: Arc<Bucket>) {
    let pause = (bucket.keep_deleted / 8).min(PAUSE);
    // What lies before it was looked at.
    let mut done = 0;
    loop {
        // Not every host of a deployment at the same moment.
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        if let Err(error) = turn(&bucket, &mut done).await {
            tracing::debug!(%error, "sweeping the marks of deleted keys is tried again");
        }
    }
}

async fn turn(bucket: &Arc<Bucket>, done: &mut u64) -> Result<()> {
    let last = bucket.last_sequence().await?;
    if last <= *done {
        return Ok(());
    }
    let mut reader = Reader::open(bucket, *done, true).await?;
    let swept = through(bucket, &mut reader, last, done).await;
    reader.close().await;
    swept
}

async fn through(bucket: &Bucket, reader: &mut Reader, last: u64, done: &mut u64) -> Result<()> {
    let mut count = 0;
    while reader.seen() < last {
        match reader.next().await {
            Told::Entry(entry) => {
                let place = entry.place;
                let age = now().saturating_sub(place.time);
                // The last message says how far the stream has come.
                if age < milliseconds(bucket.keep_deleted) || place.sequence >= last {
                    return Ok(());
                }
                if entry.value.is_none() {
                    bucket.purge(entry.subject, place.sequence).await?;
                    count += 1;
                    if count % BATCH == 0 {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
                *done = place.sequence;
            }
            Told::Missed(place) => *done = place.sequence,
            Told::Quiet if reader.is_at_end().await => break,
            Told::Quiet => {}
        }
    }
    Ok(())
}
