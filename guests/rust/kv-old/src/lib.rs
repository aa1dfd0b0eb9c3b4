//! Key-value by the older `wasi:keyvalue@0.2.0-draft`, asked over HTTP; see `kit_keyvalue`.
//!
//! Of its own: `/cas-number?k=&old=&new=` says whether it swapped, `/set-stream?k=&v=` and
//! `/get-stream?k=` carry the value in a stream, `/size?k=` asks for its length.
use kit_p2::{Outcome, Target, keyvalue};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/keyvalue-old",
        world: "wasi:keyvalue/imports",
        generate_all,
    });
}
use bindings::wasi::io::streams::StreamError;
use bindings::wasi::keyvalue::types::{self, IncomingValue, OutgoingValue};
use bindings::wasi::keyvalue::wasi_keyvalue_error::Error;
use bindings::wasi::keyvalue::{atomic, eventual, eventual_batch};

struct KeyValue;

impl Guest for KeyValue {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let body = || keyvalue::whole(request.consume().unwrap());
        let bucket = types::Bucket::open_bucket(&target.text("b")).map_err(said);
        let outcome = bucket.and_then(|it| keyvalue::command(&Bucket(it), &target, body));
        kit_p2::answer_outcome(out, outcome);
    }
}

fn said(error: Error) -> String {
    error.trace()
}

fn outgoing(value: &[u8]) -> Result<OutgoingValue, String> {
    let outgoing = OutgoingValue::new_outgoing_value();
    outgoing.outgoing_value_write_body_sync(value).map_err(said)?;
    Ok(outgoing)
}

fn whole(value: IncomingValue) -> Result<Vec<u8>, String> {
    IncomingValue::incoming_value_consume_sync(value).map_err(said)
}

struct Bucket(types::Bucket);

impl keyvalue::Bucket for Bucket {
    async fn get(&self, key: &str) -> Outcome {
        eventual::get(&self.0, key).map_err(said)?.map(whole).transpose()
    }
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        eventual::set(&self.0, key, &outgoing(value)?).map_err(said)
    }
    async fn delete(&self, key: &str) -> Result<(), String> {
        eventual::delete(&self.0, key).map_err(said)
    }
    async fn exists(&self, key: &str) -> Result<bool, String> {
        eventual::exists(&self.0, key).map_err(said)
    }
    async fn increment(&self, key: &str, delta: &str) -> Result<String, String> {
        let delta = delta.parse().map_err(|_| format!("no u64: {delta:?}"))?;
        atomic::increment(&self.0, key, delta).map(|sum| sum.to_string()).map_err(said)
    }
    async fn page(&self, _cursor: Option<String>) -> Result<(Vec<String>, Option<String>), String> {
        Ok((eventual_batch::keys(&self.0).map_err(said)?, None))
    }
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<(String, Vec<u8>)>>, String> {
        let values = eventual_batch::get_many(&self.0, keys).map_err(said)?;
        let pair = |(key, value): (&String, Option<IncomingValue>)| {
            value.map(|value| Ok((key.clone(), whole(value)?))).transpose()
        };
        keys.iter().zip(values).map(pair).collect()
    }
    async fn set_many(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String> {
        let value = |(key, value): &(String, Vec<u8>)| Ok((key.clone(), outgoing(value)?));
        let values = pairs.iter().map(value).collect::<Result<Vec<_>, String>>()?;
        let pairs: Vec<_> = values.iter().map(|(key, value)| (key.clone(), value)).collect();
        eventual_batch::set_many(&self.0, &pairs).map_err(said)
    }
    async fn delete_many(&self, keys: &[String]) -> Result<(), String> {
        eventual_batch::delete_many(&self.0, keys).map_err(said)
    }

    async fn other(&self, target: &Target) -> Outcome {
        let key = target.text("k");
        match target.path() {
            "/cas-number" => {
                let (old, new) = (target.number("old", 0), target.number("new", 0));
                let swapped = atomic::compare_and_swap(&self.0, &key, old, new).map_err(said)?;
                Ok(Some(swapped.to_string().into()))
            }
            "/set-stream" => self.set_stream(&key, target.text("v").as_bytes()),
            "/get-stream" => match eventual::get(&self.0, &key).map_err(said)? {
                Some(value) => streamed(value).map(Some),
                None => Ok(None),
            },
            "/size" => match eventual::get(&self.0, &key).map_err(said)? {
                Some(value) => {
                    let size = value.incoming_value_size().map_err(said)?;
                    Ok(Some(size.to_string().into()))
                }
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

impl Bucket {
    fn set_stream(&self, key: &str, value: &[u8]) -> Outcome {
        let outgoing = OutgoingValue::new_outgoing_value();
        let stream = outgoing.outgoing_value_write_body_async().map_err(said)?;
        for chunk in value.chunks(4096) {
            stream.blocking_write_and_flush(chunk).map_err(|error| format!("{error:?}"))?;
        }
        drop(stream);
        eventual::set(&self.0, key, &outgoing).map_err(said)?;
        Ok(Some(Vec::new()))
    }
}

fn streamed(value: IncomingValue) -> Result<Vec<u8>, String> {
    let stream = IncomingValue::incoming_value_consume_async(value).map_err(said)?;
    let mut whole = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(bytes) => whole.extend(bytes),
            Err(StreamError::Closed) => return Ok(whole),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}

wasip2::http::proxy::export!(KeyValue);
