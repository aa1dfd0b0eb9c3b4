//! Publications, those of many together: one statement, and one wait for the disk.

use super::rows::{headers, milliseconds, number};
use super::statements::LOCK;
use super::tables::Tables;
use crate::Message;
use base::{Error, Result};
use connect::batcher::{Batch, Limits};
use connect::postgres::{Commit, Parameters, column};
use std::sync::Arc;
use std::time::Duration;

/// Who publishes has the others wait, so one batch is on its way; so large, in bytes.
const CALLS: usize = 512;
pub(super) const BYTES: usize = 8 << 20;
/// How long they wait for those who do not go on.
const PATIENCE: Duration = Duration::from_millis(50);

/// How publications are made together.
pub(super) fn limits(timeout: Duration) -> Limits {
    Limits { lanes: 1, calls: CALLS, bytes: BYTES, patience: PATIENCE, timeout }
}

/// A message that is to be published.
pub(super) struct Parcel {
    pub(super) topic: String,
    pub(super) message: Message,
    pub(super) delay: Option<Duration>,
    /// Whether it is taken in although there is no room.
    pub(super) beyond: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Published(i64),
    /// One with its id was published before, which has this number.
    Known(i64),
    Full,
}

/// Publishes messages, each call's in their order.
#[derive(Clone)]
pub(super) struct Publishing(pub(super) Arc<Tables>);

impl Batch for Publishing {
    type Call = Arc<[Parcel]>;
    type Answer = Vec<Outcome>;

    fn size(parcels: &Self::Call) -> usize {
        parcels.iter().map(|parcel| parcel.topic.len() + parcel.message.size()).sum()
    }

    async fn one(&self, parcels: &Self::Call) -> Result<Vec<Outcome>> {
        self.publish(&parcels.iter().collect::<Vec<_>>()).await
    }

    async fn many(&self, calls: &[Self::Call]) -> Result<Vec<Result<Vec<Outcome>>>> {
        let parcels: Vec<&Parcel> = calls.iter().flat_map(|parcels| parcels.iter()).collect();
        let mut outcomes = self.publish(&parcels).await?.into_iter();
        let each = calls.iter().map(|parcels| Ok(outcomes.by_ref().take(parcels.len()).collect()));
        Ok(each.collect())
    }
}

impl Publishing {
    async fn publish(&self, parcels: &[&Parcel]) -> Result<Vec<Outcome>> {
        fn each<'a, T>(parcels: &[&'a Parcel], read: impl Fn(&'a Parcel) -> T) -> Vec<T> {
            parcels.iter().map(|parcel| read(parcel)).collect()
        }
        let topics = each(parcels, |parcel| parcel.topic.as_str());
        let data = each(parcels, |parcel| &parcel.message.data[..]);
        let types = each(parcels, |parcel| parcel.message.content_type.as_deref());
        let headers = each(parcels, |parcel| headers(&parcel.message));
        let headers = headers.into_iter().collect::<Result<Vec<_>>>()?;
        let keys = each(parcels, |parcel| parcel.message.key.as_deref());
        let ids = each(parcels, |parcel| parcel.message.id.as_deref());
        let reply_to = each(parcels, |parcel| parcel.message.reply_to.as_deref());
        let delays = each(parcels, |parcel| parcel.delay.map(milliseconds));
        let sizes = each(parcels, |parcel| number(parcel.message.size()));
        let beyond = each(parcels, |parcel| parcel.beyond);
        let Self(tables) = self;
        let publish: Parameters<'_> = &[
            &topics,
            &data,
            &types,
            &headers,
            &keys,
            &ids,
            &reply_to,
            &delays,
            &sizes,
            &beyond,
            &tables.room,
        ];
        let steps: &[(&str, Parameters<'_>)] =
            &[(LOCK, &[&tables.publishers]), (&tables.sql.publish, publish)];
        let rows = tables.publisher.at_once(Commit::Safe, steps).await?.pop().unwrap_or_default();
        if rows.len() != parcels.len() {
            return Err(Error::internal("a message has no outcome"));
        }
        let outcome = |row| match (column(row, 0)?, column::<Option<i64>>(row, 1)?) {
            (true, Some(seq)) => Ok(Outcome::Published(seq)),
            (_, Some(seq)) => Ok(Outcome::Known(seq)),
            (_, None) => Ok(Outcome::Full),
        };
        rows.iter().map(outcome).collect()
    }
}
