//! Where the guests of tests lie, and the list of them all.
//!
//! Guests are built by `cargo xtask guests`, never by a test. Every folder of `guests/` that
//! becomes a guest stands in [`foreach_guest`](crate::foreach_guest), and so does the guest of
//! every example without a program of its own; tidy compares the two. The filters of
//! `guests/filters/` stand in [`foreach_filter`](crate::foreach_filter), for other tests run them.
//!
//! A guest that no test runs does not compile. The test program that runs guests says, once:
//! ```text
//! macro_rules! has_a_test {
//!     ($guest:ident) => {
//!         #[expect(unused_imports, reason = "it compiles only if there is such a test")]
//!         use self::$guest as _;
//!     };
//! }
//! testkit::foreach_guest!(has_a_test);
//! ```
//! and then has, for each guest, a module of tests or a test that bears its name with underscores:
//! `mod hello_p2 { #[test] fn answers_twelve_bytes() { … } }`. That it is not empty, tidy sees.
use std::env;
use std::path::{Path, PathBuf};

/// Calls a macro with the name of every guest, as an identifier with underscores.
#[macro_export]
macro_rules! foreach_guest {
    ($each:ident) => {
        $each!(cache_p2);
        $each!(command_c);
        $each!(command_p1);
        $each!(command_p2);
        $each!(command_p3);
        $each!(config_reader);
        $each!(exports);
        $each!(exports_nothing);
        $each!(guestbook);
        $each!(hello);
        $each!(hello_c);
        $each!(hello_js);
        $each!(hello_p2);
        $each!(hello_p3);
        $each!(hello_python);
        $each!(hostile_p2);
        $each!(hostile_p3);
        $each!(http_echo_p2);
        $each!(http_echo_p3);
        $each!(http_proxy_p2);
        $each!(http_proxy_p3);
        $each!(http_stream_p2);
        $each!(http_stream_p3);
        $each!(imports_everything);
        $each!(imports_everything_p3);
        $each!(imports_unknown);
        $each!(keeper);
        $each!(kv_bench);
        $each!(kv_draft);
        $each!(kv_draft2);
        $each!(kv_old);
        $each!(kv_operations);
        $each!(kv_wasmcloud);
        $each!(kv_watch_draft);
        $each!(kv_watch_draft2);
        $each!(kv_watch_old);
        $each!(kv_watch_wasmcloud);
        $each!(logging);
        $each!(messages_draft);
        $each!(messages_old);
        $each!(messages_spin2);
        $each!(messages_spin3);
        $each!(messages_wasmcloud);
        $each!(messages_wasmcloud3);
        $each!(messages_wharf);
        $each!(messages_wharf_p2);
        $each!(orders);
        $each!(recipes);
        $each!(sockets);
        $each!(sockets_p3);
        $each!(timer_p2);
        $each!(timer_p3);
    };
}

/// Calls a macro with the name of every filter, as an identifier with underscores.
#[macro_export]
macro_rules! foreach_filter {
    ($each:ident) => {
        $each!(filter_add);
        $each!(filter_add_bare);
        $each!(filter_as);
        $each!(filter_auth);
        $each!(filter_body);
        $each!(filter_bomb);
        $each!(filter_c);
        $each!(filter_c_old);
        $each!(filter_calls);
        $each!(filter_crash);
        $each!(filter_go);
        $each!(filter_grpc);
        $each!(filter_headers);
        $each!(filter_limit);
        $each!(filter_loop);
        $each!(filter_metrics);
        $each!(filter_probe);
        $each!(filter_queue_consumer);
        $each!(filter_queue_producer);
        $each!(filter_tcp);
        $each!(filter_tick);
        $each!(filter_wasi);
    };
}

/// The file of a guest, by the name of its folder, e.g. `hello-p2`.
///
/// # Panics
///
/// If it was not built. The message is the command that builds it.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    let file = folder().join(name).with_extension("wasm");
    assert!(file.is_file(), "no guest at {}; run: cargo xtask guests", file.display());
    file
}

/// `guests` in cargo's target directory: where `cargo xtask guests` puts what it built.
fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root.join(target).join("guests")
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "run: cargo xtask guests")]
    fn a_guest_that_was_not_built_fails_with_the_command_that_builds_it() {
        drop(super::guest("never-built"));
    }
}
