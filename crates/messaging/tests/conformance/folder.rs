//! A folder that can lose its power: names that were not synced are lost or not, each by itself,
//! and what was added to a file is lost, kept in part, or something else.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex};
use testkit::random::Random;
use wharf_messaging::backend::file::Folder as Files;

/// One folder; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Folder(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What is in each file that there ever was.
    contents: Vec<Content>,
    /// Of each name the file that has it on the disk, and those that had it since.
    names: BTreeMap<String, Vec<Option<usize>>>,
    /// How many more changes and syncs until the power goes, and how many there were.
    fuse: Option<u64>,
    calls: u64,
    /// Every change fails while this is set, as on a full disk.
    broken: bool,
    is_dark: bool,
}

#[derive(Clone, Default)]
struct Content {
    live: Vec<u8>,
    /// So many bytes of it are on the disk.
    synced: usize,
}

impl Folder {
    pub(crate) fn cut_after(&self, calls: u64) {
        self.0.lock().unwrap().fuse = Some(calls);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    pub(crate) fn set_broken(&self, broken: bool) {
        self.0.lock().unwrap().broken = broken;
    }

    /// What is in it after the power went, which it does now if it did not yet.
    pub(crate) fn after_the_cut(&self, seed: u64) -> Self {
        let mut state = self.0.lock().unwrap();
        state.is_dark = true;
        let mut random = Random(seed);
        let mut left = State::default();
        for (name, files) in &state.names {
            let at = usize::try_from(random.below(files.len() as u64)).unwrap();
            let Some(file) = files[at] else { continue };
            let found = state.contents[file].left(&mut random);
            left.contents.push(Content { synced: found.len(), live: found });
            left.names.insert(name.clone(), vec![Some(left.contents.len() - 1)]);
        }
        Self(Arc::new(Mutex::new(left)))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        change(&mut state)
    }
}

impl Content {
    /// What the disk kept of it.
    fn left(&self, random: &mut Random) -> Vec<u8> {
        let unsynced = self.live.len() - self.synced;
        let kept = usize::try_from(random.below(unsynced as u64 + 1)).unwrap();
        let mut left = self.live[..self.synced + kept].to_vec();
        if kept > 0 && random.below(2) == 0 {
            let hole = usize::try_from(random.below(kept as u64)).unwrap();
            left[self.synced + hole..].fill(0);
        }
        left
    }
}

impl State {
    /// Counts a call, and fails it if there is no power.
    fn call(&mut self) -> Result<()> {
        self.calls += 1;
        match &mut self.fuse {
            Some(0) => self.is_dark = true,
            Some(left) => *left -= 1,
            None => {}
        }
        match (self.is_dark, self.broken) {
            (true, _) => Err(Error::other("there is no power")),
            (false, true) => Err(ErrorKind::StorageFull.into()),
            (false, false) => Ok(()),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        *self.names.get(name)?.last()?
    }

    fn name(&mut self, name: &str, file: Option<usize>) {
        self.names.entry(name.to_owned()).or_insert_with(|| vec![None]).push(file);
    }
}

impl Files for Folder {
    fn list(&self) -> Result<Vec<(String, u64)>> {
        let state = self.0.lock().unwrap();
        let length = |file: usize| state.contents[file].live.len() as u64;
        let names = state.names.keys();
        Ok(names.filter_map(|name| Some((name.clone(), length(state.find(name)?)))).collect())
    }

    fn read(&self, name: &str, _most: u64) -> Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let file = state.find(name).ok_or(ErrorKind::NotFound)?;
        Ok(state.contents[file].live.clone())
    }

    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        let mut open = Vec::new();
        for (name, bytes) in files {
            self.change(|state| {
                state.contents.push(Content { live: bytes.clone(), synced: 0 });
                open.push(state.contents.len() - 1);
                state.name(name, open.last().copied());
                Ok(())
            })?;
        }
        for file in open {
            self.change(|state| {
                state.contents[file].synced = state.contents[file].live.len();
                Ok(())
            })?;
        }
        Ok(())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.change(|state| {
            let file = state.find(name).ok_or(ErrorKind::NotFound)?;
            state.contents[file].live.extend_from_slice(bytes);
            Ok(file)
        })?;
        self.change(|state| {
            state.contents[file].synced = state.contents[file].live.len();
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.change(|state| {
            let file = state.find(from).ok_or(ErrorKind::NotFound)?;
            state.name(from, None);
            state.name(to, Some(file));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.change(|state| {
            state.find(name).ok_or(ErrorKind::NotFound)?;
            state.name(name, None);
            Ok(())
        })
    }

    fn set_aside(&self, name: &str) -> Result<()> {
        self.remove(name)
    }

    fn sync(&self) -> Result<()> {
        self.change(|state| {
            for files in state.names.values_mut() {
                files.drain(..files.len() - 1);
            }
            state.names.retain(|_, files| files.iter().any(Option::is_some));
            Ok(())
        })
    }
}
