//! What a group remembers of a part of the topic, in the note that Kafka keeps beside a group's
//! offset: what it covers, and which messages behind the offset it is not done with, with how often
//! each was handed out and until when it waits.
//!
//! So a message that waits for an hour holds back the offset, and not the knowledge that all behind
//! it is done; and a host that takes over knows what its predecessor did.

use crate::local::PendingRow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

/// Kafka keeps 4096 bytes, unless `offset.metadata.max.bytes` says otherwise.
const ROOM: usize = 4000;
/// The most bytes in the topics of a group.
pub(super) const TOPICS: usize = 1000;
const VERSION: &str = "w1";

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// Tells the group from others that had its name.
    pub(super) incarnation: u64,
    /// What it covers, with spaces between.
    pub(super) topics: String,
    /// Everything before this number was looked at.
    pub(super) cursor: u64,
    /// What it is not done with of that, in the order of the numbers.
    pub(super) pending: Vec<(u64, PendingRow)>,
}

impl Notes {
    /// As text, beside an offset. What does not fit is left out as if nobody had looked at it: it
    /// comes again.
    pub(super) fn write(&self, offset: u64) -> String {
        let head = format!("{VERSION} {:x} {} ", self.incarnation, self.topics);
        // Four letters for three bytes, and the cursor last.
        let room = ROOM.saturating_sub(head.len()) / 4 * 3 - 16;
        let mut bytes = Vec::new();
        let (mut at, mut cursor) = (offset, self.cursor);
        for (number, row) in &self.pending {
            let length = bytes.len();
            put(&mut bytes, number.saturating_sub(at));
            put(&mut bytes, u64::from(row.attempts));
            put(&mut bytes, row.until);
            if bytes.len() > room {
                bytes.truncate(length);
                cursor = *number;
                break;
            }
            at = number + 1;
        }
        let mut all = Vec::with_capacity(bytes.len() + 10);
        put(&mut all, cursor.saturating_sub(offset));
        all.extend(bytes);
        head + &BASE64.encode(all)
    }

    /// What was written beside an offset. `None`: by somebody else.
    pub(super) fn read(text: &str, offset: u64) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some(VERSION) {
            return None;
        }
        let incarnation = u64::from_str_radix(words.next()?, 16).ok()?;
        let rest: Vec<&str> = words.collect();
        let (last, topics) = rest.split_last()?;
        let bytes = BASE64.decode(last).ok()?;
        let mut bytes = bytes.as_slice();
        let cursor = offset.checked_add(take(&mut bytes)?)?;
        let (mut at, mut pending) = (offset, Vec::new());
        while !bytes.is_empty() {
            let number = at.checked_add(take(&mut bytes)?)?;
            let attempts = u32::try_from(take(&mut bytes)?).unwrap_or(u32::MAX);
            let until = take(&mut bytes)?;
            pending.push((number, PendingRow { attempts, until }));
            at = number.checked_add(1)?;
        }
        Some(Self { incarnation, topics: topics.join(" "), cursor, pending })
    }
}

/// A number in as many bytes as it needs, seven bits in each.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(attempts: u32, until: u64) -> PendingRow {
        PendingRow { attempts, until }
    }

    #[test]
    fn notes_are_read_as_they_were() {
        let notes = Notes {
            incarnation: 7,
            topics: "a b.* >".to_owned(),
            cursor: 1_000_000,
            pending: vec![
                (500, row(1, 0)),
                (501, row(3, 1_795_760_764_566)),
                (999_999, row(u32::MAX, u64::MAX)),
            ],
        };
        assert_eq!(Notes::read(&notes.write(500), 500), Some(notes.clone()));
        let none = Notes { pending: Vec::new(), ..notes };
        assert_eq!(Notes::read(&none.write(1_000_000), 1_000_000), Some(none));
    }

    #[test]
    fn what_does_not_fit_comes_again() {
        let pending: Vec<_> =
            (0..2000).map(|number| (number * 3, row(1, 1_795_760_764_566))).collect();
        let topics = "t".repeat(TOPICS);
        let notes = Notes { incarnation: u64::MAX, topics, cursor: 6000, pending };
        let written = notes.write(0);
        assert!(written.len() <= ROOM, "{}", written.len());
        let read = Notes::read(&written, 0).unwrap();
        let kept = read.pending.len();
        assert!(kept > 180, "{kept}");
        assert_eq!(read.cursor, notes.pending[kept].0);
        assert_eq!(read.pending, notes.pending[..kept]);
    }

    #[test]
    fn notes_of_others_are_none() {
        for text in ["", "w1", "w1 x a AA", "w1 7 a %", "w2 7 a AA", "w1 7 a gICAgICAgICAgIA"] {
            assert_eq!(Notes::read(text, 0), None, "{text}");
        }
    }
}
