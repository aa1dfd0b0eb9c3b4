//! The numbers that stand for cursors in the draft whose cursors are numbers.

use crate::{Cursor, Store};
use base::{Error, Result};
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::ptr;
use std::sync::Arc;

/// So many of an instance's cursors are remembered, the newest.
const KEPT: usize = 64;

/// Numbers stay exact as floating-point numbers, which some guests make of them.
const FIRST: u64 = (1 << 52) - 1;

/// The cursors that one instance was given, each with the store that it belongs to.
#[derive(Default)]
pub(super) struct Cursors {
    next: Option<u64>,
    kept: VecDeque<(u64, Arc<dyn Store>, Cursor)>,
}

impl Cursors {
    /// A number for `cursor`, which no other instance will take for one of its own.
    pub(super) fn keep(&mut self, store: Arc<dyn Store>, cursor: Cursor) -> u64 {
        // Guests hand numbers on to their clients, and the next request may reach another
        // instance: numbers that began at one would there stand for something else.
        let random = || RandomState::new().hash_one(ptr::from_ref(self).addr()) & FIRST;
        let number = self.next.unwrap_or_else(random);
        self.next = Some(number + 1);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((number, store, cursor));
        number
    }

    /// The cursor of `store` that `number` stands for. It may be asked for again.
    ///
    /// # Errors
    /// `Invalid` when it stands for none, or for one of another store.
    pub(super) fn find(&self, store: &Arc<dyn Store>, number: u64) -> Result<Cursor> {
        let is_it = |(kept, of, _): &&(u64, Arc<dyn Store>, Cursor)| {
            *kept == number && ptr::addr_eq(Arc::as_ptr(of), Arc::as_ptr(store))
        };
        let found = self.kept.iter().rev().find(is_it);
        found.map(|(_, _, cursor)| cursor.clone()).ok_or_else(|| {
            Error::invalid(format!("{number} is no cursor of this bucket, or too old"))
                .with_hint("a cursor lives as long as the instance that it was given to")
        })
    }
}
