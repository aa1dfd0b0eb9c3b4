//! How messages are written in columns, and read.

use crate::Message;
use base::{Error, Result};
use bytes::Bytes;
use connect::postgres::{Row, column};
use std::time::Duration;

/// Longer than this is for ever: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The headers as JSON, a list of pairs; none as nothing.
pub(super) fn headers(message: &Message) -> Result<Option<String>> {
    if message.headers.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_string(&message.headers);
    json.map(Some).map_err(|error| Error::internal("writing headers").with_source(error))
}

/// The topic and the message in the first seven columns of a row.
pub(super) fn message(row: &Row) -> Result<(String, Message)> {
    let headers = match column::<Option<&str>>(row, 3)? {
        None => Vec::new(),
        Some(json) => serde_json::from_str(json)
            .map_err(|error| Error::corrupt("the headers of a message").with_source(error))?,
    };
    let message = Message {
        data: Bytes::copy_from_slice(column(row, 1)?),
        content_type: column(row, 2)?,
        headers,
        key: column(row, 4)?,
        id: column(row, 5)?,
        reply_to: column(row, 6)?,
    };
    Ok((column(row, 0)?, message))
}

/// A time as a factor of a millisecond's interval.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.min(LONGEST).as_secs_f64() * 1000.0
}

/// A number of things that are counted in 64 bits there.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
