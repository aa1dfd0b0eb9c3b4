//! Key-value by `wasmcloud:keyvalue@0.2.0`, asked over HTTP on WASI 0.3; see `kit_keyvalue`.
//!
//! Of its own:
//! - `/set-with?k=&v=&ttl=&absent=` writes with a time to live in milliseconds, and where `absent`
//!   is `true` only if the key is absent;
//! - `/begin?k=` lists the keys that begin with `k`;
//! - `/current?k=` answers the version, and the value on the line after it;
//! - `/swap?k=&v=&version=&value=` says `swapped`, or `stale` and what there is;
//! - `/cas-add?k=&d=` adds by swaps until it succeeds;
//! - `/at-once?k=&n=` counts `n` times at once and answers the sums.
use futures::future::join_all;
use kit_keyvalue::Outcome;
use kit_p3::{Target, kebab};
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/keyvalue-wasmcloud",
        world: "wasmcloud:keyvalue/imports",
    });
}
use bindings::wasmcloud::keyvalue::cas::{self, CasOptions, CasResult, Entry};
use bindings::wasmcloud::keyvalue::types::{self, Error, SetOptions};
use bindings::wasmcloud::keyvalue::{atomics, batch, store};

struct KeyValue;

impl Guest for KeyValue {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = kit_p3::target(&request);
        let body = async || kit_p3::whole(request).await;
        let outcome = match store::open(target.text("b")).await {
            Ok(bucket) => kit_keyvalue::command(&Bucket(bucket), &target, body).await,
            Err(error) => Err(said(error)),
        };
        Ok(kit_p3::answer_outcome(outcome))
    }
}

fn said(error: Error) -> String {
    match error {
        Error::Other(words) => format!("other: {words}"),
        case => kebab(&case),
    }
}

struct Bucket(types::Bucket);

impl kit_keyvalue::Bucket for Bucket {
    async fn get(&self, key: &str) -> Outcome {
        self.0.get(key.to_owned()).await.map_err(said)
    }
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.0.set(key.to_owned(), value.to_owned(), None).await.map_err(said)
    }
    async fn delete(&self, key: &str) -> Result<(), String> {
        self.0.delete(key.to_owned()).await.map_err(said)
    }
    async fn exists(&self, key: &str) -> Result<bool, String> {
        self.0.exists(key.to_owned()).await.map_err(said)
    }
    async fn increment(&self, key: &str, delta: &str) -> Result<String, String> {
        let delta = delta.parse().map_err(|_| format!("no s64: {delta:?}"))?;
        let sum = atomics::increment(&self.0, key.to_owned(), delta).await;
        sum.map(|sum| sum.to_string()).map_err(said)
    }
    async fn page(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), String> {
        let page = self.0.list_keys(None, cursor).await.map_err(said)?;
        Ok((page.keys, page.cursor))
    }
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<(String, Vec<u8>)>>, String> {
        batch::get_many(&self.0, keys.to_owned()).await.map_err(said)
    }
    async fn set_many(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String> {
        batch::set_many(&self.0, pairs.to_owned()).await.map_err(said)
    }
    async fn delete_many(&self, keys: &[String]) -> Result<(), String> {
        batch::delete_many(&self.0, keys.to_owned()).await.map_err(said)
    }

    async fn other(&self, target: &Target) -> Outcome {
        let (key, value) = (target.text("k"), target.text("v").into_bytes());
        match target.path() {
            "/set-with" => {
                let options = SetOptions {
                    ttl_ms: target.value("ttl").map(|ttl| ttl.parse().unwrap()),
                    if_not_exists: target.text("absent") == "true",
                };
                self.0.set(key, value, Some(options)).await.map_err(said)?;
                Ok(Some(Vec::new()))
            }
            "/begin" => {
                let page = self.0.list_keys(Some(key), None).await.map_err(said)?;
                Ok(Some(page.keys.join("\n").into()))
            }
            "/current" => match cas::current(&self.0, key).await.map_err(said)? {
                Some(Entry { value, version }) => {
                    Ok(Some([version.as_bytes(), b"\n", &value].concat()))
                }
                None => Ok(None),
            },
            "/swap" => {
                let options = CasOptions {
                    require_version: target.value("version"),
                    require_value: target.value("value").map(String::into_bytes),
                };
                match cas::swap(&self.0, key, value, options).await.map_err(said)? {
                    CasResult::Swapped => Ok(Some(b"swapped".to_vec())),
                    CasResult::Stale(None) => Ok(Some(b"stale, now: nothing".to_vec())),
                    CasResult::Stale(Some(entry)) => {
                        Ok(Some([b"stale, now: ", entry.value.as_slice()].concat()))
                    }
                }
            }
            "/cas-add" => self.add(&key, target.number("d", 1)).await.map(|sum| Some(sum.into())),
            "/at-once" => {
                let counts = (0..target.number("n", 1)).map(|_| self.increment(&key, "1"));
                let sums = join_all(counts).await.into_iter().collect::<Result<Vec<_>, _>>()?;
                Ok(Some(sums.join(" ").into()))
            }
            _ => Ok(None),
        }
    }
}

impl Bucket {
    /// Adds with swaps alone, as often as others come first.
    async fn add(&self, key: &str, delta: i64) -> Result<String, String> {
        let first = || SetOptions { ttl_ms: None, if_not_exists: true };
        match self.0.set(key.to_owned(), b"0".to_vec(), Some(first())).await {
            Ok(()) | Err(Error::PreconditionFailed) => {}
            Err(error) => return Err(said(error)),
        }
        let mut entry = cas::current(&self.0, key.to_owned()).await.map_err(said)?;
        loop {
            let Some(Entry { value, version }) = entry else { return Err("it is gone".to_owned()) };
            let text = String::from_utf8_lossy(&value);
            let number: i64 = text.parse().map_err(|_| format!("no number: {text:?}"))?;
            let sum = (number + delta).to_string();
            let options = CasOptions { require_version: Some(version), require_value: None };
            let swap = cas::swap(&self.0, key.to_owned(), sum.clone().into_bytes(), options);
            match swap.await.map_err(said)? {
                CasResult::Swapped => return Ok(sum),
                CasResult::Stale(now) => entry = now,
            }
        }
    }
}

wasip3::http::service::export!(KeyValue);
