//! The posts: each under a key that sorts by age, its number taken from a counter.
use crate::bindings::wasi::keyvalue::batch;
use crate::bindings::wasi::keyvalue::store::Bucket;
use crate::{Failure, counter};
use serde::{Deserialize, Serialize};

/// The key of the last number that was given out.
const LAST: &str = "last-post";

/// What a visitor wrote.
#[derive(Serialize, Deserialize)]
pub struct Post {
    pub name: String,
    pub message: String,
    /// Seconds since 1970.
    pub written: u64,
}

/// Some posts, newest first, each with its number.
pub struct Page {
    pub posts: Vec<(u64, Post)>,
    /// Where the next older page begins, if there is one.
    pub older: Option<u64>,
    /// Whether there are newer ones than these.
    pub newer: bool,
}

/// Keys of one length, so that their order is the order of the numbers.
fn key(id: u64) -> String {
    format!("post/{id:020}")
}

/// Writes a post under the next number.
///
/// A request that ends between the two steps leaves a number without a post, which readers skip.
pub fn add(bucket: &Bucket, post: &Post) -> Result<(), Failure> {
    let id = counter::add_one(bucket, LAST)?;
    let value = serde_json::to_vec(post).map_err(|error| error.to_string())?;
    bucket.set(&key(id), &value).map_err(|error| format!("writing post {id}: {error}"))
}

/// The newest posts, or those with a number below `before`.
pub fn page(bucket: &Bucket, before: Option<u64>, size: u64) -> Result<Page, Failure> {
    let last = counter::read(bucket, LAST)?;
    let end = before.unwrap_or(u64::MAX).min(last.saturating_add(1)).max(1);
    let start = end.saturating_sub(size).max(1);
    let ids: Vec<u64> = (start..end).rev().collect();
    let keys: Vec<String> = ids.iter().map(|id| key(*id)).collect();
    let found =
        batch::get_many(bucket, &keys).map_err(|error| format!("reading posts: {error}"))?;
    let mut posts = Vec::new();
    for (id, found) in ids.into_iter().zip(found) {
        if let Some((key, value)) = found {
            let post = serde_json::from_slice(&value);
            posts.push((id, post.map_err(|error| format!("reading `{key}`: {error}"))?));
        }
    }
    Ok(Page { posts, older: (start > 1).then_some(start), newer: end <= last })
}
