//! What is kept of groups and ids: lines of words between tabs, which are only ever added.
//!
//! What is added together is between a line `begin` and a line `end` with a checksum, and counts
//! only with both. Later lines about a thing take the place of earlier ones.

use crate::Filter;
use crate::local::{GroupRow, Kept, PendingRow, Rows};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// What the first line says.
const ABOUT: &str = "wharf-messaging";
/// The format that this program writes.
const FORMAT: &str = "1";

/// All that a journal says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) incarnation: u64,
    /// The number of the oldest message, and that of the next one.
    pub(super) first: u64,
    pub(super) next: u64,
    groups: BTreeMap<u64, GroupRow>,
    /// By group and number.
    pending: BTreeMap<(u64, u64), PendingRow>,
    /// The number and the time of each.
    ids: HashMap<String, (u64, u64)>,
    /// So many bytes of the file count: what comes after them was not finished.
    pub(super) length: usize,
}

/// Why a journal cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is of another format.
    Format(String),
    /// It is damaged, or no journal.
    Damaged,
}

/// Lines that are added together.
pub(super) struct Batch(String);

impl Batch {
    fn new() -> Self {
        Self("begin\n".to_owned())
    }

    fn line(&mut self, words: &[&dyn std::fmt::Display]) {
        for (at, word) in words.iter().enumerate() {
            // Writing to a string does not fail. Names have no control characters.
            _ = write!(self.0, "{}{word}", if at > 0 { "\t" } else { "" });
        }
        self.0.push('\n');
    }

    fn group(&mut self, id: u64, row: &GroupRow) {
        let ordered = if row.ordered { "ordered" } else { "unordered" };
        let mut words: Vec<&dyn std::fmt::Display> =
            vec![&"group", &id, &row.name, &row.cursor, &row.left, &ordered];
        words.extend(row.filters.iter().map(|filter| filter as &dyn std::fmt::Display));
        self.line(&words);
    }

    fn log(&mut self, first: u64, next: u64) {
        self.line(&[&"log", &first, &next]);
    }

    /// The changes of one commit.
    pub(super) fn of(rows: &Rows, (first, next): (u64, u64)) -> Self {
        let mut batch = Self::new();
        batch.log(first, next);
        for (id, row) in &rows.groups {
            batch.group(*id, row);
        }
        for ((group, number), row) in &rows.pending {
            match row {
                Some(PendingRow { attempts, until }) => {
                    batch.line(&[&"holds", group, number, attempts, until]);
                }
                None => batch.line(&[&"done", group, number]),
            }
        }
        for id in &rows.removed {
            batch.line(&[&"gone", id]);
        }
        for id in &rows.old_ids {
            batch.line(&[&"old", id]);
        }
        for (id, (number, time)) in &rows.new_ids {
            batch.line(&[&"id", number, time, id]);
        }
        batch
    }

    /// The bytes to add.
    pub(super) fn bytes(self) -> Vec<u8> {
        let sum = checksum(self.0.as_bytes());
        format!("{}end\t{sum:016x}\n", self.0).into_bytes()
    }
}

impl Journal {
    /// That of a folder with messages before this number.
    pub(super) fn new(incarnation: u64, next: u64) -> Self {
        Self { incarnation, next, ..Self::default() }
    }

    /// All of it at once, as a new file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut batch = Batch::new();
        batch.line(&[&"about", &ABOUT, &FORMAT, &format!("{:x}", self.incarnation)]);
        batch.log(self.first, self.next);
        for (id, row) in &self.groups {
            batch.group(*id, row);
        }
        for ((group, number), PendingRow { attempts, until }) in &self.pending {
            batch.line(&[&"holds", group, number, attempts, until]);
        }
        for (id, (number, time)) in &self.ids {
            batch.line(&[&"id", number, time, id]);
        }
        batch.bytes()
    }

    /// Reads a journal. What was not finished at its end is left out.
    pub(super) fn read(file: &[u8]) -> Result<Self, Unreadable> {
        let mut journal = Self::default();
        let (mut at, mut begun) = (0, None);
        let mut is_broken = false;
        while let Some(length) =
            file.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
        {
            let line = file.get(at..at + length).unwrap_or_default();
            let next = at + length + 1;
            if line == b"begin" {
                begun = Some(at);
            } else if let Some(sum) = line.strip_prefix(b"end\t")
                && let Some(from) = begun.take()
            {
                let batch = file.get(from..at).unwrap_or_default();
                if sum == format!("{:016x}", checksum(batch)).as_bytes() {
                    // One that was not finished is the last.
                    if is_broken || from != journal.length {
                        return Err(Unreadable::Damaged);
                    }
                    journal.apply(batch, from == 0)?;
                    journal.length = next;
                } else {
                    is_broken = true;
                }
            }
            at = next;
        }
        match journal.length {
            0 => Err(Unreadable::Damaged),
            _ => Ok(journal),
        }
    }

    fn apply(&mut self, batch: &[u8], is_first: bool) -> Result<(), Unreadable> {
        let batch = str::from_utf8(batch).map_err(|_wrong| Unreadable::Damaged)?;
        let mut lines = batch.lines().skip(1);
        if is_first {
            let words: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
            match words.as_slice() {
                ["about", ABOUT, FORMAT, incarnation] => {
                    self.incarnation = u64::from_str_radix(incarnation, 16)
                        .map_err(|_wrong| Unreadable::Damaged)?;
                }
                ["about", ABOUT, other, ..] => return Err(Unreadable::Format((*other).to_owned())),
                _ => return Err(Unreadable::Damaged),
            }
        }
        lines.try_for_each(|line| self.take(line)).ok_or(Unreadable::Damaged)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split('\t').collect();
        let number = |word: &str| word.parse::<u64>().ok();
        match words.as_slice() {
            ["log", first, next] => (self.first, self.next) = (number(first)?, number(next)?),
            ["group", id, name, cursor, left, ordered, filters @ ..] => {
                let filters: Result<Vec<_>, _> =
                    filters.iter().map(|filter| Filter::parse(filter)).collect();
                let row = GroupRow {
                    name: (*name).into(),
                    filters: filters.ok()?,
                    ordered: *ordered == "ordered",
                    cursor: number(cursor)?,
                    left: number(left)?,
                };
                self.groups.insert(number(id)?, row);
            }
            ["holds", group, message, attempts, until] => {
                let row = PendingRow { attempts: attempts.parse().ok()?, until: number(until)? };
                self.pending.insert((number(group)?, number(message)?), row);
            }
            ["done", group, message] => {
                self.pending.remove(&(number(group)?, number(message)?));
            }
            ["gone", id] => {
                let id = number(id)?;
                self.groups.remove(&id);
                self.pending.retain(|(group, _), _| *group != id);
            }
            ["id", message, time, id] => {
                self.ids.insert((*id).to_owned(), (number(message)?, number(time)?));
            }
            ["old", id] => drop(self.ids.remove(*id)),
            _ => return None,
        }
        Some(())
    }

    /// The number that the next message has at least.
    pub(super) fn least_next(&self) -> u64 {
        let cursors = self.groups.values().map(|group| group.cursor);
        cursors.max().unwrap_or_default().max(self.next)
    }

    /// What the broker knows besides its messages.
    pub(super) fn into_kept(self) -> Kept {
        Kept {
            groups: self.groups.into_iter().collect(),
            pending: self.pending.into_iter().collect(),
            ids: self.ids.into_iter().collect(),
        }
    }
}

/// FNV-1a, which tells what was not finished from what was.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, cursor: u64) -> GroupRow {
        let filters = vec![Filter::parse("a.*").unwrap(), Filter::parse("b.>").unwrap()];
        GroupRow { name: name.into(), filters, ordered: true, cursor, left: u64::MAX }
    }

    fn rows() -> Rows {
        Rows {
            groups: vec![(1, group("g h", 7)), (2, group("i", 3))],
            removed: Vec::new(),
            pending: vec![((1, 5), Some(PendingRow { attempts: 2, until: 99 })), ((2, 1), None)],
            new_ids: vec![("an id".to_owned(), (6, 1000))],
            old_ids: vec!["older".to_owned()],
        }
    }

    #[test]
    fn what_was_added_is_read_and_written_anew() {
        let mut file = Journal::new(0xabc, 0).bytes();
        file.extend(Batch::of(&rows(), (2, 8)).bytes());
        let rest = Rows { removed: vec![2], ..Rows::default() };
        file.extend(Batch::of(&rest, (4, 9)).bytes());
        let found = Journal::read(&file).unwrap();
        assert_eq!((found.incarnation, found.first, found.next), (0xabc, 4, 9));
        assert_eq!(found.groups.get(&1), Some(&group("g h", 7)));
        assert_eq!((found.groups.len(), found.pending.len(), found.ids.len()), (1, 1, 1));
        assert_eq!(found.length, file.len());
        let again = Journal::read(&found.bytes()).unwrap();
        assert_eq!(Journal { length: found.length, ..again }, found);
    }

    #[test]
    fn what_was_not_finished_is_left_out() {
        let begin = Journal::new(1, 0).bytes();
        let more = Batch::of(&rows(), (0, 8)).bytes();
        for cut in 0..more.len() {
            let file = [begin.as_slice(), &more[..cut]].concat();
            let found = Journal::read(&file).unwrap();
            assert_eq!((found.length, found.groups.len()), (begin.len(), 0), "cut at {cut}");
        }
        // As a disk may leave it: as long as it was meant to be, and not what was.
        let mut file = [begin.as_slice(), &more].concat();
        file[begin.len() + 20] = 0;
        assert_eq!(Journal::read(&file).unwrap().length, begin.len());
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let more = || Batch::of(&rows(), (0, 8)).bytes();
        let mut file = [Journal::new(1, 0).bytes(), more(), more()].concat();
        assert!(Journal::read(&file).is_ok());
        let at = Journal::new(1, 0).bytes().len() + 20;
        file[at] ^= 1;
        assert_eq!(Journal::read(&file), Err(Unreadable::Damaged));
        for other in ["", "a foreign file\n", "begin\nend\t0\n"] {
            assert_eq!(Journal::read(other.as_bytes()), Err(Unreadable::Damaged), "{other}");
        }
        let text = String::from_utf8(Journal::new(1, 0).bytes()).unwrap();
        let (head, _) = text.split_once("end\t").unwrap();
        let newer = Batch(head.replace("messaging\t1", "messaging\t2")).bytes();
        assert_eq!(Journal::read(&newer), Err(Unreadable::Format("2".to_owned())));
    }
}
