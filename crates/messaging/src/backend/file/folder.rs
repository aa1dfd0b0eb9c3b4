//! What is done with a folder: a trait, so that tests can take its power away.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::path::{Path, PathBuf};

/// So many threads wait for the disk at once. It waits once for all who come together.
const WAITING: usize = 8;

/// A folder, with the files in it by their names.
pub trait Folder: Send + Sync + 'static {
    /// The names of all that is in it, with the lengths of files.
    ///
    /// # Errors
    /// Those of the disk, here and below.
    fn list(&self) -> Result<Vec<(String, u64)>>;

    /// What is in a file of at most so many bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not there, [`ErrorKind::FileTooLarge`] if it is larger.
    fn read(&self, name: &str, most: u64) -> Result<Vec<u8>>;

    /// Makes a few files or writes them anew. What is in them is on the disk then, and perhaps not
    /// their names.
    ///
    /// # Errors
    /// Those of the disk.
    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<()>;

    /// Adds to a file that is there. It is on the disk then.
    ///
    /// # Errors
    /// Those of the disk.
    fn append(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Gives a file another name, in the place of any other file that has it.
    ///
    /// # Errors
    /// Those of the disk.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not there.
    fn remove(&self, name: &str) -> Result<()>;

    /// Puts a file, or whatever it is, where nobody looks for messages.
    ///
    /// # Errors
    /// Those of the disk.
    fn set_aside(&self, name: &str) -> Result<()>;

    /// Waits until all names are on the disk.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync(&self) -> Result<()>;
}

/// Where what is set aside lies.
pub(super) const BROKEN: &str = ".broken";

/// A folder of this machine.
pub(super) struct Real(PathBuf);

impl Real {
    /// Takes a folder, which is made if it is not there. It is this process's as long as the file
    /// beside it is open. `None`: another process has it.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, File)>> {
        fs::create_dir_all(path)?;
        // Those that were made just now are on the disk before anything in them is.
        for folder in path.ancestors().take(3).filter(|folder| folder.is_dir()) {
            File::open(folder)?.sync_all()?;
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let lock = options.open(path.join(super::LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some((Self(path.to_owned()), lock))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Waits until all of these are on the disk.
fn sync(files: &[File]) -> Result<()> {
    let (mine, others) = match files.split_first() {
        Some((one, [])) => return one.sync_data(),
        Some(_) => files.split_at(files.len().div_ceil(WAITING)),
        None => return Ok(()),
    };
    let each = mine.len();
    std::thread::scope(|scope| {
        let all = |files: &[File]| files.iter().try_for_each(File::sync_data);
        let waiting: Vec<_> =
            others.chunks(each).map(|files| scope.spawn(move || all(files))).collect();
        let mut outcome = all(mine);
        for thread in waiting {
            let theirs = thread.join().unwrap_or_else(|_| Err(Error::other("a thread panicked")));
            outcome = outcome.and(theirs);
        }
        outcome
    })
}

impl Folder for Real {
    fn list(&self) -> Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // What is no text is no name of ours, and is named as well as can be.
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.metadata() {
                Ok(metadata) => found.push((name, metadata.len())),
                Err(gone) if gone.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let file = File::open(self.0.join(name))?;
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > most {
            true => Err(ErrorKind::FileTooLarge.into()),
            false => Ok(bytes),
        }
    }

    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        let mut open = Vec::with_capacity(files.len());
        for (name, bytes) in files {
            let mut file = File::create(self.0.join(name))?;
            file.write_all(bytes)?;
            open.push(file);
        }
        sync(&open)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.0.join(name))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn set_aside(&self, name: &str) -> Result<()> {
        set_aside(&self.0.join(name), &self.0.join(BROKEN))
    }

    fn sync(&self) -> Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// Moves what is at `path` to a folder, under its name or one that is free.
pub(super) fn set_aside(path: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for number in 0_u32.. {
        let free = match number {
            0 => folder.join(&name),
            number => folder.join(format!("{name}.{number}")),
        };
        if fs::symlink_metadata(&free).is_err() {
            return fs::rename(path, free);
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}
