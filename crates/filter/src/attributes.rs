//! The attributes that a stream itself tells, by the names that Envoy gives them.

use crate::Value;
use crate::headers::Headers;
use crate::plugin::Plugin;
use crate::stream::{Pipe, Stream};
use bytes::Bytes;
use http_types::HeaderValue;
use std::sync::Arc;
use std::time::SystemTime;

/// What is known of the plugin.
pub(crate) fn of_plugin(plugin: &Plugin, path: &[&str]) -> Option<Value> {
    let text = |text: &Arc<str>| Some(Value::text(&**text));
    match path {
        ["plugin_name"] => text(&plugin.name),
        ["plugin_root_id"] => text(&plugin.root_id),
        ["plugin_vm_id"] => text(&plugin.vm_id),
        _ => None,
    }
}

/// What is known of a stream: from its messages, else from its surroundings.
pub(crate) fn of_stream(stream: &Stream, path: &[&str]) -> Option<Value> {
    let found = match path {
        ["request", rest @ ..] => of_request(stream, rest),
        ["response", rest @ ..] => of_response(stream, rest),
        _ => None,
    };
    found.or_else(|| stream.attribute(path))
}

fn of_request(stream: &Stream, path: &[&str]) -> Option<Value> {
    let headers = stream.request.headers.as_ref()?;
    match path {
        ["path"] => text(headers.pseudo(":path")),
        ["url_path"] => headers.pseudo(":path").map(without_query),
        ["query"] => headers.pseudo(":path").map(query),
        ["host"] => text(headers.pseudo(":authority")),
        ["scheme"] => text(headers.pseudo(":scheme")),
        ["method"] => text(headers.pseudo(":method")),
        ["headers"] => Some(map(headers)),
        ["headers", name] => field(headers, name),
        ["referer"] => field(headers, "referer"),
        ["useragent"] => field(headers, "user-agent"),
        ["id"] => field(headers, "x-request-id"),
        ["time"] => Some(Value::Time(SystemTime::now().checked_sub(stream.begun.elapsed())?)),
        ["duration"] => Some(Value::Duration(stream.ended? - stream.begun)),
        ["size"] => Some(Value::Int(signed(stream.request.size))),
        ["headers_bytes"] => Some(Value::Int(signed(size(headers)))),
        ["total_size"] => Some(Value::Int(signed(total(&stream.request)))),
        _ => None,
    }
}

fn of_response(stream: &Stream, path: &[&str]) -> Option<Value> {
    let headers = stream.response.headers.as_ref()?;
    match path {
        ["code"] => Some(Value::Int(i64::from(headers.status()?.as_u16()))),
        ["code_details"] if !stream.details.is_empty() => {
            Some(Value::Bytes(stream.details.clone()))
        }
        ["headers"] => Some(map(headers)),
        ["headers", name] => field(headers, name),
        ["trailers"] => stream.response.trailers.as_ref().map(map),
        ["trailers", name] => field(stream.response.trailers.as_ref()?, name),
        ["grpc_status"] => {
            let trailers = stream.response.trailers.as_ref();
            let status = trailers.and_then(|trailers| trailers.get(b"grpc-status"));
            let status = status.or_else(|| headers.get(b"grpc-status"))?;
            Some(Value::Int(status.to_str().ok()?.parse().ok()?))
        }
        ["size"] => Some(Value::Int(signed(stream.response.size))),
        ["headers_bytes"] => Some(Value::Int(signed(size(headers)))),
        ["total_size"] => Some(Value::Int(signed(total(&stream.response)))),
        _ => None,
    }
}

fn text(value: Option<&HeaderValue>) -> Option<Value> {
    value.map(|value| bytes(value.as_bytes()))
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(Bytes::copy_from_slice(bytes))
}

fn field(headers: &Headers, name: &str) -> Option<Value> {
    text(headers.get(name.as_bytes()))
}

fn map(headers: &Headers) -> Value {
    let copy = Bytes::copy_from_slice;
    Value::Map(headers.iter().map(|(name, value)| (copy(name), copy(value))).collect())
}

fn without_query(path: &HeaderValue) -> Value {
    bytes(path.as_bytes().split(|byte| *byte == b'?').next().unwrap_or_default())
}

fn query(path: &HeaderValue) -> Value {
    bytes(path.as_bytes().splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default())
}

fn size(headers: &Headers) -> u64 {
    headers.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
}

/// Everything of a message.
fn total(pipe: &Pipe) -> u64 {
    let headers = pipe.headers.iter().chain(&pipe.trailers);
    pipe.size + headers.map(size).sum::<u64>()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
