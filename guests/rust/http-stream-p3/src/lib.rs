//! Long answers, on WASI 0.3; the paths are those of `http-stream-p2`.
use kit_p3::Target;
use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{StreamReader, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Stream;

impl Guest for Stream {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = kit_p3::target(&request);
        let headers = Fields::new();
        match target.path() {
            "/events" => headers.append("content-type", b"text/event-stream").unwrap(),
            // HTTP/1.1 has to say before the body which trailers follow it.
            "/trailers" => headers.append("trailer", b"x-sum").unwrap(),
            _ => {}
        }
        let (_, received) = wit_future::new(|| Ok(()));
        let (body, _) = Request::consume_body(request, received);
        let (writer, contents) = wit_stream::new();
        let (end, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(contents), trailers);
        spawn_local(async move {
            let sum = write(writer, &target, body).await;
            if let Some(sum) = sum {
                let fields = Fields::new();
                fields.append("x-sum", sum.to_string().as_bytes()).unwrap();
                let _ = end.write(Ok(Some(fields))).await;
            }
        });
        Ok(response)
    }
}

/// Writes the body; answers what the trailers say, if there are any. A client that has gone ends
/// the writing.
async fn write(
    mut writer: StreamWriter<u8>,
    target: &Target,
    mut body: StreamReader<u8>,
) -> Option<u64> {
    let pause = target.number("ms", 10_u64) * 1_000_000;
    match target.path() {
        "/bytes" => bytes(&mut writer, target.number("n", 0)).await,
        "/events" => {
            for number in 0_u64.. {
                let event = format!("data: {number}\n\n").into_bytes();
                if !writer.write_all(event).await.is_empty() {
                    break;
                }
                monotonic_clock::wait_for(pause).await;
            }
        }
        "/drip" => {
            for _ in 0..target.number("n", 1_u64) {
                monotonic_clock::wait_for(pause).await;
                writer.write_one(b'.').await;
            }
        }
        "/trailers" => {
            writer.write_all(b"body".to_vec()).await;
            return Some(4);
        }
        "/count" => {
            let mut length = 0;
            loop {
                let (state, bytes) = body.read(Vec::with_capacity(64 * 1024)).await;
                length += bytes.len();
                if let wasip3::wit_bindgen::StreamResult::Dropped = state {
                    break;
                }
            }
            writer.write_all(length.to_string().into_bytes()).await;
        }
        _ => drop(writer.write_all(b"no such path".to_vec()).await),
    }
    None
}

async fn bytes(writer: &mut StreamWriter<u8>, total: u64) {
    let mut at = 0;
    while at < total {
        let end = total.min(at + 64 * 1024);
        let piece: Vec<u8> = (at..end).map(|offset| (offset % 251) as u8).collect();
        if !writer.write_all(piece).await.is_empty() {
            return;
        }
        at = end;
    }
}

wasip3::http::service::export!(Stream);
