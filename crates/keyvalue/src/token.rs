//! Versions and positions: short opaque bytes, compared for equality and nothing else.

use base::{Error, Result};
use std::fmt;
use std::str::FromStr;

macro_rules! tokens {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name {
            length: u8,
            bytes: [u8; $name::MAX],
        }

        impl $name {
            /// The most bytes that one can have.
            pub const MAX: usize = 23;

            /// One from its bytes.
            ///
            /// # Errors
            /// [`Kind::Invalid`](base::Kind) above [`Self::MAX`] bytes.
            pub fn new(from: &[u8]) -> Result<Self> {
                let mut bytes = [0; Self::MAX];
                let room = bytes.get_mut(..from.len()).ok_or_else(Self::malformed)?;
                room.copy_from_slice(from);
                let length = u8::try_from(from.len()).map_err(|_| Self::malformed())?;
                Ok(Self { length, bytes })
            }

            /// Its bytes.
            pub fn bytes(&self) -> &[u8] {
                self.bytes.get(..usize::from(self.length)).unwrap_or_default()
            }

            fn malformed() -> Error {
                Error::invalid(concat!("this is no ", $word))
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                let mut bytes = [0; Self::MAX];
                for (to, from) in bytes.iter_mut().zip(number.to_be_bytes()) {
                    *to = from;
                }
                Self { length: 8, bytes }
            }
        }

        impl From<u128> for $name {
            fn from(number: u128) -> Self {
                let mut bytes = [0; Self::MAX];
                for (to, from) in bytes.iter_mut().zip(number.to_be_bytes()) {
                    *to = from;
                }
                Self { length: 16, bytes }
            }
        }

        impl fmt::Display for $name {
            /// In hexadecimal, which [`FromStr`] reads.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($word, " "))?;
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                unhex(text).and_then(|bytes| Self::new(&bytes).ok()).ok_or_else(Self::malformed)
            }
        }
    )*};
}

tokens! {
    /// Which write stored a value. Never used twice for a key.
    Version = "version";
    /// A place in a store's sequence of changes.
    Position = "position";
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_through_text_unchanged() {
        for version in [Version::from(7_u64), Version::from(u128::MAX), Version::new(b"").unwrap()]
        {
            assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
        }
        assert_ne!(Version::from(7_u64), Version::from(7_u128));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["x", "0", "0g", "ää", "+1", &"00".repeat(Version::MAX + 1)] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
