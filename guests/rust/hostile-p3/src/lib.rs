//! Does harm where the path says so, on WASI 0.3; `/good` answers `fine`.
//!
//! The paths of `hostile-p2`, but for the log, and of its own: `/tasks?n=` leaves tasks behind
//! that never end, `/streams?n=` holds `n` streams, `/late` goes on for ever after its answer,
//! `/meet?n=` waits for company: until `n` requests have come to the instance.
use kit_p3::{Target, answer};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::random::random;
use wasip3::wit_bindgen::{yield_async, yield_blocking};
use wasip3::{spawn_local, wit_stream};

struct Hostile;

/// Requests of this instance that were counted.
static COUNT: AtomicU32 = AtomicU32::new(0);

fn count() -> u32 {
    COUNT.fetch_add(1, Relaxed) + 1
}

impl Guest for Hostile {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = kit_p3::target(&request);
        Ok(match target.path() {
            "/good" => answer(200, "fine"),
            "/count" => answer(200, count().to_string()),
            "/meet" => {
                count();
                while COUNT.load(Relaxed) < target.number("n", 2) {
                    monotonic_clock::wait_for(5_000_000).await;
                }
                answer(200, "met")
            }
            "/loop" => loop {
                std::hint::black_box(0);
            },
            "/yield-loop" => loop {
                yield_async().await;
            },
            "/yield-blocking-loop" => loop {
                yield_blocking();
            },
            "/hostcalls" => loop {
                std::hint::black_box(monotonic_clock::now());
            },
            "/never-answer" => {
                monotonic_clock::wait_for(86_400 * 1_000_000_000).await;
                answer(200, "good morning")
            }
            "/memory" => answer(200, eat().to_string()),
            "/recurse" => answer(200, dive(0).to_string()),
            "/handles" => answer(200, hold(&target, Fields::new).to_string()),
            "/streams" => answer(200, hold(&target, wit_stream::new::<u8>).to_string()),
            "/random" => {
                let bytes = random::get_random_bytes(target.number("n", 1 << 30));
                answer(200, bytes.len().to_string())
            }
            "/prints" => {
                let text = "x".repeat(target.number("size", 200));
                (0..target.number("n", 1_000_000_u32)).for_each(|_| eprintln!("{text}"));
                answer(200, "said it all")
            }
            "/tasks" => {
                for _ in 0..target.number("n", 1_000_000_u32) {
                    spawn_local(monotonic_clock::wait_for(86_400 * 1_000_000_000));
                }
                answer(200, "left behind")
            }
            "/late" => {
                spawn_local(async {
                    loop {
                        yield_async().await;
                    }
                });
                answer(200, "still busy")
            }
            "/trap" => explode(&target),
            "/exit" => {
                wasip3::cli::exit::exit(Err(()));
                answer(200, "still here")
            }
            "/headers" => headers(&target),
            "/slow-body" | "/endless-body" | "/short-body" | "/trap-in-body" => body(target.path()),
            _ => answer(404, "no such harm"),
        })
    }
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

fn hold<T>(target: &Target, make: impl Fn() -> T) -> usize {
    let held: Vec<T> = (0..target.number("n", 1_000_000)).map(|_| make()).collect();
    held.len()
}

#[inline(never)]
fn explode(target: &Target) -> Response {
    panic!("as asked by {}", target.path());
}

fn headers(target: &Target) -> Response {
    let headers = Fields::new();
    let value = vec![b'x'; target.number("size", 8000)];
    for number in 0..target.number("n", 1000) {
        headers.append(&format!("x-{number}"), &value).unwrap();
    }
    kit_p3::streaming(200, headers).0
}

fn body(path: &str) -> Response {
    let headers = Fields::new();
    if path == "/short-body" {
        headers.append("content-length", b"100").unwrap();
    }
    let (response, mut writer) = kit_p3::streaming(200, headers);
    let path = path.to_owned();
    spawn_local(async move {
        loop {
            let rest = match path.as_str() {
                "/slow-body" => {
                    monotonic_clock::wait_for(1_000_000_000).await;
                    writer.write_all(b".".to_vec()).await
                }
                "/endless-body" => writer.write_all(vec![b'x'; 64 * 1024]).await,
                _ => writer.write_all(b"four".to_vec()).await,
            };
            if path == "/trap-in-body" {
                std::process::abort();
            }
            if !rest.is_empty() || path == "/short-body" {
                break;
            }
        }
    });
    response
}

wasip3::http::service::export!(Hostile);
