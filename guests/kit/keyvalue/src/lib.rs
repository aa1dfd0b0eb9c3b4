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
use kit_query::Target;

/// What came of a request: bytes, nothing there, or an error in words.
pub type Outcome = Result<Option<Vec<u8>>, String>;

/// An open bucket of some draft. Cursors are text here, errors words.
#[expect(async_fn_in_trait, reason = "guests have one thread")]
pub trait Bucket {
    async fn get(&self, key: &str) -> Outcome;
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), String>;
    async fn delete(&self, key: &str) -> Result<(), String>;
    async fn exists(&self, key: &str) -> Result<bool, String>;
    async fn increment(&self, key: &str, delta: &str) -> Result<String, String>;
    async fn page(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), String>;
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<(String, Vec<u8>)>>, String>;
    async fn set_many(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String>;
    async fn delete_many(&self, keys: &[String]) -> Result<(), String>;

    /// A path that only this draft has.
    async fn other(&self, _target: &Target) -> Outcome {
        Ok(None)
    }
}

/// Does what the path says.
pub async fn command(
    bucket: &impl Bucket,
    target: &Target,
    body: impl AsyncFnOnce() -> Vec<u8>,
) -> Outcome {
    let (key, keys) = (target.text("k"), target.all("k"));
    let done = |_: ()| Some(Vec::new());
    match target.path() {
        "/get" => bucket.get(&key).await,
        "/set" => bucket.set(&key, target.text("v").as_bytes()).await.map(done),
        "/put" => bucket.set(&key, &body().await).await.map(done),
        "/delete" => bucket.delete(&key).await.map(done),
        "/exists" => bucket.exists(&key).await.map(|there| Some(there.to_string().into())),
        "/incr" => bucket.increment(&key, &target.text("d")).await.map(|sum| Some(sum.into())),
        "/list" => all_keys(bucket).await.map(|keys| Some(keys.join("\n").into())),
        "/page" => bucket.page(target.value("cursor")).await.map(|(mut keys, cursor)| {
            keys.push(format!("cursor={}", cursor.unwrap_or_default()));
            Some(keys.join("\n").into())
        }),
        "/get-many" => bucket.get_many(&keys).await.map(|found| Some(lines(found))),
        "/set-many" => {
            let values = target.all("v").into_iter().map(Vec::from);
            bucket.set_many(&keys.into_iter().zip(values).collect::<Vec<_>>()).await.map(done)
        }
        "/delete-many" => bucket.delete_many(&keys).await.map(done),
        _ => bucket.other(target).await,
    }
}

async fn all_keys(bucket: &impl Bucket) -> Result<Vec<String>, String> {
    let (mut keys, mut cursor) = bucket.page(None).await?;
    while cursor.is_some() {
        let (more, next) = bucket.page(cursor).await?;
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
