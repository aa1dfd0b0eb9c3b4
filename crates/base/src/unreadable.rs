//! Files and directories that the system does not open: whose fault it is, and what to do.

use crate::{Error, Kind};
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::Path;

/// What to do where the file is there and this user may not read it.
const HINT: &str = "let the user that runs wharf read it, and enter the folders above it";

impl Error {
    /// An error of a file or a directory that cannot be read: `NotFound`, or `Denied` with a hint,
    /// where the system says so, and `otherwise` for all else.
    pub fn unreadable(
        message: impl Into<Cow<'static, str>>,
        error: io::Error,
        otherwise: Kind,
    ) -> Self {
        let denied = error.kind() == ErrorKind::PermissionDenied;
        let kind = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Kind::NotFound,
            ErrorKind::PermissionDenied => Kind::Denied,
            _ => otherwise,
        };
        let refused = Self::new(kind, message).with_source(error);
        if denied { refused.with_hint(HINT) } else { refused }
    }
}

/// Finds out whether a directory is there and may be entered, before a guest does.
///
/// To look at a directory, or to hold it open for others, takes no right to what is in it.
///
/// # Errors
/// What the system says: it is not there, it is no directory, it may not be entered.
pub fn enter(directory: &Path) -> io::Result<()> {
    directory.join(".").metadata().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ErrorKind) -> Error {
        Error::unreadable("reading `x`", kind.into(), Kind::Corrupt)
    }

    #[test]
    fn what_may_not_be_read_is_no_mistake_of_who_named_it() {
        assert_eq!(of(ErrorKind::PermissionDenied).kind(), Kind::Denied);
        assert_eq!(of(ErrorKind::PermissionDenied).hint(), Some(HINT));
        for (said, kind) in [
            (ErrorKind::NotFound, Kind::NotFound),
            (ErrorKind::NotADirectory, Kind::NotFound),
            (ErrorKind::Interrupted, Kind::Corrupt),
        ] {
            assert_eq!((of(said).kind(), of(said).hint()), (kind, None));
        }
    }

    #[test]
    fn only_a_directory_is_entered() {
        assert!(enter(Path::new("src")).is_ok() && enter(Path::new("")).is_ok());
        assert_eq!(enter(Path::new("nowhere")).unwrap_err().kind(), ErrorKind::NotFound);
        let file = enter(Path::new("Cargo.toml")).unwrap_err();
        assert_eq!(file.kind(), ErrorKind::NotADirectory);
    }
}
