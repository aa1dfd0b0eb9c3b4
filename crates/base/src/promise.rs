//! Promises: the named tests of a contract, shipped with it so that any server can be held to them.
//!
//! A promise returns what is broken instead of panicking, because `wharf conformance` runs it too.

use crate::{Error, Kind, Result};
use futures::future::BoxFuture;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Whether a promise is kept.
pub type Kept = Result<(), Broken>;

/// One thing that every backend of a contract must do.
pub struct Promise<C: ?Sized + 'static> {
    /// Its name, a sentence: `deleting_twice_is_fine`.
    pub name: &'static str,
    /// Looks whether it is kept.
    pub run: fn(Stage<C>) -> BoxFuture<'static, Kept>,
}

/// Where a promise is tried: bindings that nobody else uses.
pub struct Stage<C: ?Sized> {
    open: Arc<Open<C>>,
}

/// Opens the binding of a name, or opens it again.
pub type Open<C> = dyn Fn(String) -> BoxFuture<'static, Result<Arc<C>>> + Send + Sync;

impl<C: ?Sized> Stage<C> {
    /// A stage whose bindings `open` opens.
    pub fn new(open: Arc<Open<C>>) -> Self {
        Self { open }
    }

    /// The binding that most promises are tried on.
    ///
    /// # Errors
    /// What keeps the backend from opening.
    pub async fn open(&self) -> Result<Arc<C>> {
        self.open_named("stage").await
    }

    /// The binding of a name. Bindings of different names have nothing in common.
    ///
    /// # Errors
    /// What keeps the backend from opening.
    pub async fn open_named(&self, name: &str) -> Result<Arc<C>> {
        (self.open)(name.to_owned()).await
    }
}

/// What was found instead of what was promised, and where.
pub struct Broken {
    what: String,
    place: &'static Location<'static>,
}

impl Broken {
    /// Says what is broken, at the caller's place.
    #[track_caller]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), place: Location::caller() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.what, self.place.file(), self.place.line())
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Error> for Broken {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::new(format!("a call failed: {error:?}"))
    }
}

/// Holds if `found` is what was wanted.
///
/// # Errors
/// Both, if they differ.
#[track_caller]
pub fn equal<A: PartialEq<B> + fmt::Debug, B: fmt::Debug>(found: A, wanted: B) -> Kept {
    if found == wanted {
        return Ok(());
    }
    Err(Broken::new(format!("found {found:?}, wanted {wanted:?}")))
}

/// Holds if `fact` is true.
///
/// # Errors
/// `what`, if it is not.
#[track_caller]
pub fn holds(fact: bool, what: &str) -> Kept {
    if fact { Ok(()) } else { Err(Broken::new(format!("does not hold: {what}"))) }
}

/// Holds if the call was refused with `kind`, and gives its error.
///
/// # Errors
/// What came instead.
#[track_caller]
pub fn refused<T: fmt::Debug>(outcome: Result<T>, kind: Kind) -> Result<Error, Broken> {
    match outcome {
        Err(error) if error.kind() == kind => Ok(error),
        other => {
            let word = kind.word();
            Err(Broken::new(format!("found {other:?}, wanted a refusal as {word}")))
        }
    }
}

/// The promises of these names: `promises![a, b]` for `async fn a(stage: Stage<C>) -> Kept`.
#[macro_export]
macro_rules! promises {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {
        &[$($(#[$meta])* $crate::promise::Promise {
            name: stringify!($name),
            run: |stage| ::std::boxed::Box::pin($name(stage)),
        }),*]
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_said_with_its_place() {
        let broken = equal(1, 2).unwrap_err().to_string();
        assert!(broken.contains("found 1, wanted 2") && broken.contains("promise.rs"), "{broken}");
        assert!(refused(Err::<(), _>(Error::invalid("x")), Kind::Invalid).is_ok());
        assert!(refused(Err::<(), _>(Error::invalid("x")), Kind::Denied).is_err());
        assert!(refused(Ok(3), Kind::Invalid).is_err());
    }
}
