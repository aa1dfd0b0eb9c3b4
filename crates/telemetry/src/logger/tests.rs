//! What a component's log promises, read back from the lines that it became.

use super::*;
use crate::filter::Filter;
use crate::init::{json, text};
use crate::output::{GuestOutput, Stream};
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard};
use tracing::Subscriber;
use tracing::subscriber::{DefaultGuard, set_default};

/// Everything that was logged on this thread while it lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap()
    }
    fn text() -> (Self, DefaultGuard) {
        Self::with(|log| text(&Filter::parse("warn").unwrap(), move || log.clone(), false))
    }
    fn json() -> (Self, DefaultGuard) {
        Self::with(|log| json(&Filter::parse("warn").unwrap(), move || log.clone()))
    }
    fn with<S>(subscriber: impl FnOnce(Self) -> base::Result<S>) -> (Self, DefaultGuard)
    where
        S: Subscriber + Send + Sync + 'static,
    {
        let log = Self::default();
        let guard = set_default(subscriber(log.clone()).unwrap());
        (log, guard)
    }
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.bytes().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
    fn records(&self) -> Vec<serde_json::Value> {
        self.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn logger(limits: Limits) -> Logger {
    Logger::new("web", LevelFilter::INFO, limits)
}

fn record(level: Level, message: &str) -> Record<'_> {
    Record { level, request: None, context: "", message }
}

#[test]
fn a_record_keeps_its_fields() {
    let (log, _guard) = Log::json();
    let (level, context) = (Level::Critical, "db");
    logger(Limits::default()).log(&Record { level, request: Some("r1"), context, message: "down" });
    logger(Limits::default()).log(&record(Level::Info, "up\nagain"));
    let records = log.records();
    let (first, second) = (&records[0], &records[1]);
    assert_eq!((&first["level"], &first["message"]), (&"ERROR".into(), &"down".into()));
    assert_eq!((&first["component"], &first["request"]), (&"web".into(), &"r1".into()));
    assert_eq!((&first["context"], &first["critical"]), (&"db".into(), &true.into()));
    assert_eq!((&second["level"], &second["message"]), (&"INFO".into(), &"up\nagain".into()));
    assert!(second.get("request").is_none() && second.get("critical").is_none());
}

#[test]
fn the_component_has_its_own_level_whatever_the_programs() {
    let (log, _guard) = Log::json();
    let logger = logger(Limits::default());
    logger.log(&record(Level::Debug, "unheard"));
    logger.log(&record(Level::Info, "heard, though the program is at warn"));
    tracing::info!("the program's own, unheard");
    assert_eq!(log.records().len(), 1);
    assert!(logger.hears(Level::Critical) && !logger.hears(Level::Trace));
}

#[test]
fn a_guest_cannot_forge_a_line_or_a_field() {
    let (log, _guard) = Log::text();
    let forged = "ok\n2026-01-01T00:00:00Z ERROR gateway: down\r\u{1b}[31m";
    let context = "a request=r2";
    let logger = logger(Limits::default());
    logger.log(&Record { level: Level::Info, request: Some("r1"), context, message: forged });
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    let escaped = r"ok\n2026-01-01T00:00:00Z ERROR gateway: down\r\u{1b}[31m";
    assert!(lines[0].contains(escaped), "{}", lines[0]);
    assert!(lines[0].contains(r#"context="a request=r2""#), "{}", lines[0]);
    assert!(lines[0].contains(" component=web request=r1 "), "{}", lines[0]);
}

#[test]
fn long_text_is_cut_between_characters_and_says_so() {
    let (log, _guard) = Log::json();
    let limits = Limits { message: 5, context: 3, ..Limits::default() };
    let (level, context, message) = (Level::Info, "abcdef", "ééé");
    logger(limits).log(&Record { level, request: None, context, message });
    logger(limits).log(&record(Level::Info, "fives"));
    let records = log.records();
    assert_eq!(records[0]["message"], "éé… (2 bytes more)");
    assert_eq!(records[0]["context"], "abc… (3 bytes more)");
    assert_eq!(records[1]["message"], "fives");
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_dropped_and_told_once_per_second() {
    let (log, _guard) = Log::json();
    let limits = Limits { rate: 10, burst: 5, ..Limits::default() };
    let logger = logger(limits);
    for _ in 0..2 {
        for _ in 0..100 {
            logger.clone().log(&record(Level::Info, "flood"));
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let records = log.records();
    let dropped: Vec<_> = records.iter().filter_map(|record| record.get("dropped")).collect();
    assert_eq!(dropped, [95, 95]);
    assert_eq!(records.len(), 5 + 1 + 5 + 1);
    let told = records.iter().find(|record| record.get("dropped").is_some()).unwrap();
    assert_eq!((&told["component"], &told["level"]), (&"web".into(), &"WARN".into()));
}

#[test]
fn without_a_runtime_the_next_record_tells_the_drops() {
    let (log, _guard) = Log::json();
    let logger = logger(Limits { rate: 100, burst: 1, ..Limits::default() });
    (0..3).for_each(|_| logger.log(&record(Level::Info, "flood")));
    while log.records().len() < 3 {
        logger.log(&record(Level::Info, "later"));
    }
    let records = log.records();
    assert!(records[1]["dropped"].as_u64().unwrap() >= 2);
    assert_eq!(records[2]["message"], "later");
}

#[test]
fn a_long_record_counts_as_several() {
    let (log, _guard) = Log::json();
    let logger = logger(Limits { rate: 1, burst: 10, ..Limits::default() });
    let long = "x".repeat(9 << 10);
    logger.log(&record(Level::Info, &long));
    logger.log(&record(Level::Info, "no room"));
    assert_eq!(log.records().len(), 1);
}

#[test]
fn output_becomes_one_record_per_line_and_the_last_needs_no_end() {
    let (log, _guard) = Log::json();
    let serving = Arc::new(Mutex::new(None));
    let now = Arc::clone(&serving);
    let request = move || now.lock().unwrap().clone();
    let mut output = GuestOutput::new(logger(Limits::default()), Stream::Stdout, request);
    for piece in ["one\ntw", "o\r\n\nthr", "ee"] {
        output.write_all(piece.as_bytes()).unwrap();
    }
    assert_eq!(log.records().len(), 3);
    *serving.lock().unwrap() = Some("r9".into());
    drop(output);
    let records = log.records();
    let messages: Vec<_> = records.iter().map(|r| r["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["one", "two", "", "three"]);
    assert_eq!((&records[0]["context"], &records[3]["request"]), (&"stdout".into(), &"r9".into()));
}

#[test]
fn a_line_without_end_is_logged_in_pieces_of_whole_characters() {
    let (log, _guard) = Log::json();
    let limits = Limits { message: 8, ..Limits::default() };
    let mut output = GuestOutput::new(logger(limits), Stream::Stderr, || None);
    for byte in "ééé世界世界!".as_bytes() {
        output.push(std::slice::from_ref(byte));
    }
    output.push(b"\n\xff-\n");
    drop(output);
    let messages: String =
        log.records().iter().map(|r| r["message"].as_str().unwrap().to_owned() + "|").collect();
    assert_eq!(messages.replace('|', ""), "ééé世界世界!\u{fffd}-");
    assert!(messages.split('|').all(|piece| piece.len() <= 8), "{messages}");
}
