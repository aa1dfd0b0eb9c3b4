//! A table under its lock, and how its keys are listed.

use crate::{Cursor, Fence, ListOptions, Page, Version, WriteOptions};
use base::Result;
use bytes::Bytes;
use std::ops::Bound;

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) value: Bytes,
    pub(crate) version: u128,
    /// When it is over, in milliseconds since 1970.
    pub(crate) expires: u64,
}

impl Stored {
    /// The end of what never ends.
    pub(crate) const NEVER: u64 = u64::MAX;
}

/// A table under its lock: what the rules need to know and do.
pub(crate) trait Table {
    /// Milliseconds since 1970.
    fn now(&self) -> u64;
    /// When an entry that is written now ends.
    fn deadline(&self, options: &WriteOptions) -> u64;
    /// The entry as it is kept, over or not.
    fn find(&self, key: &str) -> Result<Option<Stored>>;
    /// Refuses entries (key, bytes of value) for which there is no room.
    fn admit(&mut self, entries: &[(&str, usize)]) -> Result<()>;
    /// Stores an entry that was admitted, under the next version.
    fn put(&mut self, key: &str, value: Bytes, expires: u64) -> Version;
    /// Removes an entry that is there.
    fn remove(&mut self, key: &str);
    /// The highest token that was accepted for a lock.
    fn token(&self, lock: &str) -> Result<Option<u64>>;
    /// Keeps a token that was accepted.
    fn keep_token(&mut self, fence: &Fence);
}

/// A page from keys in order: at most `limit` of them, and whether there are more.
///
/// The cursor is the last key of the page, so it survives whatever happens to that key.
pub(crate) fn page(
    keys: impl Iterator<Item = Result<String>>,
    options: &ListOptions,
) -> Result<Page> {
    let limit = options.limit.min(ListOptions::LIMIT);
    let mut page = Page::default();
    for key in keys {
        let key = key?;
        if page.keys.len() == limit {
            page.next = page.keys.last().cloned().map(Cursor);
            break;
        }
        page.keys.push(key);
    }
    Ok(page)
}

impl ListOptions {
    /// Where a listing in byte order begins, and where it certainly is over.
    pub(crate) fn bounds(&self) -> Option<(Bound<&str>, Bound<&str>)> {
        let mut first = Bound::Included(self.prefix.as_str());
        if let Some(start) = self.start.as_deref().filter(|start| *start > self.prefix.as_str()) {
            first = Bound::Included(start);
        }
        if let Some(Cursor(after)) = &self.after {
            let (Bound::Included(key) | Bound::Excluded(key)) = first else { return None };
            if after.as_str() >= key {
                first = Bound::Excluded(after);
            }
        }
        let last = match &self.end {
            Some(end) => Bound::Excluded(end.as_str()),
            None => Bound::Unbounded,
        };
        // Ranges that are empty or upside down make maps panic.
        match (first, last) {
            (Bound::Included(first) | Bound::Excluded(first), Bound::Excluded(last))
                if first >= last =>
            {
                None
            }
            bounds => Some(bounds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_never_cross() {
        let options = |prefix: &str, start: &str, end: &str, after: &str| ListOptions {
            prefix: prefix.to_owned(),
            start: Some(start.to_owned()),
            end: Some(end.to_owned()),
            after: (!after.is_empty()).then(|| Cursor(after.to_owned())),
            ..ListOptions::default()
        };
        assert_eq!(options("", "b", "a", "").bounds(), None);
        assert_eq!(options("", "a", "a", "").bounds(), None);
        assert_eq!(options("", "a", "b", "c").bounds(), None);
        let after = options("p", "a", "z", "pa");
        assert_eq!(after.bounds(), Some((Bound::Excluded("pa"), Bound::Excluded("z"))));
        let before = options("p", "q", "z", "a");
        assert_eq!(before.bounds(), Some((Bound::Included("q"), Bound::Excluded("z"))));
    }
}
