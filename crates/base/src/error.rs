//! One error type for every contract, sorted by what a caller can do about it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of a contract's method.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The name is not known: an unbound binding, a missing file.
    NotFound,
    /// The caller may not do this; asking again will not help.
    Denied,
    /// The arguments are wrong: an empty key, a value that is no number.
    Invalid,
    /// A precondition of the call did not hold: another version, a stale fence.
    Conflict,
    /// A key, a value or an answer is above its limit.
    TooLarge,
    /// A quota or a bounded queue is full; asking again later may help.
    Exhausted,
    /// The call took longer than it may. Whether it took effect is not known.
    Timeout,
    /// What stands behind the call is away; asking again later may help.
    Unavailable,
    /// The backend cannot do this and says so in its offer.
    Unsupported,
    /// Data that was read is not what was written.
    Corrupt,
    /// A bug, ours or a dependency's.
    Internal,
}

impl Kind {
    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Exhausted | Self::Timeout | Self::Unavailable)
    }

    /// Whether nobody knows if the call took effect.
    pub fn leaves_open(self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable)
    }

    /// The word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::TooLarge => "too-large",
            Self::Exhausted => "exhausted",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

/// An error of a contract: its [`Kind`], a sentence, and where it helps a hint and a source.
///
/// Messages are lower-case fragments that fit after "failed to … :". They reach guests, so they
/// never hold a secret.
pub struct Error(Box<Parts>);

struct Parts {
    kind: Kind,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts { kind, message: message.into(), hint: None, source: None }))
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what to do about it, shown on a line of its own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Puts `context` before the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message).into();
        self
    }

    /// Names the binding `name` in an error of what is behind it, which tells where to look. What
    /// the caller did wrong it knows without.
    #[must_use]
    pub fn of_binding(self, name: &str) -> Self {
        match self.kind() {
            Kind::Unavailable
            | Kind::Timeout
            | Kind::Exhausted
            | Kind::Corrupt
            | Kind::Internal => self.context(format!("binding `{name}`")),
            _ => self,
        }
    }

    /// The error as guests read it: all in one line.
    pub fn words(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self} ({hint})"),
            None => self.to_string(),
        }
    }

    /// The same error once more, for another caller; of its sources only what they say.
    #[must_use]
    pub fn again(&self) -> Self {
        let Parts { kind, message, hint, source } = &*self.0;
        let mut error = Self::new(*kind, message.clone());
        error.0.hint.clone_from(hint);
        if source.is_some() {
            let chain = self.to_string();
            let chain = chain.get(message.len() + 2..).unwrap_or_default().to_owned();
            error = error.with_source(chain);
        }
        error
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message alone, without the chain of sources.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, if there is something to say.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(Kind::$kind, message)
            })*
        }
    };
}

constructors! {
    /// A [`Kind::NotFound`].
    not_found => NotFound;
    /// A [`Kind::Denied`].
    denied => Denied;
    /// A [`Kind::Invalid`].
    invalid => Invalid;
    /// A [`Kind::Conflict`].
    conflict => Conflict;
    /// A [`Kind::TooLarge`].
    too_large => TooLarge;
    /// A [`Kind::Exhausted`].
    exhausted => Exhausted;
    /// A [`Kind::Timeout`].
    timeout => Timeout;
    /// A [`Kind::Unavailable`].
    unavailable => Unavailable;
    /// A [`Kind::Unsupported`].
    unsupported => Unsupported;
    /// A [`Kind::Corrupt`].
    corrupt => Corrupt;
    /// A [`Kind::Internal`].
    internal => Internal;
}

impl fmt::Display for Error {
    /// The message and, after colons, the chain of sources.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.0.kind.word())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_chain() {
        let inner = std::io::Error::other("disk full");
        let error =
            Error::unavailable("writing `a.redb`").with_source(inner).context("binding `x`");
        assert_eq!(error.to_string(), "binding `x`: writing `a.redb`: disk full");
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.kind().is_temporary());
    }

    #[test]
    fn another_caller_is_told_the_same() {
        let inner = Error::invalid("a").with_source(std::io::Error::other("b"));
        for error in [Error::timeout("c"), Error::timeout("c").with_source(inner).with_hint("d")] {
            let again = error.again();
            assert_eq!(again.to_string(), error.to_string());
            assert_eq!((again.kind(), again.hint()), (error.kind(), error.hint()));
        }
    }
}
