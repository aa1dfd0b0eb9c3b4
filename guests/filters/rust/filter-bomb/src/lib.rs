//! Wants too much where its configuration or the header `x-bomb` says; [`kit_filter::harm`] has the
//! places.
//!
//! How is a word and a number: so often, or for ever if there is none. Then the stream goes on.
//!
//! | word | each time it |
//! |---|---|
//! | `memory`, or nothing | takes a MiB, writes to it and keeps it |
//! | `headers`, `response-headers` | adds a header of 1 KiB to the request, or to the response |
//! | `body`, `response-body` | puts a MiB at the end of that body |
//! | `shared` | stores 64 KiB of shared data under a key of its own |
//! | `queue` | puts 64 KiB into a queue |
//! | `queues` | registers a queue of its own |
//! | `metrics` | defines a counter of its own |
//! | `log` | logs a line of 1 KiB |
//! | `calls` | calls the cluster `bomb` |
//! | `answer` | answers the request with as many MiB, at once; 1 if no number says |
use kit_filter::harm::Root;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::new("x-bomb", grow)));
}}

const MIB: usize = 1 << 20;

fn grow(how: &str) {
    let (word, number) = how.split_once(' ').unwrap_or((how, ""));
    let times: Option<usize> = number.parse().ok();
    if word == "answer" {
        let body = vec![b'x'; times.unwrap_or(1) * MIB];
        let _ = hostcalls::send_http_response(200, vec![], Some(&body));
        return;
    }
    let queue = hostcalls::register_shared_queue("bomb").unwrap_or_default();
    for round in 0..times.unwrap_or(usize::MAX) {
        // The host refuses at some time. That does not keep a bomb from going on.
        let _ = once(word, round, queue);
    }
}

fn once(word: &str, round: usize, queue: u32) -> Result<(), Status> {
    let (name, line) = (format!("x-bomb-{round}"), "x".repeat(1024));
    match word {
        "headers" => hostcalls::add_map_value(MapType::HttpRequestHeaders, &name, &line),
        "response-headers" => hostcalls::add_map_value(MapType::HttpResponseHeaders, &name, &line),
        "body" => append(BufferType::HttpRequestBody),
        "response-body" => append(BufferType::HttpResponseBody),
        "shared" => hostcalls::set_shared_data(&name, Some(&[b'x'; 64 << 10]), None),
        "queue" => hostcalls::enqueue_shared_queue(queue, Some(&[b'x'; 64 << 10])),
        "queues" => hostcalls::register_shared_queue(&name).map(drop),
        "metrics" => hostcalls::define_metric(MetricType::Counter, &name).map(drop),
        "log" => hostcalls::log(LogLevel::Error, &line),
        "calls" => call(),
        _ => {
            std::hint::black_box(vec![1_u8; MIB]).leak();
            Ok(())
        }
    }
}

fn append(buffer: BufferType) -> Result<(), Status> {
    hostcalls::set_buffer(buffer, usize::MAX, 0, &vec![b'x'; MIB])
}

fn call() -> Result<(), Status> {
    let headers = vec![(":method", "GET"), (":path", "/"), (":authority", "bomb")];
    hostcalls::dispatch_http_call("bomb", headers, None, vec![], Duration::from_secs(5)).map(drop)
}
