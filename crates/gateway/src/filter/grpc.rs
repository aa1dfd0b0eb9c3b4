//! Calls and streams of gRPC of filters' own: messages in frames of HTTP/2, the status in trailers.

use super::callout::head;
use crate::upstream::{Pulled, Upstream};
use ::filter::{Grpc, GrpcCall, Headers, Status, grpc_status};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use futures::channel::mpsc::{Receiver, Sender, channel};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use http_types::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use http_types::{Method, Request, StatusCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime_wasi_http::Error;

/// So many messages of a stream wait to be sent.
const WAITING: usize = 64;

/// Statuses of gRPC that are ours to say.
const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNAVAILABLE: u32 = 14;

/// Where the messages of a stream go. Dropped, it ends them.
pub(super) struct Messages(Mutex<Sender<Bytes>>);

impl Messages {
    /// Sends a message; says whether there was room for it.
    pub(super) fn send(&self, message: Bytes) -> bool {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sender.try_send(framed(&message)).is_ok()
    }
}

/// A call that is ready to be made.
pub(super) struct Call {
    request: Request<Pulled>,
    timeout: Option<Duration>,
}

/// Makes a request of what a filter asked; of a stream also where its messages go.
///
/// # Errors
/// `BadArgument` for names that make no path.
pub(super) fn prepare(call: GrpcCall) -> Result<(Option<Messages>, Call), Status> {
    let GrpcCall { upstream, service, method, metadata, message, timeout } = call;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_none| Status::BadArgument);
    let path = value(&format!("/{service}/{method}"))?;
    let scheme = HeaderValue::from_static("http");
    let headers =
        Headers::request(&Method::POST, scheme, value(&upstream)?, path, HeaderMap::new());
    let mut request = head(&headers)?;
    let fields = request.headers_mut();
    *fields = metadata.into_fields();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(timeout) = timeout {
        fields.insert("grpc-timeout", value(&format!("{}m", timeout.as_millis().min(99_999_999)))?);
    }
    let (messages, body) = match message {
        Some(message) => {
            let frames = [Ok(Frame::data(framed(&message)))];
            (None, StreamBody::new(futures::stream::iter(frames)).boxed_unsync())
        }
        None => {
            let (messages, body) = channel(WAITING);
            (Some(Messages(Mutex::new(messages))), stream(body))
        }
    };
    Ok((messages, Call { request: request.map(|()| body), timeout }))
}

fn stream(messages: Receiver<Bytes>) -> Pulled {
    StreamBody::new(messages.map(|message| Ok(Frame::data(message)))).boxed_unsync()
}

/// A message behind its length, not compressed.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    // Messages come out of a guest's memory, which is shorter.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// Makes a call and tells what comes of it, message by message and then the end.
pub(super) async fn run(
    upstream: &Arc<Upstream>,
    call: Call,
    most: usize,
    heard: impl Fn(Grpc) + Send + Sync,
) {
    let (status, message) = match converse(upstream, call, most, &heard).await {
        Ok(end) => end,
        Err(error) => {
            let name = upstream.name();
            tracing::debug!(upstream = name, %error, "a filter's call of gRPC failed");
            let status = match error {
                Error::HttpResponseTimeout
                | Error::ConnectionTimeout
                | Error::ConnectionReadTimeout => DEADLINE_EXCEEDED,
                Error::HttpResponseBodySize(_) => RESOURCE_EXHAUSTED,
                _ => UNAVAILABLE,
            };
            (status, error.to_string())
        }
    };
    heard(Grpc::Close(status, message));
}

async fn converse(
    upstream: &Arc<Upstream>,
    call: Call,
    most: usize,
    heard: &(impl Fn(Grpc) + Sync),
) -> Result<(u32, String), Error> {
    let response = upstream.ask(call.request, call.timeout).await?;
    let (parts, mut body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Ok((grpc_status(parts.status), format!("the server answered {}", parts.status)));
    }
    // Without messages the status may stand in the head already.
    let early = status(&parts.headers);
    heard(Grpc::Initial(Headers::trailers(parts.headers)));
    let mut bytes = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame.map_err(Error::from)?.into_data() {
            Ok(data) => {
                bytes.extend_from_slice(&data);
                while let Some(message) = unframed(&mut bytes, most)? {
                    heard(Grpc::Message(message));
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let late = trailers.as_ref().and_then(status);
    heard(Grpc::Trailing(Headers::trailers(trailers.unwrap_or_default())));
    let none = || (UNKNOWN, "the server said no status".to_owned());
    Ok(late.or(early).unwrap_or_else(none))
}

/// The next message, if it is there as a whole.
fn unframed(bytes: &mut BytesMut, most: usize) -> Result<Option<Bytes>, Error> {
    let Some((compressed, rest)) = bytes.split_first() else { return Ok(None) };
    let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if *compressed != 0 || length > most {
        return Err(Error::HttpResponseBodySize(None));
    }
    if bytes.len() < length + 5 {
        return Ok(None);
    }
    bytes.advance(5);
    Ok(Some(bytes.split_to(length).freeze()))
}

/// The status that trailers say.
fn status(fields: &HeaderMap) -> Option<(u32, String)> {
    let status = fields.get("grpc-status")?.to_str().ok().and_then(|text| text.parse().ok());
    let message =
        fields.get("grpc-message").and_then(|text| text.to_str().ok()).unwrap_or_default();
    Some((status.unwrap_or(UNKNOWN), unescaped(message)))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .first_chunk::<2>()
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = after.get(if escaped.is_some() { 2.. } else { 0.. }).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_whatever_the_pieces() {
        let sent = [framed(b"one"), framed(b""), framed(b"three")].concat();
        for cut in 0..sent.len() {
            let (mut bytes, mut heard) = (BytesMut::new(), Vec::new());
            for piece in [&sent[..cut], &sent[cut..]] {
                bytes.extend_from_slice(piece);
                while let Some(message) = unframed(&mut bytes, 5).unwrap() {
                    heard.push(message);
                }
            }
            assert_eq!(heard, ["one", "", "three"], "cut at {cut}");
        }
        let mut long = BytesMut::from(&framed(b"123456")[..]);
        assert!(unframed(&mut long, 5).is_err());
        let mut compressed = BytesMut::from(&b"\x01\0\0\0\0"[..]);
        assert!(unframed(&mut compressed, 5).is_err());
    }

    #[test]
    fn a_status_is_read_with_its_text() {
        let mut fields = HeaderMap::new();
        assert_eq!(status(&fields), None);
        fields.insert("grpc-status", HeaderValue::from_static("5"));
        fields.insert("grpc-message", HeaderValue::from_static("no %25 %C3%A9 %zz%"));
        assert_eq!(status(&fields), Some((5, "no % é %zz%".to_owned())));
    }
}
