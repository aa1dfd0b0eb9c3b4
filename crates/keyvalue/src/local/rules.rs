//! The rules of reading and writing, once for every store inside this process.
//!
//! Each function changes everything that it should, or nothing.

use super::{Stored, Table};
use crate::{Expect, Version, WriteOptions, counter, stale_fence, unmet};
use base::Result;
use bytes::Bytes;
use std::collections::BTreeMap;

pub(crate) fn live<T: Table>(table: &T, key: &str) -> Result<Option<Stored>> {
    Ok(table.find(key)?.filter(|stored| stored.expires > table.now()))
}

pub(crate) fn set<T: Table>(
    table: &mut T,
    key: &str,
    value: Bytes,
    options: &WriteOptions,
) -> Result<Version> {
    check_fence(table, options)?;
    if options.expect.is_some() {
        check_expectation(live(table, key)?.as_ref(), options)?;
    }
    table.admit(&[(key, value.len())])?;
    let version = table.put(key, value, table.deadline(options));
    keep_fence(table, options);
    Ok(version)
}

pub(crate) fn set_many<T: Table>(
    table: &mut T,
    entries: Vec<(String, Bytes)>,
    options: &WriteOptions,
) -> Result<()> {
    check_fence(table, options)?;
    let entries: BTreeMap<String, Bytes> = entries.into_iter().collect();
    let sizes: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value.len())).collect();
    table.admit(&sizes)?;
    let expires = table.deadline(options);
    for (key, value) in entries {
        table.put(&key, value, expires);
    }
    keep_fence(table, options);
    Ok(())
}

pub(crate) fn delete<T: Table>(table: &mut T, key: &str, options: &WriteOptions) -> Result<()> {
    check_fence(table, options)?;
    let current = live(table, key)?;
    check_expectation(current.as_ref(), options)?;
    if current.is_some() {
        table.remove(key);
    }
    keep_fence(table, options);
    Ok(())
}

pub(crate) fn delete_many<T: Table>(
    table: &mut T,
    keys: &[String],
    options: &WriteOptions,
) -> Result<()> {
    check_fence(table, options)?;
    let mut present = Vec::with_capacity(keys.len());
    for key in keys {
        if live(table, key)?.is_some() {
            present.push(key.as_str());
        }
    }
    present.sort_unstable();
    present.dedup();
    present.into_iter().for_each(|key| table.remove(key));
    keep_fence(table, options);
    Ok(())
}

pub(crate) fn increment<T: Table>(
    table: &mut T,
    key: &str,
    delta: i64,
    options: &WriteOptions,
) -> Result<i64> {
    check_fence(table, options)?;
    let current = live(table, key)?;
    check_expectation(current.as_ref(), options)?;
    let before = match &current {
        Some(stored) => counter::read(&stored.value)?,
        None => 0,
    };
    let sum = counter::add(before, delta)?;
    let value = Bytes::from(sum.to_string());
    table.admit(&[(key, value.len())])?;
    let expires = match (&current, options.ttl) {
        (Some(stored), None) => stored.expires,
        _ => table.deadline(options),
    };
    table.put(key, value, expires);
    keep_fence(table, options);
    Ok(sum)
}

fn check_expectation(current: Option<&Stored>, options: &WriteOptions) -> Result<()> {
    let version = current.map(|stored| stored.version.to_be_bytes());
    if holds(version.as_ref().map(|version| &version[..]), options) { Ok(()) } else { Err(unmet()) }
}

/// Whether the expectation holds for a key with this version, or without one.
pub(crate) fn holds(version: Option<&[u8]>, options: &WriteOptions) -> bool {
    match options.expect {
        None => true,
        Some(Expect::Absent) => version.is_none(),
        Some(Expect::Version(expected)) => version.is_some_and(|found| found == expected.bytes()),
    }
}

fn check_fence<T: Table>(table: &T, options: &WriteOptions) -> Result<()> {
    let Some(fence) = &options.fence else { return Ok(()) };
    match table.token(&fence.lock)? {
        Some(highest) if fence.token < highest => Err(stale_fence(fence.token, highest)),
        _ => Ok(()),
    }
}

fn keep_fence<T: Table>(table: &mut T, options: &WriteOptions) {
    if let Some(fence) = &options.fence {
        table.keep_token(fence);
    }
}
