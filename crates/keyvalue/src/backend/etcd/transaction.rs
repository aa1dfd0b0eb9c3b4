//! What goes into transactions, and what comes out of them.

use crate::{Version, WriteOptions, stale_fence, unmet};
use base::{Error, Result};
use etcd_client::{KeyValue, TxnOpResponse, TxnResponse};

/// As many bytes of keys and values as go into one transaction. The server takes 1.5 MiB.
const BYTES: usize = 1200 << 10;
/// What an operation needs besides its key and value.
const FRAME: usize = 64;

/// What became of a write.
pub(super) enum Outcome {
    /// It took effect at this revision.
    Done(i64),
    /// Something else was expected. What is there instead, if that was asked for.
    Unmet(Option<KeyValue>),
    /// This higher token was there before.
    Stale(u64),
}

impl Outcome {
    pub(super) fn of(answer: TxnResponse, is_fenced: bool) -> Result<Self> {
        let revision = answer.header().map_or(0, |header| header.revision());
        let first = answers(&answer).into_iter().next();
        match (is_fenced, answer.succeeded(), first) {
            (true, true, Some(TxnOpResponse::Get(found))) => {
                let highest = found.kvs().first().ok_or_else(strange)?;
                Ok(Self::Stale(kept(highest)?))
            }
            (true, false, Some(TxnOpResponse::Txn(inner))) => Ok(Self::inner(&inner, revision)),
            (false, ..) => Ok(Self::inner(&answer, revision)),
            _ => Err(strange()),
        }
    }

    fn inner(answer: &TxnResponse, revision: i64) -> Self {
        if answer.succeeded() {
            return Self::Done(revision);
        }
        Self::Unmet(answers(answer).into_iter().find_map(|answer| match answer {
            TxnOpResponse::Get(mut found) => found.take_kvs().pop(),
            _ => None,
        }))
    }

    /// The revision, or why there is none.
    pub(super) fn revision(self, options: &WriteOptions) -> Result<i64> {
        match self {
            Self::Done(revision) => Ok(revision),
            Self::Unmet(_) => Err(unmet()),
            Self::Stale(highest) => {
                let token = options.fence.as_ref().map_or(0, |fence| fence.token);
                Err(stale_fence(token, highest))
            }
        }
    }
}

/// What the operations of a transaction answered, in their order.
pub(super) fn answers(answer: &TxnResponse) -> Vec<TxnOpResponse> {
    answer.op_responses()
}

pub(super) fn strange() -> Error {
    Error::internal("the transaction answered something else than it was asked")
}

/// Revisions never come twice in a cluster, and no two clusters have the same number.
pub(super) fn version(cluster: u64, revision: i64) -> Version {
    Version::from(u128::from(cluster) << 64 | u128::from(revision.unsigned_abs()))
}

/// The revision that a version stands for, if it is one of this cluster.
pub(super) fn revision(cluster: u64, version: &Version) -> Option<i64> {
    let number = u128::from_be_bytes(version.bytes().try_into().ok()?);
    let revision = i64::try_from(number & u128::from(u64::MAX)).ok()?;
    // Revision zero is that of a key that is not there.
    (number >> 64 == u128::from(cluster) && revision > 0).then_some(revision)
}

/// A token as text that compares as the number does.
pub(super) fn token(token: u64) -> Vec<u8> {
    format!("{token:020}").into_bytes()
}

/// The token that is kept for a lock.
pub(super) fn kept(fence: &KeyValue) -> Result<u64> {
    let text = str::from_utf8(fence.value()).ok();
    let token = text.and_then(|text| text.parse().ok());
    token.ok_or_else(|| Error::corrupt("the token of a lock was written by somebody else"))
}

/// Parts of `items` that fit in one transaction each, where one operation is for the fence.
pub(super) fn chunks<T>(
    items: impl IntoIterator<Item = T>,
    operations: usize,
    size: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for item in items {
        let more = size(&item) + FRAME;
        if !part.is_empty() && (part.len() + 1 >= operations || bytes + more > BYTES) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += more;
        part.push(item);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_another_cluster_are_told_apart() {
        assert_eq!(revision(7, &version(7, 12)), Some(12));
        assert_eq!(revision(8, &version(7, 12)), None);
        assert_eq!(revision(0, &version(0, 0)), None);
        assert_eq!(revision(7, &Version::from(12_u64)), None);
    }

    #[test]
    fn batches_are_parted_by_number_and_by_bytes() {
        let lengths = |parts: Vec<Vec<usize>>| parts.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(chunks(vec![1; 10], 5, |size| *size)), [4, 4, 2]);
        assert_eq!(lengths(chunks(vec![600 << 10; 3], 5, |size| *size)), [1, 1, 1]);
        assert_eq!(lengths(chunks(Vec::new(), 5, |size| *size)), Vec::<usize>::new());
    }

    #[test]
    fn tokens_compare_as_numbers_do() {
        assert!(token(9) < token(10) && token(10) < token(u64::MAX));
    }
}
