//! Long answers, on WASI 0.2.
//!
//! | path | answers |
//! |---|---|
//! | `/bytes?n=` | `n` bytes, each its offset modulo 251, as fast as they are taken |
//! | `/events?ms=` | server-sent events that never end, one every `ms` |
//! | `/drip?n=&ms=` | `n` times the byte `.`, one every `ms` |
//! | `/trailers` | `body`, then the trailer `x-sum: 4` |
//! | `/count` | the length of the request's body, which is read as it comes |
use std::fmt::Write as _;

use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

struct Stream;

impl Guest for Stream {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let pause = target.number("ms", 10);
        let headers = Fields::new();
        match target.path() {
            "/events" => headers.append("content-type", b"text/event-stream").unwrap(),
            // HTTP/1.1 has to say before the body which trailers follow it.
            "/trailers" => headers.append("trailer", b"x-sum").unwrap(),
            _ => {}
        }
        let response = OutgoingResponse::new(headers);
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().unwrap();
        let mut trailers = None;
        let written = match target.path() {
            "/bytes" => bytes(&stream, target.number("n", 0)),
            "/events" => events(&stream, pause),
            "/drip" => (0..target.number("n", 1_u64)).try_for_each(|_| {
                wait(pause);
                kit_p2::write_all(&stream, b".")
            }),
            "/trailers" => {
                let fields = Fields::new();
                fields.append("x-sum", b"4").unwrap();
                trailers = Some(fields);
                kit_p2::write_all(&stream, b"body")
            }
            "/count" => {
                let length = count(&request);
                kit_p2::write_all(&stream, length.to_string().as_bytes())
            }
            _ => kit_p2::write_all(&stream, b"no such path"),
        };
        drop(stream);
        // Without an end the client can tell that the answer is not whole.
        if written.is_ok() {
            OutgoingBody::finish(body, trailers).unwrap();
        }
    }
}

fn wait(ms: u64) {
    monotonic_clock::subscribe_duration(ms * 1_000_000).block();
}

fn bytes(stream: &OutputStream, total: u64) -> Result<(), StreamError> {
    // Any piece of the pattern is a piece of this: it repeats every 251 bytes.
    let pattern: Vec<u8> = (0..=250).cycle().take(64 * 1024 + 251).collect();
    let mut at = 0;
    while at < total {
        let room = stream.check_write()?;
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let length = room.min(64 * 1024).min(total - at);
        let from = (at % 251) as usize;
        stream.write(&pattern[from..from + length as usize])?;
        at += length;
    }
    stream.blocking_flush()
}

fn events(stream: &OutputStream, pause: u64) -> Result<(), StreamError> {
    let mut event = String::new();
    for number in 0_u64.. {
        event.clear();
        let _ = write!(event, "data: {number}\n\n");
        kit_p2::write_all(stream, event.as_bytes())?;
        wait(pause);
    }
    Ok(())
}

fn count(request: &IncomingRequest) -> u64 {
    let body = request.consume().unwrap();
    let stream = body.stream().unwrap();
    let mut length = 0;
    while let Ok(bytes) = stream.blocking_read(64 * 1024) {
        length += bytes.len() as u64;
    }
    length
}

wasip2::http::proxy::export!(Stream);
