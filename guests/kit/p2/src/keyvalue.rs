//! The little HTTP interface that all key-value guests share, whatever draft they import.
//!
//! | path | does |
//! |---|---|
//! | `/get?k=` | the value, or 404 |
//! | `/set?k=&v=`, `/put?k=` with a body, `/delete?k=` | writes, removes |
//! | `/exists?k=` | `true` or `false` |
//! | `/incr?k=&d=` | the sum |
//! | `/list`, `/page?cursor=` | keys, one a line; a page ends with its line `cursor=` |
//! | `/get-many?k=&k=` | a line `KEY=VALUE` for each, in order, or `-` |
//! | `/set-many?k=&v=&k=&v=`, `/delete-many?k=&k=` | writes, removes |
//!
//! `b` names the bucket, `""` if left out. What the guest knows beyond this comes through
//! [`Bucket::other`]. Errors are 500 with their words.
use wasip2::http::types::IncomingBody;
use wasip2::io::streams::StreamError;

use crate::{Outcome, Target};

/// An open bucket of some draft. Cursors are text here, errors words.
pub trait Bucket {
    fn get(&self, key: &str) -> Outcome;
    fn set(&self, key: &str, value: &[u8]) -> Result<(), String>;
    fn delete(&self, key: &str) -> Result<(), String>;
    fn exists(&self, key: &str) -> Result<bool, String>;
    fn increment(&self, key: &str, delta: &str) -> Result<String, String>;
    fn page(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), String>;
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<(String, Vec<u8>)>>, String>;
    fn set_many(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String>;
    fn delete_many(&self, keys: &[String]) -> Result<(), String>;

    /// A path that only this draft has.
    fn other(&self, _target: &Target) -> Outcome {
        Ok(None)
    }
}

/// Does what the path says.
pub fn command(bucket: &impl Bucket, target: &Target, body: impl FnOnce() -> Vec<u8>) -> Outcome {
    let (key, keys) = (target.text("k"), target.all("k"));
    let done = |_: ()| Some(Vec::new());
    match target.path() {
        "/get" => bucket.get(&key),
        "/set" => bucket.set(&key, target.text("v").as_bytes()).map(done),
        "/put" => bucket.set(&key, &body()).map(done),
        "/delete" => bucket.delete(&key).map(done),
        "/exists" => bucket.exists(&key).map(|there| Some(there.to_string().into())),
        "/incr" => bucket.increment(&key, &target.text("d")).map(|sum| Some(sum.into())),
        "/list" => all_keys(bucket).map(|keys| Some(keys.join("\n").into())),
        "/page" => bucket.page(target.value("cursor")).map(|(mut keys, cursor)| {
            keys.push(format!("cursor={}", cursor.unwrap_or_default()));
            Some(keys.join("\n").into())
        }),
        "/get-many" => bucket.get_many(&keys).map(|found| Some(lines(found))),
        "/set-many" => {
            let values = target.all("v").into_iter().map(Vec::from);
            bucket.set_many(&keys.into_iter().zip(values).collect::<Vec<_>>()).map(done)
        }
        "/delete-many" => bucket.delete_many(&keys).map(done),
        _ => bucket.other(target),
    }
}

fn all_keys(bucket: &impl Bucket) -> Result<Vec<String>, String> {
    let (mut keys, mut cursor) = bucket.page(None)?;
    while cursor.is_some() {
        let (more, next) = bucket.page(cursor)?;
        keys.extend(more);
        cursor = next;
    }
    Ok(keys)
}

fn lines(found: Vec<Option<(String, Vec<u8>)>>) -> Vec<u8> {
    let line = |pair: Option<(String, Vec<u8>)>| match pair {
        Some((key, value)) => [key.as_bytes(), b"=", &value].concat(),
        None => b"-".to_vec(),
    };
    found.into_iter().map(line).collect::<Vec<_>>().join(&b'\n')
}

/// The whole body of a request.
pub fn whole(body: IncomingBody) -> Vec<u8> {
    let stream = body.stream().unwrap();
    let mut whole = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => whole.extend(bytes),
            Err(StreamError::Closed) => return whole,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
}
