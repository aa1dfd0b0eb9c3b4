//! Key-value by `wasi:keyvalue@0.2.0-draft`, asked over HTTP; see `kit_keyvalue`.
use kit_p2::{Outcome, keyvalue};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/keyvalue-draft",
        world: "wasi:keyvalue/imports",
    });
}
use bindings::wasi::keyvalue::store::{self, Error};
use bindings::wasi::keyvalue::{atomics, batch};

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
        let delta = delta.parse().map_err(|_| format!("no u64: {delta:?}"))?;
        atomics::increment(&self.0, key, delta).map(|sum| sum.to_string()).map_err(said)
    }
    async fn page(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), String> {
        let cursor = match cursor {
            Some(text) => Some(text.parse().map_err(|_| format!("no u64: {text:?}"))?),
            None => None,
        };
        let page = self.0.list_keys(cursor).map_err(said)?;
        Ok((page.keys, page.cursor.map(|cursor| cursor.to_string())))
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
}

wasip2::http::proxy::export!(KeyValue);
