//! The life of contexts.

use crate::support::{Guest, Host, Shown, head, out, response, status, text};
use filter::{Chain, Way, lock};
use std::sync::Arc;

/// A guest that tells of every callback of a context.
fn telling(done: u32) -> Guest {
    let mut guest = Guest::new();
    for (name, answer) in [
        ("proxy_on_context_create", None),
        ("proxy_on_vm_start", Some(1)),
        ("proxy_on_configure", Some(1)),
        ("proxy_on_done", Some(done)),
        ("proxy_on_log", None),
        ("proxy_on_delete", None),
    ] {
        let arguments = match name {
            "proxy_on_done" | "proxy_on_log" | "proxy_on_delete" => 1,
            _ => 2,
        };
        guest.on(name, arguments, answer, |call| {
            call.say(name.trim_start_matches("proxy_on_")).show_argument(0);
            if name == "proxy_on_context_create" {
                call.show_argument(1);
            }
        });
    }
    guest
}

fn told(name: &str, numbers: &[u32]) -> Vec<Shown> {
    std::iter::once(text(name)).chain(numbers.iter().map(|number| status(*number))).collect()
}

/// "When `parent_context_id` is `0` then a new plugin context is created, otherwise a new
/// per-stream context is created." And `proxy_on_log` and `proxy_on_delete` are "called after
/// `true` was returned from `proxy_on_done`": Envoy logs first.
#[test]
fn a_context_is_created_done_logged_and_deleted() {
    let host = Host::new(&telling(1));
    let start = [told("context_create", &[1, 0]), told("vm_start", &[1]), told("configure", &[1])];
    assert_eq!(host.shown(), start.concat());
    let mut chain = host.http();
    assert_eq!(host.shown(), told("context_create", &[2, 1]));
    chain.put_head(Way::Request, head(), true);
    drop(chain);
    let end = [told("done", &[2]), told("log", &[2]), told("delete", &[2])];
    assert_eq!(host.shown(), end.concat());
    assert_eq!(lock(&host.running().vm).contexts(), 1);
}

/// Numbers are never used again.
#[test]
fn numbers_of_contexts_are_used_once() {
    let mut guest = Guest::new();
    guest.on_request(|call| {
        call.show_argument(0);
    });
    let host = Host::new(&guest);
    let shown: Vec<_> = (0..3).flat_map(|_| host.request()).collect();
    assert_eq!(shown, [2, 3, 4].map(status));
}

/// "`false` to indicate that the context is still being used, and that plugin is going to call
/// `proxy_done` later to allow the host to finalize and delete that context." "`NOT_FOUND` when
/// active context was not pending finalization."
#[test]
fn a_context_that_is_not_done_lives_on() {
    let mut guest = telling(0);
    guest.on("proxy_on_tick", 1, None, |call| {
        call.call("proxy_done", &[]);
        call.call("proxy_set_effective_context", &[2]);
        call.call("proxy_done", &[]);
        call.call("proxy_done", &[]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    drop(chain);
    host.shown();
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    let asked = [1, 0, 0, 1].map(status).to_vec();
    assert_eq!(host.shown(), [asked, told("log", &[2]), told("delete", &[2])].concat());
    assert_eq!(lock(&running.vm).contexts(), 1);
}

/// The same for a plugin's own context when the plugin ends.
#[test]
fn a_plugin_says_when_it_is_done() {
    let mut guest = telling(0);
    guest.on("proxy_on_tick", 1, None, |call| {
        call.call("proxy_done", &[]);
    });
    let host = Host::new(&guest);
    host.shown();
    let running = host.running();
    let mut vm = lock(&running.vm);
    assert!(!vm.end_plugin(running.root, false).unwrap());
    assert!(!vm.end_plugin(running.root, false).unwrap());
    vm.tick(running.root).unwrap();
    assert!(vm.end_plugin(running.root, false).unwrap());
    // A plugin is not asked to log, as in Envoy: SDKs know logs of streams alone.
    let end = [told("done", &[1]), vec![status(0)], told("delete", &[1])];
    assert_eq!(host.shown(), end.concat());
}

/// A plugin that never says so is ended at last.
#[test]
fn a_plugin_is_not_waited_for_without_end() {
    let host = Host::new(&telling(0));
    let running = host.running();
    let mut vm = lock(&running.vm);
    assert!(!vm.end_plugin(running.root, false).unwrap());
    assert!(vm.end_plugin(running.root, true).unwrap());
    assert_eq!(vm.contexts(), 0);
}

/// "Changes the effective context to `context_id`. `BAD_ARGUMENT` for unknown `context_id`." It
/// lasts to the end of the callback.
#[test]
fn the_effective_context_is_another_streams() {
    let mut guest = Guest::new();
    let key = guest.text("x-late");
    guest.on("proxy_on_request_headers", 3, Some(1), |_| {});
    guest.on("proxy_on_tick", 1, None, |call| {
        call.call("proxy_set_effective_context", &[99]);
        call.call("proxy_set_effective_context", &[2]);
        call.call("proxy_add_header_map_value", &[0, key.0, key.1, key.0, key.1]);
        call.call("proxy_continue_stream", &[0]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(out(&mut chain, Way::Request), []);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    assert_eq!(host.shown(), [2, 0, 0, 0].map(status));
    chain.poll(Way::Request, &std::task::Context::from_waker(std::task::Waker::noop()));
    assert_eq!(out(&mut chain, Way::Request), [filter::Out::Head(true)]);
    assert_eq!(chain.head(Way::Request).unwrap().get(b"x-late").unwrap(), "x-late");
}

/// A context that is over, or of another virtual machine, is none.
#[test]
fn nobody_speaks_for_a_context_that_is_not_there() {
    let mut guest = Guest::new();
    guest.on_request(|call| {
        for context in [0, 3, 4, u32::MAX] {
            call.call("proxy_set_effective_context", &[context]);
        }
    });
    let host = Host::new(&guest);
    drop(host.request());
    // The third context is this stream's own.
    assert_eq!(host.request(), [2, 0, 2, 2].map(status));
}

/// Of two filters in one virtual machine each has its own contexts and its own configuration.
#[test]
fn two_plugins_share_a_virtual_machine() {
    let mut guest = Guest::new();
    guest.on("proxy_on_configure", 2, Some(1), |call| {
        call.show_argument(0).show_argument(1);
    });
    guest.raw(
        "(global $count (mut i32) (i32.const 0))
         (func $next (result i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (global.get $count))",
    );
    guest.on_request(|call| {
        call.show_number("(call $next)");
    });
    let host = Host::new(&guest);
    let mut second = (**host.seat.plugin()).clone();
    (second.name, second.configuration) = ("second".into(), "four".into());
    let mut alone = second.clone();
    (alone.name, alone.isolation) = ("alone".into(), filter::Isolation::Plugin);
    let second = filter::Seat::start(&host.worker, Arc::new(second)).unwrap();
    let alone = filter::Seat::start(&host.worker, Arc::new(alone)).unwrap();
    assert_eq!(host.shown(), [1, 0, 2, 4, 1, 4].map(status));
    let filters = [Arc::clone(&host.seat), second, alone];
    let mut chain = Chain::http(&filters, Box::new(()));
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), [1, 2, 1].map(status), "the third counts for itself");
    assert_eq!(lock(&host.running().vm).contexts(), 4);
}

/// Each stream has a virtual machine of its own, if that is asked for.
#[test]
fn a_stream_may_have_a_virtual_machine_of_its_own() {
    let mut guest = Guest::new();
    guest.raw("(global $count (mut i32) (i32.const 0))");
    guest.on("proxy_on_response_headers", 3, Some(0), |_| {});
    guest.on_request(|call| {
        call.wat("(global.set $count (i32.add (global.get $count) (i32.const 1)))");
        call.show_number("(global.get $count)");
    });
    let host = Host::with(&guest, |plugin| plugin.isolation = filter::Isolation::Stream);
    for _ in 0..3 {
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), true);
        chain.put_head(Way::Response, response(&[]), true);
        assert_eq!(host.shown(), [status(1)]);
    }
}
