//! Counters: decimal text, the same on every backend.

use base::{Error, Result};

/// The number that `value` is in decimal, written in the one way that every backend writes it.
///
/// # Errors
/// `Invalid` if it is none.
pub(crate) fn read(value: &[u8]) -> Result<i64> {
    let text = str::from_utf8(value).ok();
    let number = text.and_then(|text| {
        let number: i64 = text.parse().ok()?;
        (number.to_string() == text).then_some(number)
    });
    number.ok_or_else(none)
}

/// The sum.
///
/// # Errors
/// `Invalid` if it is no `i64`.
pub(crate) fn add(before: i64, delta: i64) -> Result<i64> {
    before.checked_add(delta).ok_or_else(|| overflow(before, delta))
}

/// The error for a value that is no counter.
pub(crate) fn none() -> Error {
    Error::invalid("the value is no counter: not a decimal i64")
}

/// The error for a sum that is no `i64`.
pub(crate) fn overflow(before: impl std::fmt::Display, delta: i64) -> Error {
    Error::invalid(format!("the counter overflows: {before} + {delta} is no i64"))
}
