//! Logging, clocks and timers.

use crate::support::{Guest, Host, OUT, status, text};
use filter::{LogLevel, lock};
use std::time::Duration;

/// "Logs message at the `log_level`. `BAD_ARGUMENT` for unknown `log_level`."
#[test]
fn a_line_is_logged_at_its_level() {
    let mut guest = Guest::new();
    let line = guest.text("hello");
    guest.on_request(|call| {
        for level in 1..6 {
            call.quietly("proxy_log", &[level, line.0, line.1]);
        }
        call.call("proxy_log", &[6, line.0, line.1]);
        call.call("proxy_log", &[1, line.0, u32::MAX]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(filter::Way::Request, crate::support::head(), true);
    let levels: Vec<_> = host.world.table().lines.iter().map(|(level, _)| *level).collect();
    let all =
        [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error, LogLevel::Critical];
    assert_eq!(levels[..5], all);
    assert_eq!(host.shown()[5..], [2, 6].map(status));
}

/// "Retrieves host's current log level." What is below it is not even looked at by the host.
#[test]
fn the_level_of_the_log_is_told() {
    let mut guest = Guest::new();
    let line = guest.text("hello");
    guest.on_request(|call| {
        call.quietly("proxy_get_log_level", &[OUT]);
        call.quietly("proxy_log", &[1, line.0, line.1]);
        // The number is put where the line is shown from.
        call.wat(&format!(
            "(i32.store8 (i32.const {OUT}) (i32.add (i32.const 48) (i32.load (i32.const {OUT}))))
             (drop (call $proxy_log (i32.const 3) (i32.const {OUT}) (i32.const 1)))"
        ));
    });
    let host = Host::new(&guest);
    host.world.table().level = Some(LogLevel::Info);
    assert_eq!(host.request(), [text("2")]);
}

/// A line that never ends is cut off.
#[test]
fn a_long_line_is_cut_off() {
    let mut guest = Guest::new();
    guest.on_request(|call| {
        call.wat("(drop (call $proxy_log (i32.const 2) (i32.const 0) (i32.const 131072)))");
    });
    let host = Host::new(&guest);
    host.request();
    let mut chain = host.http();
    chain.put_head(filter::Way::Request, crate::support::head(), true);
    assert_eq!(host.world.table().lines[0].1.len(), 16 << 10);
}

/// "Retrieves current time, or the approximation of it."
#[test]
fn the_time_is_told() {
    let mut guest = Guest::new();
    guest.on_request(|call| {
        call.call("proxy_get_current_time_nanoseconds", &[OUT]).show_word(OUT).show_word(OUT + 4);
        call.call("proxy_get_current_time_nanoseconds", &[u32::MAX - 6]);
    });
    let nanos = 1_700_000_000_123_456_789_u64.to_le_bytes();
    let (low, high) = nanos.split_at(4);
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let expected = [0, word(low), word(high), 6].map(status);
    assert_eq!(Host::new(&guest).request(), expected);
}

/// "Setting `tick_period` to `0` disables the timer."
#[test]
fn a_timer_is_set_changed_and_ended() {
    let mut guest = Guest::new();
    guest.on("proxy_on_configure", 2, Some(1), |call| {
        call.call("proxy_set_tick_period_milliseconds", &[100]);
    });
    guest.on("proxy_on_tick", 1, None, |call| {
        call.show_argument(0);
        call.call("proxy_set_tick_period_milliseconds", &[250]);
    });
    guest.on_request(|call| {
        call.call("proxy_set_tick_period_milliseconds", &[0]);
    });
    let host = Host::new(&guest);
    let period = |host: &Host| host.world.table().ticks.get(&1).copied();
    assert_eq!(period(&host), Some(Duration::from_millis(100)));
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    assert_eq!(period(&host), Some(Duration::from_millis(250)));
    // A stream's wish is its plugin's timer.
    host.request();
    assert_eq!(period(&host), None);
    // A tick for a context that is not there is nothing.
    lock(&running.vm).tick(77).unwrap();
}
