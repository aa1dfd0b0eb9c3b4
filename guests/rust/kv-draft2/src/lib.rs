//! Key-value by `wasi:keyvalue@0.2.0-draft2`, asked over HTTP; see `kit_keyvalue`.
//!
//! Of its own: `/cas?k=&v=` swaps if nobody wrote since, `/cas-late?k=&v=` writes in between, says
//! that the swap failed and what the fresh handle sees, `/cas-add?k=&d=` adds until it succeeds.
use kit_p2::{Outcome, Target, keyvalue};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/keyvalue-draft2",
        world: "wasi:keyvalue/imports",
    });
}
use bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use bindings::wasi::keyvalue::batch;
use bindings::wasi::keyvalue::store::{self, Error};

struct KeyValue;

impl Guest for KeyValue {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let body = || keyvalue::whole(request.consume().unwrap());
        let bucket = store::open(&target.text("b")).map_err(said);
        let outcome = bucket.and_then(|it| keyvalue::command(&Bucket(it), &target, body));
        kit_p2::answer_outcome(out, outcome);
    }
}

fn said(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Other(words) => format!("other: {words}"),
    }
}

struct Bucket(store::Bucket);

impl keyvalue::Bucket for Bucket {
    async fn get(&self, key: &str) -> Outcome {
        self.0.get(key).map_err(said)
    }
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.0.set(key, value).map_err(said)
    }
    async fn delete(&self, key: &str) -> Result<(), String> {
        self.0.delete(key).map_err(said)
    }
    async fn exists(&self, key: &str) -> Result<bool, String> {
        self.0.exists(key).map_err(said)
    }
    async fn increment(&self, key: &str, delta: &str) -> Result<String, String> {
        let delta = delta.parse().map_err(|_| format!("no s64: {delta:?}"))?;
        atomics::increment(&self.0, key, delta).map(|sum| sum.to_string()).map_err(said)
    }
    async fn page(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), String> {
        let page = self.0.list_keys(cursor.as_deref()).map_err(said)?;
        Ok((page.keys, page.cursor))
    }
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<(String, Vec<u8>)>>, String> {
        batch::get_many(&self.0, keys).map_err(said)
    }
    async fn set_many(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String> {
        batch::set_many(&self.0, pairs).map_err(said)
    }
    async fn delete_many(&self, keys: &[String]) -> Result<(), String> {
        batch::delete_many(&self.0, keys).map_err(said)
    }

    async fn other(&self, target: &Target) -> Outcome {
        let (key, value) = (target.text("k"), target.text("v"));
        match target.path() {
            "/cas" => match atomics::swap(self.version(&key)?, value.as_bytes()) {
                Ok(()) => Ok(Some(b"swapped".to_vec())),
                Err(CasError::CasFailed(_)) => Err("cas-failed".to_owned()),
                Err(CasError::StoreError(error)) => Err(said(error)),
            },
            "/cas-late" => {
                let version = self.version(&key)?;
                self.0.set(&key, b"in between").map_err(said)?;
                match atomics::swap(version, value.as_bytes()) {
                    Ok(()) => Ok(Some(b"swapped".to_vec())),
                    Err(CasError::CasFailed(fresh)) => {
                        let seen = fresh.current().map_err(said)?.unwrap_or_default();
                        Ok(Some([b"failed, now: ", seen.as_slice()].concat()))
                    }
                    Err(CasError::StoreError(error)) => Err(said(error)),
                }
            }
            "/cas-add" => self.add(&key, target.number("d", 1)).map(|sum| Some(sum.into())),
            _ => Ok(None),
        }
    }
}

impl Bucket {
    fn version(&self, key: &str) -> Result<Cas, String> {
        Cas::new(&self.0, key).map_err(said)
    }

    /// Adds with swaps alone, as often as others come first.
    fn add(&self, key: &str, delta: i64) -> Result<String, String> {
        let mut version = self.version(key)?;
        loop {
            let current = version.current().map_err(said)?.unwrap_or_else(|| b"0".to_vec());
            let text = String::from_utf8_lossy(&current);
            let number: i64 = text.parse().map_err(|_| format!("no number: {text:?}"))?;
            let sum = (number + delta).to_string();
            match atomics::swap(version, sum.as_bytes()) {
                Ok(()) => return Ok(sum),
                Err(CasError::CasFailed(fresh)) => version = fresh,
                Err(CasError::StoreError(error)) => return Err(said(error)),
            }
        }
    }
}

wasip2::http::proxy::export!(KeyValue);
