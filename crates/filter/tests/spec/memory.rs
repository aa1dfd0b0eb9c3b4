//! Memory: the guest's allocator, and pointers that lead nowhere.

use crate::support::{Guest, Host, OUT, status, text};

const BEYOND: u32 = 2 * 65536;

/// "`malloc` has been deprecated in favor of `proxy_on_memory_allocate`, and it's called only in
/// its absence."
#[test]
fn the_newer_allocator_is_called_first() {
    let mut guest = Guest::new();
    let key = guest.text("x-a");
    guest.raw(
        "(func (export \"proxy_on_memory_allocate\") (param i32) (result i32) (i32.const 70000))",
    );
    guest.on_request(|call| {
        call.call("proxy_get_header_map_value", &[0, key.0, key.1, OUT, OUT + 4]).show_word(OUT);
    });
    assert_eq!(Host::new(&guest).request(), [0, 70000].map(status));
}

/// "Returning `0` indicates failure."
#[test]
fn an_allocator_may_fail() {
    let mut guest = Guest::new();
    let key = guest.text("x-a");
    guest.allocator("(func (export \"malloc\") (param i32) (result i32) (i32.const 0))");
    guest.on_request(|call| {
        call.call("proxy_get_header_map_value", &[0, key.0, key.1, OUT, OUT + 4]);
    });
    assert_eq!(Host::new(&guest).request(), [status(6)]);
}

/// What an allocator gives may be no memory at all.
#[test]
fn an_allocator_may_lie() {
    for block in [-1_i32, 131_070, 131_072] {
        let mut guest = Guest::new();
        let key = guest.text(":path");
        let function =
            format!("(func (export \"malloc\") (param i32) (result i32) (i32.const {block}))");
        guest.allocator(&function);
        guest.on_request(|call| {
            call.call("proxy_get_header_map_value", &[0, key.0, key.1, OUT, OUT + 4]);
        });
        assert_eq!(Host::new(&guest).request(), [status(6)], "{block}");
    }
}

/// Nothing is no block.
#[test]
fn an_empty_value_needs_no_room() {
    let mut guest = Guest::new();
    let (key, empty) = (guest.text("x-e"), guest.text(""));
    guest.allocator("(func (export \"malloc\") (param i32) (result i32) unreachable)");
    guest.on_request(|call| {
        call.call("proxy_add_header_map_value", &[0, key.0, key.1, empty.0, 0]);
        call.wat(&format!("(i32.store (i32.const {OUT}) (i32.const 5))"));
        call.call("proxy_get_header_map_value", &[0, key.0, key.1, OUT, OUT + 4]);
        call.show_word(OUT).show_word(OUT + 4);
    });
    assert_eq!(Host::new(&guest).request(), [0, 0, 0, 0].map(status));
}

/// While it makes room an allocator may log and look at the clock, and nothing else.
#[test]
fn an_allocator_makes_no_other_calls() {
    for (call, is_allowed) in [
        ("(drop (call $proxy_log (i32.const 2) (i32.const 1024) (i32.const 3)))", true),
        ("(drop (call $size (i32.const 0) (i32.const 64)))", false),
    ] {
        let mut guest = Guest::new();
        let key = guest.text("x-a");
        guest.raw_import(
            "(import \"env\" \"proxy_get_header_map_size\"
                (func $size (param i32 i32) (result i32)))",
        );
        let function =
            format!("(func (export \"malloc\") (param i32) (result i32) {call} (i32.const 70000))");
        guest.allocator(&function);
        guest.on_request(|call| {
            call.call("proxy_get_header_map_value", &[0, key.0, key.1, OUT, OUT + 4]);
        });
        let host = Host::new(&guest);
        let shown = host.request();
        match is_allowed {
            true => assert_eq!(shown, [text("x-a"), status(0)]),
            false => {
                let failure = host.failure().unwrap();
                assert!(failure.contains("while its allocator runs"), "{failure}");
            }
        }
    }
}

/// An allocator that never ends ends with its callback.
#[test]
fn an_allocator_ends_with_its_callback() {
    let mut guest = Guest::new();
    let key = guest.text("x-a");
    guest.allocator(
        "(func (export \"malloc\") (param i32) (result i32) (loop $l (br $l)) unreachable)",
    );
    guest.on_request(|call| {
        call.call("proxy_get_header_map_value", &[0, key.0, key.1, OUT, OUT + 4]);
    });
    let host = Host::with(&guest, |plugin| {
        plugin.limits.callback = std::time::Duration::from_millis(20);
    });
    host.request();
    assert!(host.failure().unwrap().contains("computed for longer"));
}

/// A host call, good arguments, which of them are pointers and which are sizes.
type Tried = (&'static str, &'static [u32], &'static [usize], &'static [usize]);

const OK: u32 = 1024;
const SIZE: u32 = 4;
const MAP: u32 = 0;

/// Every call that takes a pointer.
const CALLS: &[Tried] = &[
    ("proxy_log", &[2, OK, SIZE], &[1], &[2]),
    ("proxy_get_log_level", &[OK], &[0], &[]),
    ("proxy_get_current_time_nanoseconds", &[OK], &[0], &[]),
    ("proxy_get_header_map_size", &[MAP, OK], &[1], &[]),
    ("proxy_get_header_map_pairs", &[MAP, OK, OK], &[1, 2], &[]),
    ("proxy_set_header_map_pairs", &[MAP, OK, SIZE], &[1], &[2]),
    ("proxy_get_header_map_value", &[MAP, OK, SIZE, OK, OK], &[1, 3, 4], &[2]),
    ("proxy_add_header_map_value", &[MAP, OK, SIZE, OK, SIZE], &[1, 3], &[2, 4]),
    ("proxy_replace_header_map_value", &[MAP, OK, SIZE, OK, SIZE], &[1, 3], &[2, 4]),
    ("proxy_remove_header_map_value", &[MAP, OK, SIZE], &[1], &[2]),
    ("proxy_get_status", &[OK, OK, OK], &[0, 1, 2], &[]),
    ("proxy_set_shared_data", &[OK, SIZE, OK, SIZE, 0], &[0, 2], &[1, 3]),
    ("proxy_get_shared_data", &[OK, SIZE, OK, OK, OK], &[0, 2, 3, 4], &[1]),
    ("proxy_register_shared_queue", &[OK, SIZE, OK], &[0, 2], &[1]),
    ("proxy_resolve_shared_queue", &[OK, SIZE, OK, SIZE, OK], &[0, 2, 4], &[1, 3]),
    ("proxy_enqueue_shared_queue", &[1, OK, SIZE], &[1], &[2]),
    ("proxy_dequeue_shared_queue", &[1, OK, OK], &[1, 2], &[]),
    ("proxy_define_metric", &[0, OK, SIZE, OK], &[1, 3], &[2]),
    ("proxy_get_metric", &[0, OK], &[1], &[]),
    ("proxy_get_property", &[OK, SIZE, OK, OK], &[0, 2, 3], &[1]),
    ("proxy_set_property", &[OK, SIZE, OK, SIZE], &[0, 2], &[1, 3]),
    ("proxy_grpc_send", &[6, OK, SIZE, 0], &[1], &[2]),
    ("proxy_call_foreign_function", &[OK, SIZE, OK, SIZE, OK, OK], &[0, 2, 4, 5], &[1, 3]),
    ("proxy_send_local_response", &[200, OK, SIZE, OK, SIZE, OK, 0, 0], &[1, 3, 5], &[2, 4, 6]),
    (
        "proxy_http_call",
        &[OK, SIZE, OK, 0, OK, SIZE, OK, 0, 1, OK],
        &[0, 2, 4, 6, 9],
        &[1, 3, 5, 7],
    ),
    (
        "proxy_grpc_call",
        &[OK, SIZE, OK, SIZE, OK, SIZE, OK, 0, OK, SIZE, 1, OK],
        &[0, 2, 4, 6, 8, 11],
        &[1, 3, 5, 7, 9],
    ),
    (
        "proxy_grpc_stream",
        &[OK, SIZE, OK, SIZE, OK, SIZE, OK, 0, OK],
        &[0, 2, 4, 6, 8],
        &[1, 3, 5, 7],
    ),
];

/// "`INVALID_MEMORY_ACCESS` when … point to invalid memory address": every pointer of every call.
#[test]
fn pointers_that_lead_nowhere_are_refused() {
    let mut guest = Guest::new();
    // The text at 1024, which is a name of everything here: a property, a function, a key.
    let name = guest.text("node");
    assert_eq!(name.0, OK);
    let mut tried = Vec::new();
    guest.on_request(|call| {
        let queue = call.text("node");
        call.quietly("proxy_register_shared_queue", &[queue.0, queue.1, OUT]);
        call.quietly("proxy_define_metric", &[0, queue.0, queue.1, OUT]);
        for (name, arguments, pointers, sizes) in CALLS {
            let bad = pointers.iter().flat_map(|at| {
                // Behind the end, so that it ends behind it, and so far that it wraps around.
                [BEYOND, BEYOND - 1, u32::MAX].map(|pointer| (*at, pointer))
            });
            let bad = bad.chain(
                sizes
                    .iter()
                    .flat_map(|at| [BEYOND, u32::MAX, u32::MAX - OK + 1].map(|size| (*at, size))),
            );
            for (at, value) in bad {
                let mut with = arguments.to_vec();
                with[at] = value;
                // A pointer to nothing is fine.
                if with.get(at + 1) == Some(&0)
                    && pointers.contains(&at)
                    && sizes.contains(&(at + 1))
                {
                    with[at + 1] = 8;
                }
                call.call(name, &with);
                tried.push(format!("{name} {with:?}"));
            }
        }
    });
    let host = Host::new(&guest);
    let shown = host.request();
    assert_eq!(host.failure(), None);
    // The log itself is what shows, so it is at the level of what is shown.
    assert_eq!(shown.len(), tried.len());
    for (tried, shown) in tried.iter().zip(shown) {
        assert_eq!(shown, status(6), "{tried}");
    }
}

/// The same of buffers, which are there in the callbacks of bodies.
#[test]
fn pointers_to_buffers_that_lead_nowhere_are_refused() {
    let mut guest = Guest::new();
    let value = guest.text("1234");
    assert_eq!(value.0, OK);
    let calls: [(&str, &[u32], &[usize]); 3] = [
        ("proxy_get_buffer_bytes", &[0, 0, 4, OK, OK], &[3, 4]),
        ("proxy_get_buffer_status", &[0, OK, OK], &[1, 2]),
        ("proxy_set_buffer_bytes", &[0, 0, 0, OK, SIZE], &[3]),
    ];
    let mut tried = 0;
    guest.on("proxy_on_request_body", 3, Some(0), |call| {
        for (name, arguments, pointers) in calls {
            for (at, pointer) in pointers
                .iter()
                .flat_map(|at| [BEYOND, BEYOND - 1, u32::MAX].map(|pointer| (*at, pointer)))
            {
                let mut with = arguments.to_vec();
                with[at] = pointer;
                call.call(name, &with);
                tried += 1;
            }
        }
        for size in [BEYOND, u32::MAX, u32::MAX - OK + 1] {
            call.call("proxy_set_buffer_bytes", &[0, 0, 0, OK, size]);
            tried += 1;
        }
        call.call("proxy_set_buffer_bytes", &[0, 0, u32::MAX, OK, SIZE]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(filter::Way::Request, crate::support::head(), false);
    chain.put_data(filter::Way::Request, "body".into(), true);
    let shown = host.shown();
    assert_eq!(shown.len(), tried + 1);
    assert!(shown[..tried].iter().all(|it| *it == status(6)), "{shown:?}");
    assert_eq!(shown[tried], status(0));
    let outs = crate::support::out(&mut chain, filter::Way::Request);
    assert_eq!(crate::support::body(&outs).0, "1234");
}
