//! A file that stays as it was until its content was found right.

use redb::{BackendError, StorageBackend};
use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

/// What redb reads and writes. Until [`Disk::release`] every change is held in memory, in order,
/// so that refusing to open a file changes nothing in it.
#[derive(Clone)]
pub(super) struct Disk(Arc<Parts>);

struct Parts {
    below: Box<dyn StorageBackend>,
    held: RwLock<Option<Held>>,
}

struct Held {
    length: u64,
    changes: Vec<Change>,
}

enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
}

impl Disk {
    /// Holds back what is written to `below`.
    pub(super) fn new(below: Box<dyn StorageBackend>) -> Result<Self> {
        let held = Held { length: below.len()?, changes: Vec::new() };
        Ok(Self(Arc::new(Parts { below, held: RwLock::new(Some(held)) })))
    }

    /// Whether there is nothing yet, written or held.
    pub(super) fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Writes what was held, in the order and with the barriers in which redb wrote it.
    pub(super) fn release(&self) -> Result<()> {
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        for change in held.take().into_iter().flat_map(|held| held.changes) {
            match change {
                Change::Write(offset, bytes) => self.0.below.write(offset, &bytes)?,
                Change::Length(length) => self.0.below.set_len(length)?,
                Change::Sync => self.0.below.sync_data()?,
            }
        }
        Ok(())
    }

    /// Notes the change if changes are held, else makes it.
    fn change(
        &self,
        change: impl FnOnce() -> Change,
        now: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if self.0.held.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return now();
        }
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = held.as_mut() else { return now() };
        let change = change();
        match &change {
            Change::Write(offset, bytes) => {
                held.length = held.length.max(offset.saturating_add(bytes.len() as u64));
            }
            Change::Length(length) => held.length = *length,
            Change::Sync => {}
        }
        held.changes.push(change);
        Ok(())
    }
}

impl Held {
    fn read(&self, below: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> Result<()> {
        if offset.saturating_add(out.len() as u64) > self.length {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        out.fill(0);
        let there = below.len()?.saturating_sub(offset);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
        if let Some(out) = out.get_mut(..there).filter(|out| !out.is_empty()) {
            below.read(offset, out)?;
        }
        for change in &self.changes {
            match change {
                Change::Write(at, bytes) => overlay(out, offset, bytes, *at),
                Change::Length(length) => {
                    let kept = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
                    if let Some(cut) = out.get_mut(kept..) {
                        cut.fill(0);
                    }
                }
                Change::Sync => {}
            }
        }
        Ok(())
    }
}

/// Copies the part of `from`, which lies at `from_at`, that falls into `to`, which lies at `to_at`.
fn overlay(to: &mut [u8], to_at: u64, from: &[u8], from_at: u64) {
    let skip = |by: u64| usize::try_from(by).unwrap_or(usize::MAX);
    let to = to.get_mut(skip(from_at.saturating_sub(to_at))..).unwrap_or_default();
    let from = from.get(skip(to_at.saturating_sub(from_at))..).unwrap_or_default();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.below.fmt(f)
    }
}

type Locked<T> = std::result::Result<T, BackendError>;

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64> {
        match &*self.0.held.read().unwrap_or_else(PoisonError::into_inner) {
            Some(held) => Ok(held.length),
            None => self.0.below.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        match &*self.0.held.read().unwrap_or_else(PoisonError::into_inner) {
            Some(held) => held.read(self.0.below.as_ref(), offset, out),
            None => self.0.below.read(offset, out),
        }
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.change(|| Change::Length(length), || self.0.below.set_len(length))
    }

    fn sync_data(&self) -> Result<()> {
        self.change(|| Change::Sync, || self.0.below.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.change(|| Change::Write(offset, data.to_vec()), || self.0.below.write(offset, data))
    }

    fn close(&self) -> Result<()> {
        self.0.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.below.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.below.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.below.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.below.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.below.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.below.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn what_is_held_is_read_and_not_written() {
        let below = InMemoryBackend::new();
        below.set_len(8).unwrap();
        below.write(0, b"abcdefgh").unwrap();
        let disk = Disk::new(Box::new(below)).unwrap();
        disk.write(5, b"XYZ").unwrap();
        disk.set_len(7).unwrap();
        disk.set_len(10).unwrap();
        let mut out = [1; 10];
        disk.read(0, &mut out).unwrap();
        assert_eq!(&out, b"abcdeXY\0\0\0");
        let mut out = [1; 3];
        disk.read(5, &mut out).unwrap();
        assert_eq!(&out, b"XY\0");
        assert_eq!(disk.0.below.len().unwrap(), 8);
        assert!(disk.read(8, &mut out).is_err());
        disk.release().unwrap();
        let mut out = [1; 10];
        disk.0.below.read(0, &mut out).unwrap();
        assert_eq!(&out, b"abcdeXY\0\0\0");
    }
}
