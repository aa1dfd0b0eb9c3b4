//! Does harm where the path says so, on WASI 0.2; `/good` answers `fine`.
//!
//! | path | does |
//! |---|---|
//! | `/count` | no harm: answers how often this instance was asked that |
//! | `/loop` | loops and never calls the host |
//! | `/yield-loop` | loops over calls that give the host control |
//! | `/hostcalls` | calls the host as fast as it can, for ever |
//! | `/never-answer` | sleeps for a day |
//! | `/memory` | takes and uses memory until it gets no more |
//! | `/recurse` | calls itself for ever |
//! | `/handles?n=` | holds `n` handles, a million if not said, then answers |
//! | `/random?n=` | wants `n` random bytes in one call |
//! | `/logs?n=`, `/prints?n=` | floods the log, or standard error; then answers |
//! | `/headers?n=&size=` | answers with `n` headers of `size` bytes |
//! | `/trap`, `/exit` | ends in the middle |
//! | `/no-answer` | returns without one |
//! | `/slow-body` | begins an answer, then writes a byte every second, for ever |
//! | `/endless-body` | writes as much as is taken, for ever |
//! | `/short-body` | promises 100 bytes and sends 4 |
//! | `/trap-in-body` | sends 4 bytes and ends in the middle |
use kit_p2::Target;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::random::random;

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/logging",
        inline: "
            package guests:hostile;
            world hostile {
                import wasi:logging/logging;
            }
        ",
        generate_all,
    });
}
use bindings::wasi::logging::logging::{self, Level};

struct Hostile;

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Guest for Hostile {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let answer = match target.path() {
            "/good" => "fine".to_owned(),
            "/count" => (COUNT.fetch_add(1, Relaxed) + 1).to_string(),
            "/loop" => spin(),
            "/yield-loop" => loop {
                monotonic_clock::subscribe_duration(0).block();
            },
            "/hostcalls" => loop {
                std::hint::black_box(monotonic_clock::now());
            },
            "/never-answer" => sleep_a_day(),
            "/memory" => eat().to_string(),
            "/recurse" => dive(0).to_string(),
            "/handles" => hold(target.number("n", 1_000_000)).to_string(),
            "/random" => random::get_random_bytes(target.number("n", 1 << 30)).len().to_string(),
            "/logs" => chatter(&target, |text| logging::log(Level::Error, "flood", text)),
            "/prints" => chatter(&target, |text| eprintln!("{text}")),
            "/trap" => explode(&target),
            "/exit" => std::process::exit(3),
            "/no-answer" => return drop(out),
            "/headers" => return headers(&target, out),
            "/slow-body" | "/endless-body" | "/short-body" | "/trap-in-body" => {
                return body(target.path(), out);
            }
            _ => return kit_p2::answer(out, 404, b"no such harm"),
        };
        kit_p2::answer(out, 200, answer.as_bytes());
    }
}

fn spin() -> String {
    loop {
        std::hint::black_box(0);
    }
}

fn sleep_a_day() -> String {
    monotonic_clock::subscribe_duration(86_400 * 1_000_000_000).block();
    "good morning".to_owned()
}

/// Each piece is written to, so that it is not only promised.
fn eat() -> usize {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    while pieces.len() < 1 << 20 {
        pieces.push(vec![1; 1 << 20]);
        std::hint::black_box(&pieces);
    }
    pieces.len()
}

fn dive(depth: u64) -> u64 {
    // Called where the compiler cannot see to, lest it makes a loop of this.
    let deeper: fn(u64) -> u64 = std::hint::black_box(dive);
    deeper(depth + 1) + 1
}

fn hold(number: usize) -> usize {
    let handles: Vec<Fields> = (0..number).map(|_| Fields::new()).collect();
    handles.len()
}

fn chatter(target: &Target, say: impl Fn(&str)) -> String {
    let text = "x".repeat(target.number("size", 200));
    (0..target.number("n", 1_000_000_u32)).for_each(|_| say(&text));
    "said it all".to_owned()
}

#[inline(never)]
fn explode(target: &Target) -> String {
    panic!("as asked by {}", target.path());
}

fn headers(target: &Target, out: ResponseOutparam) {
    let headers = Fields::new();
    let value = vec![b'x'; target.number("size", 8000)];
    for number in 0..target.number("n", 1000) {
        headers.append(&format!("x-{number}"), &value).unwrap();
    }
    let response = OutgoingResponse::new(headers);
    OutgoingBody::finish(response.body().unwrap(), None).unwrap();
    ResponseOutparam::set(out, Ok(response));
}

fn body(path: &str, out: ResponseOutparam) {
    let headers = Fields::new();
    if path == "/short-body" {
        headers.append("content-length", b"100").unwrap();
    }
    let response = OutgoingResponse::new(headers);
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    let piece = vec![b'x'; 64 * 1024];
    loop {
        let written = match path {
            "/slow-body" => {
                monotonic_clock::subscribe_duration(1_000_000_000).block();
                kit_p2::write_all(&stream, b".")
            }
            "/endless-body" => kit_p2::write_all(&stream, &piece),
            // Nobody has taken the bytes when the guest is gone.
            "/trap-in-body" => stream.check_write().and_then(|_| stream.write(b"four")),
            _ => kit_p2::write_all(&stream, b"four"),
        };
        if path == "/trap-in-body" {
            std::process::abort();
        }
        if written.is_err() || path == "/short-body" {
            break;
        }
    }
    drop(stream);
    // The error that this may be answered with is for the host to report.
    let _ = OutgoingBody::finish(body, None);
}

wasip2::http::proxy::export!(Hostile);
