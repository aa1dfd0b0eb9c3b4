//! Numbers that count on, however many visitors come at once.
use crate::Failure;
use crate::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use crate::bindings::wasi::keyvalue::store::{Bucket, Error};

/// Adds one and returns the sum, which nobody else got.
///
/// Compare-and-swap: the value is written only if it is still the one that was read. Where another
/// request came first the store hands out a fresh handle to try again with. Each round that fails
/// is one in which somebody else succeeded, so this ends.
pub fn add_one(bucket: &Bucket, key: &str) -> Result<u64, Failure> {
    let failed = |error: Error| format!("counting `{key}`: {error}");
    let mut cas = Cas::new(bucket, key).map_err(failed)?;
    loop {
        let sum = number(key, cas.current().map_err(failed)?)? + 1;
        match atomics::swap(cas, sum.to_string().as_bytes()) {
            Ok(()) => return Ok(sum),
            Err(CasError::CasFailed(fresh)) => cas = fresh,
            Err(CasError::StoreError(error)) => return Err(failed(error)),
        }
    }
}

/// The number as it is now.
pub fn read(bucket: &Bucket, key: &str) -> Result<u64, Failure> {
    let value = bucket.get(key).map_err(|error| format!("reading `{key}`: {error}"))?;
    number(key, value)
}

fn number(key: &str, value: Option<Vec<u8>>) -> Result<u64, Failure> {
    let Some(value) = value else { return Ok(0) };
    let number = str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("the value of `{key}` is no number"))
}
