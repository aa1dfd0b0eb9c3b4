//! A disk that can lose its power: what was not synced is lost, kept in part, or out of order.
#![expect(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "it is how a test fails"
)]

use crate::random::Random;
use base::embedded::Opener;
use redb::StorageBackend;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex};

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// One disk; clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    live: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    random: Random,
    /// How many more changes and syncs until the power goes.
    fuse: Option<u64>,
    /// How many there were.
    calls: u64,
    /// Every change fails while this is set, as on a full disk.
    broken: bool,
    /// What is on the disk after the power went.
    left: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Disk {
    /// A disk with this on it. What it keeps when the power goes depends on the seed.
    pub fn new(content: Vec<u8>, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            live: content.clone(),
            synced: content,
            unsynced: Vec::new(),
            random: Random(seed),
            fuse: None,
            calls: 0,
            broken: false,
            left: None,
        })))
    }

    /// Opens this disk again and again.
    pub fn opener(&self) -> Opener {
        let disk = self.clone();
        Box::new(move || Ok(Box::new(disk.clone())))
    }

    /// Cuts the power after so many more calls.
    pub fn cut_after(&self, calls: u64) {
        self.0.lock().unwrap().fuse = Some(calls);
    }

    /// How many changes and syncs there were.
    pub fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    /// Every change fails while it is broken, as on a full disk.
    pub fn set_broken(&self, broken: bool) {
        self.0.lock().unwrap().broken = broken;
    }

    /// What is on the disk after the power went; cuts it now if it did not go yet.
    pub fn after_the_cut(&self) -> Vec<u8> {
        let mut state = self.0.lock().unwrap();
        if state.left.is_none() {
            state.cut();
        }
        state.left.clone().unwrap()
    }
}

impl State {
    /// Counts a call, and fails it if there is no power.
    fn call(&mut self) -> Result<()> {
        self.calls += 1;
        match &mut self.fuse {
            Some(0) if self.left.is_none() => self.cut(),
            Some(left) => *left = left.saturating_sub(1),
            None => {}
        }
        if self.left.is_some() {
            return Err(Error::other("there is no power"));
        }
        if self.broken {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        Ok(())
    }

    /// Keeps some of what was not synced, in any order, sector by sector.
    fn cut(&mut self) {
        let mut content = self.synced.clone();
        let mut changes = std::mem::take(&mut self.unsynced);
        let keep = self.random.below(4);
        while !changes.is_empty() {
            let at = usize::try_from(self.random.below(changes.len() as u64)).unwrap();
            match changes.swap_remove(at) {
                _ if keep == 0 => {}
                Change::Length(length) => {
                    if self.random.below(4) < keep {
                        content.resize(length, 0);
                    }
                }
                Change::Write(offset, bytes) => {
                    for (sector, bytes) in bytes.chunks(SECTOR).enumerate() {
                        if self.random.below(4) < keep {
                            write(&mut content, offset + sector * SECTOR, bytes);
                        }
                    }
                }
            }
        }
        self.left = Some(content);
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.0.lock().unwrap().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let state = self.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let bytes = state.live.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        let length = usize::try_from(length).unwrap();
        state.live.resize(length, 0);
        state.unsynced.push(Change::Length(length));
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        let offset = usize::try_from(offset).unwrap();
        write(&mut state.live, offset, bytes);
        state.unsynced.push(Change::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        for change in std::mem::take(&mut state.unsynced) {
            match change {
                Change::Length(length) => state.synced.resize(length, 0),
                Change::Write(offset, bytes) => write(&mut state.synced, offset, &bytes),
            }
        }
        Ok(())
    }
}
