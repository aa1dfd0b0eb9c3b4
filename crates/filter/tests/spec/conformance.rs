//! What has to be tried of a host for filters, point by point, and the tests that try it.
//!
//! A test is named by its file and its function: without a folder it is in this one, `src/` is this
//! crate's, `program/` is where the program is tried with real sockets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A point's number, one part of it, and who tries that.
type Point = (u8, &'static str, &'static [&'static str]);

/// The points: 1–6 the ABI, 7–9 host calls, 10–18 streams, 19–24 what comes later, 25–28 failures.
const POINTS: &[Point] = &[
    (
        1,
        "three markers, and unknown ones and none refused",
        &[
            "integration::every_version_has_its_marker",
            "integration::everything_that_is_wrong_is_said_at_once",
        ],
    ),
    (
        2,
        "0.1.0: headers with two arguments, results or none",
        &[
            "http::before_0_2_0_there_are_other_names",
            "integration::a_function_may_be_imported_without_its_result",
        ],
    ),
    (
        2,
        "0.1.0: its own calls, empty for missing",
        &[
            "integration::before_0_2_0_configurations_are_asked_for",
            "fields::before_0_2_0_what_is_missing_is_empty",
            "program/filter/languages::version_0_1_0_runs",
        ],
    ),
    (
        3,
        "start functions",
        &[
            "integration::a_module_starts_in_its_own_way",
            "integration::a_module_may_start_by_itself",
            "integration::a_start_that_fails_is_an_error",
        ],
    ),
    (
        4,
        "allocators: which, that fail, that lie, that call",
        &[
            "memory::the_newer_allocator_is_called_first",
            "memory::an_allocator_may_fail",
            "memory::an_allocator_may_lie",
            "memory::an_allocator_makes_no_other_calls",
            "memory::an_allocator_ends_with_its_callback",
            "memory::an_empty_value_needs_no_room",
        ],
    ),
    (
        5,
        "what may be called while a module starts",
        &[
            "integration::starting_is_not_the_time_for_everything",
            "integration::starting_is_the_time_for_some_things",
        ],
    ),
    (
        6,
        "WASI under both names",
        &[
            "wasi::every_function_is_there_under_both_names",
            "program/filter/languages::wasi_is_there_under_both_names",
        ],
    ),
    (
        6,
        "toolchains: Rust, C, Go, AssemblyScript, Emscripten",
        &[
            "program/filter/editing::each_answer_has_its_header",
            "program/filter/languages::c_runs",
            "program/filter/languages::go_runs",
            "program/filter/languages::assemblyscript_runs",
            "integration::what_toolchains_import_is_there",
        ],
    ),
    (
        7,
        "headers and pairs",
        &[
            "fields::a_value_is_given_by_its_key",
            "fields::pseudo_headers_are_read_and_written",
            "fields::several_values_are_one_list",
            "fields::a_map_is_given_and_taken_as_a_whole",
            "fields::a_map_that_is_not_there_is_empty",
            "fields::headers_are_there_from_their_callback_to_the_log",
        ],
    ),
    (
        7,
        "buffers",
        &[
            "buffers::a_part_of_a_buffer_is_given",
            "buffers::a_buffer_is_there_in_its_callback_alone",
        ],
    ),
    (
        7,
        "properties and foreign functions",
        &[
            "properties::what_is_known_of_a_stream_is_told",
            "properties::what_is_not_known_is_not_found",
            "properties::an_empty_path_is_an_error",
            "properties::a_property_is_set_for_the_stream",
            "properties::a_foreign_function_is_called_by_its_name",
            "properties::the_host_calls_a_foreign_function",
        ],
    ),
    (
        7,
        "shared data and queues",
        &[
            "shared::a_value_is_swapped_by_its_number",
            "shared::data_is_shared_under_a_name",
            "shared::items_go_through_a_queue_in_their_order",
        ],
    ),
    (
        7,
        "metrics",
        &[
            "metrics::counters_gauges_and_histograms_count",
            "metrics::metrics_that_are_none_are_not_found",
            "metrics::a_metric_defined_twice_is_one",
        ],
    ),
    (
        7,
        "the log and the time",
        &[
            "logging::a_line_is_logged_at_its_level",
            "logging::the_level_of_the_log_is_told",
            "logging::the_time_is_told",
        ],
    ),
    (
        7,
        "what WASI answers",
        &[
            "wasi::what_is_written_is_logged",
            "wasi::clocks_tell_the_time",
            "wasi::chance_is_given",
            "wasi::the_environment_is_the_configured_one",
            "wasi::there_are_no_arguments",
            "wasi::the_streams_are_described",
            "wasi::nothing_is_waited_for",
        ],
    ),
    (
        7,
        "what callouts answer",
        &[
            "calls::a_request_is_sent_and_its_answer_heard",
            "calls::a_request_that_is_none_is_not_sent",
            "calls::a_call_of_grpc_that_is_none_is_not_made",
        ],
    ),
    (
        8,
        "pointers out of memory",
        &[
            "memory::pointers_that_lead_nowhere_are_refused",
            "memory::pointers_to_buffers_that_lead_nowhere_are_refused",
            "wasi::what_is_written_is_logged",
            "calls::nothing_begins_whose_number_cannot_be_told",
        ],
    ),
    (
        9,
        "the form of pairs",
        &[
            "src/pairs::the_form_is_that_of_the_specification",
            "src/pairs::what_is_written_is_read",
            "src/pairs::what_does_not_add_up_is_no_map",
            "src/pairs::nothing_that_is_read_panics",
            "src/headers::there_is_room_for_so_much_and_no_more",
        ],
    ),
    (
        10,
        "callbacks in their order, and the end of the stream",
        &[
            "contexts::a_context_is_created_done_logged_and_deleted",
            "http::filters_stand_in_a_row",
            "http::a_message_may_be_a_head_alone",
        ],
    ),
    (
        11,
        "what callbacks answer",
        &[
            "http::a_pause_on_a_head_holds_everything",
            "http::a_head_may_wait_for_the_body",
            "http::two_is_continue",
            "http::a_pause_on_trailers_holds_the_end",
            "buffers::a_paused_body_grows_and_can_be_changed_as_a_whole",
            "buffers::a_watermark_is_back_pressure",
            "buffers::what_is_not_buffered_is_dropped",
            "random::what_goes_in_comes_out",
        ],
    ),
    (
        11,
        "going on: from a callout, a timer, the callback itself",
        &[
            "calls::a_request_is_sent_and_its_answer_heard",
            "http::a_pause_on_a_head_holds_everything",
            "http::going_on_within_the_callback_counts",
            "http::going_on_with_what_does_not_wait_is_nothing",
        ],
    ),
    (
        11,
        "what may wait",
        &[
            "buffers::a_body_that_is_held_too_long_is_refused",
            "program/filter/editing::a_body_that_is_too_long_to_be_held_is_refused",
        ],
    ),
    (
        12,
        "bodies edited, and their length",
        &[
            "buffers::bytes_are_put_anywhere",
            "buffers::each_part_is_edited",
            "buffers::a_body_grows_within_its_limit",
            "program/filter/editing::a_body_is_replaced_lengthened_and_shortened_whole_or_in_pieces",
        ],
    ),
    (
        13,
        "trailers",
        &[
            "fields::trailers_are_made_at_the_end_of_a_body",
            "fields::trailers_are_changed",
            "program/filter/editing::trailers_are_edited",
        ],
    ),
    (
        14,
        "answers in every phase",
        &[
            "replies::a_filter_answers_in_each_phase_up_to_the_answers_head",
            "replies::a_timer_answers_what_waits",
            "replies::nobody_is_answered_where_nobody_asked",
            "http::a_filter_answers_instead_of_the_server",
            "http::a_filter_answers_instead_of_the_servers_answer",
            "http::an_answer_that_comes_too_late_cuts_off",
        ],
    ),
    (
        14,
        "the status of gRPC",
        &["replies::an_answer_has_a_status_of_grpc", "http::answers_are_looked_at"],
    ),
    (
        15,
        "closing a stream",
        &[
            "http::a_filter_closes_a_stream",
            "replies::a_filter_closes_a_stream_in_any_phase",
            "replies::a_stream_that_is_ended_is_done_logged_and_deleted",
            "tcp::a_filter_closes_a_connection",
        ],
    ),
    (
        16,
        "chains, in one machine and in several",
        &[
            "http::filters_stand_in_a_row",
            "contexts::two_plugins_share_a_virtual_machine",
            "contexts::a_stream_may_have_a_virtual_machine_of_its_own",
            "failure::the_neighbour_goes_on",
        ],
    ),
    (
        17,
        "bare TCP",
        &[
            "tcp::a_connection_is_told_of",
            "tcp::a_new_connection_may_have_to_wait",
            "tcp::data_may_have_to_wait",
            "tcp::a_filter_that_fails_ends_the_connection",
            "program/tcp/filters::bytes_are_changed_either_way",
        ],
    ),
    (
        18,
        "a client that leaves while a callout is under way",
        &[
            "callouts::an_answer_may_come_after_its_stream",
            "callouts::a_stream_that_is_not_done_hears_the_answer",
            "callouts::messages_may_come_after_their_stream",
            "http::a_client_may_go_away_while_a_filter_waits",
            "program/filter/calls::a_client_that_goes_away_meanwhile_hurts_nobody",
        ],
    ),
    (
        19,
        "a callout that is answered",
        &[
            "calls::a_request_is_sent_and_its_answer_heard",
            "callouts::an_answer_decides_about_a_stream",
            "program/filter/calls::a_request_passes_if_the_cluster_lets_it",
        ],
    ),
    (
        19,
        "one that fails, one that takes too long",
        &[
            "calls::a_request_that_failed_has_no_headers",
            "callouts::an_answer_that_does_not_come_is_one",
            "callouts::an_answer_that_is_too_much_for_a_filter_fails_its_streams",
            "program/filter/calls::who_cannot_be_asked_lets_nobody_pass",
        ],
    ),
    (
        19,
        "one in another's answer, many at once, from a timer",
        &[
            "callouts::an_answer_may_lead_to_the_next_question",
            "callouts::answers_come_in_any_order",
            "callouts::a_timer_may_ask",
            "callouts::a_plugin_asks_in_any_callback",
            "calls::callouts_are_counted",
            "program/filter/calls::many_ask_at_once",
        ],
    ),
    (
        20,
        "gRPC: calls",
        &[
            "calls::a_call_of_grpc_has_one_answer",
            "calls::a_call_of_grpc_fails_with_a_status",
            "program/filter/calls::a_service_is_asked",
            "program/filter/calls::a_service_that_is_away_or_unknown_is_a_failure",
        ],
    ),
    (
        20,
        "gRPC: streams, cancelled and closed",
        &[
            "calls::a_stream_of_grpc_hears_everything",
            "calls::a_stream_of_grpc_is_sent_to_closed_and_cancelled",
            "calls::what_a_plugin_began_is_cancelled_when_it_ends",
        ],
    ),
    (
        21,
        "timers set, changed and ended",
        &[
            "logging::a_timer_is_set_changed_and_ended",
            "program/filter/state::time_passes_for_a_filter_without_requests",
        ],
    ),
    (
        22,
        "queues between machines and under other names",
        &[
            "shared::another_virtual_machine_hears_of_an_item",
            "program/filter/state::another_virtual_machine_has_the_message",
            "program/filter/state::another_thread_has_the_message",
        ],
    ),
    (
        23,
        "swaps of many threads",
        &["shared::swaps_from_many_threads_add_up", "program/filter/state::threads_count_together"],
    ),
    (
        24,
        "being done later",
        &[
            "contexts::a_context_that_is_not_done_lives_on",
            "contexts::a_plugin_says_when_it_is_done",
            "contexts::a_plugin_is_not_waited_for_without_end",
        ],
    ),
    (
        25,
        "panics, memory, loops, the stack, exits, each closed, open and reloaded",
        &[
            "failure::closed_stays_closed",
            "failure::open_lets_everything_through",
            "failure::reload_is_there_at_once",
            "failure::streams_that_wait_in_it_fail_with_it",
            "failure::a_response_that_has_begun_is_cut_off",
            "program/filter/failing::what_grows_is_bounded",
            "program/filter/failing::a_loop_ends_at_its_limit_and_nobody_else_waits_long",
        ],
    ),
    (25, "the budget of crashes", &["failure::a_filter_that_fails_on_and_on_is_left_alone"]),
    (
        25,
        "a bug of the host's",
        &[
            "hostile::a_panic_in_a_host_call_is_the_filters_failure",
            "hostile::a_panic_outside_of_a_stream_is_a_failure_too",
        ],
    ),
    (
        26,
        "refused configurations, at the start and at a reload",
        &[
            "integration::a_refused_configuration_is_an_error",
            "program/filter/files::a_configuration_that_the_filter_refuses_is_a_mistake",
            "program/filter/files::a_reload_swaps_filters_without_a_failed_request",
        ],
    ),
    (27, "capabilities", &["integration::a_filter_uses_what_it_may"]),
    (
        28,
        "lengths of 4 GiB, huge headers",
        &[
            "memory::pointers_that_lead_nowhere_are_refused",
            "hostile::maps_that_lie_about_their_size_are_refused",
            "hostile::headers_grow_to_their_limit",
        ],
    ),
    (
        28,
        "headers within headers",
        &[
            "fields::what_is_no_field_is_refused",
            "replies::an_answer_cannot_be_two",
            "calls::a_request_that_is_none_is_not_sent",
            "src/headers::what_would_be_another_message_is_refused",
        ],
    ),
    (
        28,
        "numbers that are another's",
        &[
            "callouts::another_virtual_machine_cannot_touch_what_was_begun",
            "calls::an_answer_nobody_asked_for_is_not_told",
            "hostile::another_virtual_machine_cannot_guess_a_queue_or_a_metric",
            "hostile::another_virtual_machine_cannot_speak_for_a_stream",
            "hostile::a_plugin_may_speak_for_another_in_its_machine",
            "contexts::nobody_speaks_for_a_context_that_is_not_there",
        ],
    ),
    (28, "any calls with any numbers", &["random::host_calls_with_any_numbers_harm_nobody"]),
];

/// The last point.
const LAST: u8 = 28;

/// The file that a test is in.
fn file(test: &str) -> PathBuf {
    let crate_ = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (folder, test) = match test.split_once('/') {
        Some(("src", test)) => (crate_.join("src"), test),
        Some(("program", test)) => (crate_.join("../cli/tests/integration"), test),
        _ => (crate_.join("tests/spec"), test),
    };
    folder.join(test).with_extension("rs")
}

/// Whether a file has a test of this name: a function that is one, not one that is only so called.
fn has_test(source: &str, name: &str) -> bool {
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        let call = format!("fn {name}(");
        if line.starts_with(&call) || line.starts_with(&format!("async {call}")) {
            return is_test;
        }
        // Attributes may stand between, and nothing else.
        is_test = line == "#[test]" || is_test && line.starts_with("#[");
    }
    false
}

#[test]
fn every_point_is_tried_by_tests_that_are_there() {
    for (number, part, tests) in POINTS {
        assert!(!tests.is_empty(), "{number}: {part}");
        for test in *tests {
            let (of, name) = test.rsplit_once("::").unwrap();
            let file = file(of);
            let source = std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{number}, {part}: {}: {error}", file.display()));
            assert!(has_test(&source, name), "{number}, {part}: {test} is no test");
        }
    }
    let numbers: BTreeSet<u8> = POINTS.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=LAST).collect(), "every point has its place");
    assert!(POINTS.is_sorted_by_key(|(number, ..)| *number), "in their order");
}

#[test]
fn what_is_no_test_does_not_count() {
    let source = "#[test]\nfn one() {}\nfn two() {}\n#[test]\n#[ignore]\nfn three() {}\n#[test]\n\
                  const X: u8 = 1;\nfn four() {}";
    let found = ["one", "two", "three", "four", "five"].map(|name| has_test(source, name));
    assert_eq!(found, [true, false, true, false, false]);
}
