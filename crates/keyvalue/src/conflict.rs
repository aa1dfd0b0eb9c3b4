//! The two ways in which a write's conditions fail, told apart by the error's source.

use base::{Error, Kind};
use std::error::Error as StdError;
use std::fmt;

/// The source of an error that [`is_unmet`] knows.
#[derive(Debug)]
struct Unmet;

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another write came first")
    }
}

impl StdError for Unmet {}

/// The source of an error that [`is_stale_fence`] knows.
#[derive(Debug)]
struct Stale {
    token: u64,
    highest: u64,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {} is below {}", self.token, self.highest)
    }
}

impl StdError for Stale {}

/// The [`Kind::Conflict`] of a write whose [`Expect`](crate::Expect) does not hold.
pub fn unmet() -> Error {
    Error::conflict("the key is not as expected").with_source(Unmet)
}

/// The [`Kind::Conflict`] of a write whose [`Fence`](crate::Fence) is stale.
pub fn stale_fence(token: u64, highest: u64) -> Error {
    Error::conflict("the fence is stale").with_source(Stale { token, highest })
}

/// Whether the write was refused because its [`Expect`](crate::Expect) does not hold.
pub fn is_unmet(error: &Error) -> bool {
    error.kind() == Kind::Conflict && error.source().is_some_and(<dyn StdError>::is::<Unmet>)
}

/// Whether the write was refused because its [`Fence`](crate::Fence) is stale.
pub fn is_stale_fence(error: &Error) -> bool {
    error.kind() == Kind::Conflict && error.source().is_some_and(<dyn StdError>::is::<Stale>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_conflicts_are_told_apart() {
        assert!(is_unmet(&unmet()) && !is_stale_fence(&unmet()));
        let stale = stale_fence(3, 4);
        assert!(is_stale_fence(&stale) && !is_unmet(&stale));
        assert_eq!(stale.to_string(), "the fence is stale: token 3 is below 4");
    }
}
