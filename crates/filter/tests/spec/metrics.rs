//! Metrics.

use crate::support::{Guest, Host, OUT, status};

/// "Defines a new metric of type `metric_type` with a name. Its value can be modified and/or
/// retrieved."
#[test]
fn counters_gauges_and_histograms_count() {
    let mut guest = Guest::new();
    let names = ["a", "b", "c"].map(|name| guest.text(name));
    let minus = |number: i32| number.cast_unsigned();
    guest.on_request(|call| {
        for (kind, name) in (0..3).zip(names) {
            call.call("proxy_define_metric", &[kind, name.0, name.1, OUT]).show_word(OUT);
        }
        // The numbers of the three: where they stand, and their type.
        let (counter, gauge, histogram) = (0, 1 << 2 | 1, 2 << 2 | 2);
        for (metric, by) in
            [(counter, 2), (counter, 0), (counter, minus(-1)), (gauge, 5), (gauge, minus(-3))]
        {
            call.call("proxy_increment_metric", &[metric, by]);
        }
        call.call("proxy_increment_metric", &[histogram, 1]);
        // A counter takes a record as so much more, a gauge as its value.
        call.call("proxy_record_metric", &[counter, 10]);
        call.call("proxy_get_metric", &[counter, OUT]).show_word(OUT);
        call.call("proxy_get_metric", &[gauge, OUT]).show_word(OUT);
        call.call("proxy_record_metric", &[gauge, 100]);
        call.call("proxy_get_metric", &[gauge, OUT]).show_word(OUT);
        call.call("proxy_record_metric", &[histogram, 7]);
        call.call("proxy_get_metric", &[histogram, OUT]);
    });
    let host = Host::new(&guest);
    let defined = [0, 0, 0, 5, 0, 10];
    let changed = [0, 2, 2, 0, 0, 2];
    let read = [0, 0, 12, 0, 2, 0, 0, 100, 0, 2];
    assert_eq!(
        host.request(),
        [&defined[..], &changed, &read].concat().into_iter().map(status).collect::<Vec<_>>()
    );
    let table = host.world.table();
    assert_eq!(table.metrics["a"].value(), 12);
    assert_eq!(table.metrics["c"].cumulated()[1..3], [0, 1], "7 is above 5 and at most 10");
}

/// "`NOT_FOUND` when the requested `metric_id` was not found. `BAD_ARGUMENT` for unknown
/// `metric_type`."
#[test]
fn metrics_that_are_none_are_not_found() {
    let mut guest = Guest::new();
    let name = guest.text("a");
    guest.on_request(|call| {
        call.call("proxy_define_metric", &[3, name.0, name.1, OUT]);
        call.call("proxy_define_metric", &[0, name.0, name.1, OUT]);
        // Another, the same as another type, and one that has no type.
        for metric in [4, 1, 2, 3, u32::MAX] {
            call.call("proxy_get_metric", &[metric, OUT]);
            call.call("proxy_record_metric", &[metric, 1]);
            call.call("proxy_increment_metric", &[metric, 1]);
        }
    });
    let mut expected = [2, 0].map(status).to_vec();
    expected.extend(vec![status(1); 15]);
    assert_eq!(Host::new(&guest).request(), expected);
}

/// A metric that is defined again has another number and is the same.
#[test]
fn a_metric_defined_twice_is_one() {
    let mut guest = Guest::new();
    let name = guest.text("a");
    guest.on_request(|call| {
        call.call("proxy_define_metric", &[0, name.0, name.1, OUT]).show_word(OUT);
        call.call("proxy_define_metric", &[0, name.0, name.1, OUT]).show_word(OUT);
        call.call("proxy_increment_metric", &[0, 1]);
        call.call("proxy_get_metric", &[4, OUT]).show_word(OUT);
    });
    assert_eq!(Host::new(&guest).request(), [0, 0, 0, 4, 0, 0, 1].map(status));
}

/// Their number is bounded.
#[test]
fn there_are_not_more_metrics_than_there_may_be() {
    let mut guest = Guest::new();
    let name = guest.text("a");
    guest.on_request(|call| {
        call.wat("(local $i i32) (loop $l");
        call.quietly("proxy_define_metric", &[0, name.0, name.1, OUT]);
        call.wat("(local.set $i (i32.add (local.get $i) (i32.const 1)))");
        call.wat("(br_if $l (i32.lt_u (local.get $i) (i32.const 5000))))");
        call.call("proxy_define_metric", &[0, name.0, name.1, OUT]);
    });
    assert_eq!(Host::new(&guest).request(), [status(10)]);
}
