//! A directory of files, as clusters mount configuration and secrets.

use super::{check_path, path};
use crate::watched::{self, Files, Mark, RELOAD, failed, read_text};
use crate::{Snapshot, Source};
use base::{Backend, Error, Place, Result, units::Size};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The most files of one directory.
const MAX_FILES: usize = 4096;
/// The most bytes of all its files.
const MAX_TOTAL: usize = 8 << 20;

/// A directory with one file per name, whose content is the value without a line break at its end.
///
/// Hidden files and directories within are not looked at. Where the files are symbolic links
/// through `..data`, as in a cluster, all of them change in one moment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dir {
    /// `dir:PATH`
    url: String,
    /// How often to look for changes; `"0s"` for never. One second if left out.
    #[serde(default = "reload", deserialize_with = "base::units::deserialize_duration")]
    reload: Duration,
}

fn reload() -> Duration {
    RELOAD
}

impl Backend for Dir {
    type Contract = dyn Source;
    const NAME: &'static str = "dir";
    const SCHEMES: &'static [&'static str] = &["dir"];
    const EXAMPLE: &'static str = "dir:/run/secrets/web";

    fn check(&self) -> Result<(), String> {
        check_path::<Self>(&self.url)
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Source>> {
        watched::open(Values(path::<Self>(&self.url, &place)), self.reload).await
    }
}

struct Values(PathBuf);

impl Values {
    /// The names of everything that is not hidden.
    fn names(&self) -> std::io::Result<Vec<OsString>> {
        let entries = std::fs::read_dir(&self.0)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let visible = |name: &OsString| !name.as_encoded_bytes().starts_with(b".");
        // One more than may be, so that `read` notices.
        names.filter(|name| name.as_ref().map_or(true, visible)).take(MAX_FILES + 1).collect()
    }
}

impl Files for Values {
    fn mark(&self) -> Mark {
        let mut mark = Mark::default();
        // Alone, the directory's own look would not do: files are written in place, too.
        mark.add(".", self.0.metadata());
        for name in self.names().unwrap_or_default() {
            let look = self.0.join(&name).metadata();
            mark.add(name, look);
        }
        mark.sorted()
    }

    fn read(&self) -> Result<Snapshot> {
        let context = |error: Error| error.context(format!("`{}`", self.0.display()));
        let names = self.names().map_err(|error| context(failed(error)))?;
        if names.len() > MAX_FILES {
            return Err(context(Error::too_large(format!("has more than {MAX_FILES} files"))));
        }
        let (mut total, mut pairs) = (0, Vec::new());
        for name in names {
            let path = self.0.join(&name);
            if path.metadata().is_ok_and(|found| !found.is_file()) {
                continue;
            }
            let name = name.into_string().map_err(|name| {
                let name = name.to_string_lossy().into_owned();
                context(Error::invalid(format!("the file name `{name}` is no UTF-8 text")))
            })?;
            let value = without_end(read_text(&path)?);
            total += value.len();
            if total > MAX_TOTAL {
                let most = Size(MAX_TOTAL as u64);
                return Err(context(Error::too_large(format!("holds more than {most}"))));
            }
            pairs.push((name, value));
        }
        Ok(pairs.into_iter().collect())
    }

    fn name(&self) -> String {
        format!("dir:{}", self.0.display())
    }
}

/// The text without the line break that editors and `echo` put at the end.
fn without_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStringExt as _;

    fn dir() -> (tempfile::TempDir, Values) {
        let dir = tempfile::tempdir().unwrap();
        let values = Values(dir.path().to_owned());
        (dir, values)
    }

    #[test]
    fn one_line_break_goes_and_the_rest_stays() {
        let (dir, values) = dir();
        for (name, text) in [("a", "1\n"), ("b", "1\r\n"), ("c", "1\n\n"), ("d", " 1"), ("e", "")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let seen = values.read().unwrap();
        let expected = [("a", "1"), ("b", "1"), ("c", "1\n"), ("d", " 1"), ("e", "")];
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn hidden_files_and_directories_are_not_looked_at() {
        let (dir, values) = dir();
        fs::write(dir.path().join(".hidden"), b"\xff").unwrap();
        fs::create_dir_all(dir.path().join("inner/deeper")).unwrap();
        fs::write(dir.path().join("seen"), "yes").unwrap();
        assert_eq!(values.read().unwrap().iter().collect::<Vec<_>>(), [("seen", "yes")]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (dir, values) = dir();
        let path = dir.path().join("token");
        fs::write(&path, b"s3cret\xff").unwrap();
        let error = values.read().unwrap_err().to_string();
        assert_eq!(error, format!("`{}`: is no UTF-8 text at byte 6", path.display()));

        fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(values.read().unwrap_err().to_string().ends_with("token`: is larger than 1MiB"));

        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(values.read().unwrap_err().to_string().contains("token`: cannot be read"));

        fs::remove_file(&path).unwrap();
        fs::write(dir.path().join(OsString::from_vec(vec![b'k', 0xff])), "v").unwrap();
        assert!(values.read().unwrap_err().to_string().contains("file name `k\u{fffd}`"));
    }

    #[test]
    fn limits_hold_for_all_files_together() {
        let (dir, values) = dir();
        for name in 0..9 {
            fs::write(dir.path().join(name.to_string()), vec![b'x'; 1 << 20]).unwrap();
        }
        assert!(values.read().unwrap_err().to_string().ends_with("holds more than 8MiB"));
        for name in 0..=MAX_FILES {
            fs::write(dir.path().join(name.to_string()), "").unwrap();
        }
        assert!(values.read().unwrap_err().to_string().ends_with("has more than 4096 files"));
    }
}
