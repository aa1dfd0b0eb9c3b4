//! The program as its users meet it: started, asked, reloaded, attacked and stopped.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;

mod admin;
mod backend_errors;
mod bad_clients;
mod bad_files;
mod bad_requests;
mod cache;
mod closed_files;
mod compile_cache;
mod config;
mod conformance;
mod echo;
mod filter;
mod filter_config;
mod guestbook;
mod hello;
mod hostile;
mod keyvalue;
mod labels;
mod limits;
mod logging;
mod look;
mod messaging;
mod neighbours;
mod offers;
mod orders;
mod outbound;
mod recipe_page;
mod reload;
mod reuse;
mod routes;
mod run;
mod shutdown;
mod stream;
mod tcp;
mod timers;
mod tls;
mod transcripts;
mod upstream;
mod watch;

/// Every guest has a test here, or this does not compile.
mod guests {
    use super::bad_files::{exports_nothing, imports_unknown};
    use super::cache::cache_p2;
    use super::config::config_reader;
    use super::echo::{http_echo_p2, http_echo_p3};
    use super::guestbook::guestbook;
    use super::hello::{hello, hello_c, hello_js, hello_p2, hello_p3, hello_python};
    use super::hello::{imports_everything, imports_everything_p3};
    use super::hostile::{hostile_p2, hostile_p3};
    use super::keyvalue::{kv_bench, kv_draft, kv_draft2, kv_old, kv_operations, kv_wasmcloud};
    use super::logging::logging;
    use super::messaging::consuming::{messages_wharf, messages_wharf_p2};
    use super::messaging::old::messages_old;
    use super::messaging::others::{messages_spin2, messages_spin3, messages_wasmcloud3};
    use super::messaging::{messages_draft, messages_wasmcloud};
    use super::orders::orders;
    use super::outbound::raw_sockets::{sockets, sockets_p3};
    use super::outbound::{http_proxy_p2, http_proxy_p3};
    use super::recipe_page::recipes;
    use super::run::c::command_c;
    use super::run::{command_p1, command_p2, command_p3, exports};
    use super::stream::{http_stream_p2, http_stream_p3};
    use super::timers::{timer_p2, timer_p3};
    use super::watch::{kv_watch_draft, kv_watch_draft2, kv_watch_old, kv_watch_wasmcloud};

    macro_rules! has_a_test {
        ($guest:ident) => {
            #[expect(unused_imports, reason = "it compiles only if there is such a test")]
            use self::$guest as _;
        };
    }
    testkit::foreach_guest!(has_a_test);

    use super::filter::calls::{filter_auth, filter_grpc};
    use super::filter::editing::filter_headers;
    use super::filter::editing::{filter_add, filter_add_bare, filter_body, filter_calls};
    use super::filter::example::keeper;
    use super::filter::failing::{filter_bomb, filter_crash, filter_loop};
    use super::filter::languages::{filter_as, filter_c, filter_c_old, filter_go};
    use super::filter::languages::{filter_probe, filter_tcp, filter_wasi};
    use super::filter::state::{filter_limit, filter_metrics, filter_tick};
    use super::filter::state::{filter_queue_consumer, filter_queue_producer};
    testkit::foreach_filter!(has_a_test);
}
