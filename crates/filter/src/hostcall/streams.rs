//! Going on with a stream, ending it, answering it.

use super::{Call, Outcome};
use crate::abi::{Status, StreamType, grpc_status};
use crate::headers::{Headers, is_final};
use crate::pairs;
use crate::state::Event;
use crate::stream::{Reply, Stream, Wait, Way};
use http_types::StatusCode;
use http_types::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};

/// `proxy_continue_stream`: `BadArgument` for an unknown half. Nothing happens to what does not
/// wait.
pub(crate) fn resume(call: &mut Call<'_>, stream: u32) -> Outcome {
    let way = match StreamType::of(stream).ok_or(Status::BadArgument)? {
        StreamType::Request | StreamType::Downstream => Way::Request,
        StreamType::Response | StreamType::Upstream => Way::Response,
    };
    go_on(call, way)
}

/// `proxy_continue_request` of ABI 0.1.0.
pub(crate) fn resume_request(call: &mut Call<'_>) -> Outcome {
    go_on(call, Way::Request)
}

/// `proxy_continue_response` of ABI 0.1.0.
pub(crate) fn resume_response(call: &mut Call<'_>) -> Outcome {
    go_on(call, Way::Response)
}

fn go_on(call: &mut Call<'_>, way: Way) -> Outcome {
    let state = call.state();
    if let Some((stream, index)) = state.stream()
        && let Some(stage) = stream.stage(way, index)
        && (stage.wait != Wait::None || stage.in_call)
    {
        stage.resume = true;
        state.wake();
    }
    Ok(())
}

/// `proxy_close_stream`: `BadArgument` for an unknown half. A half of a stream of HTTP takes the
/// other with it.
pub(crate) fn close(call: &mut Call<'_>, stream: u32) -> Outcome {
    let kind = StreamType::of(stream).ok_or(Status::BadArgument)?;
    let state = call.state();
    if let Some((stream, _)) = state.stream() {
        stream.close.get_or_insert(kind);
        state.wake();
    }
    Ok(())
}

/// `proxy_clear_route_cache` of ABI 0.1.0: the route is looked up anew for each request here.
pub(crate) fn clear_route_cache(_call: &mut Call<'_>) -> Outcome {
    Ok(())
}

/// `proxy_get_status`: of the call of HTTP or gRPC that the callback tells of.
pub(crate) fn get_status(call: &mut Call<'_>, code: u32, data: u32, size: u32) -> Outcome {
    let (status, message) = match &call.state().event {
        Event::GrpcClose(status, message) => (*status, message.clone()),
        Event::Http(response) => (
            response.headers.status().map_or(0, |status| u32::from(status.as_u16())),
            String::new(),
        ),
        _ => (0, String::new()),
    };
    call.check(code, 4)?;
    call.give(message.as_bytes(), data, size)?;
    Ok(call.put_u32(code, status)?)
}

/// `proxy_send_local_response`: `BadArgument` for a status that ends nothing, and for what are no
/// headers.
#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(crate) fn reply(
    call: &mut Call<'_>,
    status: u32,
    details: u32,
    details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    grpc_status: u32,
) -> Outcome {
    let details = call.copy(details, details_size)?;
    let body = call.copy(body, body_size)?;
    let (headers, state) = call.bytes(headers, headers_size)?;
    let status = u16::try_from(status).ok().filter(|status| is_final(*status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or(Status::BadArgument)?;
    let pairs = pairs::read(headers).ok_or(Status::BadArgument)?;
    let mut fields = Headers::response(status, HeaderMap::new());
    for (name, value) in pairs {
        // The status was said, and the length follows from the body.
        let is_known = name == b":status" || name.eq_ignore_ascii_case(b"content-length");
        if !is_known {
            fields.add(name, value)?;
        }
    }
    let Some((stream, index)) = state.stream() else {
        return Err(Status::BadArgument.into());
    };
    let mut reply = Reply { headers: fields, body, details };
    let grpc = (grpc_status != u32::MAX).then_some(grpc_status);
    if is_grpc(stream) {
        reply.turn_to_grpc(status, grpc);
    } else if let Some(grpc) = grpc {
        reply.headers.fields_mut().insert("grpc-status", HeaderValue::from(grpc));
    }
    if !reply.body.is_empty() {
        let length = HeaderValue::from(reply.body.len());
        let fields = reply.headers.fields_mut();
        fields.insert(CONTENT_LENGTH, length);
        let text = HeaderValue::from_static("text/plain");
        fields.entry(CONTENT_TYPE).or_insert(text);
    }
    if stream.is_http && stream.reply.is_none() {
        stream.reply = Some((index, reply));
        state.wake();
    }
    Ok(())
}

fn is_grpc(stream: &Stream) -> bool {
    let kind = stream.request.headers.as_ref().and_then(|headers| headers.get(b"content-type"));
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

impl Reply {
    /// What a client of gRPC understands: a head that is all there is, with its status in it.
    fn turn_to_grpc(&mut self, status: StatusCode, grpc: Option<u32>) {
        let grpc = grpc.unwrap_or_else(|| grpc_status(status));
        let body = std::mem::take(&mut self.body);
        let mut fields = std::mem::take(self.headers.fields_mut());
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.insert("grpc-status", HeaderValue::from(grpc));
        if !body.is_empty()
            && let Ok(message) = HeaderValue::from_str(&percent(&body))
        {
            fields.insert("grpc-message", message);
        }
        self.headers = Headers::response(StatusCode::OK, fields);
    }
}

/// Text as gRPC writes it into a header.
fn percent(text: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' '..=b'~' if *byte != b'%' => escaped.push(char::from(*byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
