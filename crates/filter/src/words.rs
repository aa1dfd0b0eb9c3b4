//! Names and values that a filter writes again and again, made once.
//!
//! Most filters write the same few fields to every message; to hold them to the rules and to copy
//! them each time costs more than all else that the call does.

use crate::abi::Status;
use http_types::header::{HeaderName, HeaderValue};
use rustc_hash::FxHasher;
use std::hash::Hasher as _;

/// So many of each may be remembered.
const PLACES: usize = 64;
/// What is longer is seldom the same twice.
const LONGEST: usize = 64;

/// What one virtual machine has written. Nobody else's, so that nobody learns from how long a call
/// takes what others write.
#[derive(Default)]
pub(crate) struct Words {
    names: Places<HeaderName>,
    values: Places<HeaderValue>,
}

impl Words {
    /// A field.
    ///
    /// # Errors
    /// `BadArgument` for what is none.
    pub(crate) fn field(
        &mut self,
        name: &[u8],
        value: &[u8],
    ) -> Result<(HeaderName, HeaderValue), Status> {
        // Names are the same in any case.
        let is_name = |known: &HeaderName| known.as_str().as_bytes().eq_ignore_ascii_case(name);
        let is_value = |known: &HeaderValue| known.as_bytes() == value;
        let name = self.names.find(name, is_name, self::name)?;
        Ok((name, self.values.find(value, is_value, self::value)?))
    }
}

/// A field that nobody wrote before.
///
/// # Errors
/// `BadArgument` for what is none.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue), Status> {
    Ok((self::name(name)?, self::value(value)?))
}

fn name(bytes: &[u8]) -> Result<HeaderName, Status> {
    HeaderName::from_bytes(bytes).map_err(|_none| Status::BadArgument)
}

fn value(bytes: &[u8]) -> Result<HeaderValue, Status> {
    HeaderValue::from_bytes(bytes).map_err(|_none| Status::BadArgument)
}

/// A place for each of a few hashes: whoever comes later takes it over.
struct Places<T>(Vec<Place<T>>);

struct Place<T> {
    hash: u64,
    /// There once the same came twice: what differs each time is not kept.
    word: Option<T>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Places<T> {
    /// The word that these bytes are.
    fn find(
        &mut self,
        bytes: &[u8],
        is_it: impl FnOnce(&T) -> bool,
        make: impl FnOnce(&[u8]) -> Result<T, Status>,
    ) -> Result<T, Status> {
        if bytes.len() > LONGEST {
            return make(bytes);
        }
        if self.0.is_empty() {
            self.0.resize_with(PLACES, || Place { hash: 0, word: None });
        }
        let mut hasher = FxHasher::default();
        hasher.write(bytes);
        let hash = hasher.finish();
        let [low, ..] = hash.to_le_bytes();
        let Some(place) = self.0.get_mut(usize::from(low) % PLACES) else { return make(bytes) };
        if place.hash != hash {
            *place = Place { hash, word: None };
            return make(bytes);
        }
        if let Some(word) = place.word.as_ref().filter(|word| is_it(word)) {
            return Ok(word.clone());
        }
        let word = make(bytes)?;
        place.word = Some(word.clone());
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_it_was_made_of_however_often_it_comes() {
        let mut words = Words::default();
        for _ in 0..3 {
            for number in 0..1000 {
                let (name, value) = (format!("X-{}", number % 100), format!("value {number}"));
                let field = words.field(name.as_bytes(), value.as_bytes()).unwrap();
                assert_eq!(field.0.as_str(), name.to_ascii_lowercase());
                assert_eq!(field.1, value);
            }
            for wrong in [("a b", "c"), ("", "c"), ("x", "c\n")] {
                let field = words.field(wrong.0.as_bytes(), wrong.1.as_bytes());
                assert_eq!(field, Err(Status::BadArgument));
            }
            let long = "v".repeat(LONGEST + 1);
            assert_eq!(words.field(b"x", long.as_bytes()).unwrap().1, long);
        }
    }
}
