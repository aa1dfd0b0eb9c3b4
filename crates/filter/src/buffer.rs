//! Bytes that a filter may look at and change, in the pieces in which they came.

use bytes::Bytes;
use std::collections::VecDeque;

/// A piece of a body, or of a connection's data.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    parts: VecDeque<Bytes>,
    len: usize,
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.parts.push_back(bytes);
        }
    }

    /// Adds what another has.
    pub(crate) fn append(&mut self, mut other: Self) {
        match self.parts.is_empty() {
            true => *self = other,
            false => {
                self.len += other.len;
                self.parts.append(&mut other.parts);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives up what is there, piece by piece.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Bytes> + use<> {
        std::mem::take(self).parts.into_iter()
    }

    /// Copies what lies from `start` on into `to`, which is not longer than the rest.
    pub(crate) fn copy(&self, start: usize, to: &mut [u8]) {
        let (mut skip, mut to) = (start, to);
        for part in &self.parts {
            let Some(part) = part.get(skip..) else {
                skip -= part.len();
                continue;
            };
            skip = 0;
            let (now, later) = to.split_at_mut(part.len().min(to.len()));
            if let Some(part) = part.get(..now.len()) {
                now.copy_from_slice(part);
            }
            to = later;
            if to.is_empty() {
                return;
            }
        }
    }

    /// Puts `value` in place of `size` bytes from `start` on: in front of everything, in the middle
    /// or, if `start` lies behind the end, after it.
    pub(crate) fn splice(&mut self, start: usize, size: usize, value: Bytes) {
        let start = start.min(self.len);
        let end = start.saturating_add(size).min(self.len);
        let before = self.split_to(start);
        drop(self.split_to(end - start));
        let after = std::mem::replace(self, before);
        self.push(value);
        after.parts.into_iter().for_each(|part| self.push(part));
    }

    /// Takes off the first `size` bytes, which there are.
    fn split_to(&mut self, size: usize) -> Self {
        let mut first = Self::default();
        while first.len < size {
            let Some(mut part) = self.parts.pop_front() else { break };
            let wanted = size - first.len;
            if part.len() > wanted {
                let now = part.split_to(wanted);
                self.parts.push_front(std::mem::replace(&mut part, now));
            }
            self.len -= part.len();
            first.push(part);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_as_good_as_one(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..6),
            edits in prop::collection::vec(
                (0..40_usize, 0..10_usize, prop::collection::vec(any::<u8>(), 0..5)), 0..6,
            ),
            start in 0..40_usize,
        ) {
            let mut buffer = Buffer::default();
            let mut model: Vec<u8> = parts.concat();
            parts.into_iter().for_each(|part| buffer.push(part.into()));
            for (start, size, value) in edits {
                buffer.splice(start, size, value.clone().into());
                let start = start.min(model.len());
                let end = (start + size).min(model.len());
                model.splice(start..end, value);
                prop_assert_eq!(buffer.len(), model.len());
            }
            let start = start.min(model.len());
            let mut copy = vec![0; model.len() - start];
            buffer.copy(start, &mut copy);
            prop_assert_eq!(&copy[..], &model[start..]);
            prop_assert_eq!(buffer.take().collect::<Vec<_>>().concat(), model);
        }
    }
}
