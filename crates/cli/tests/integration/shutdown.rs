//! How the program stops.

use crate::support::client::{Connection, get};
use crate::support::{Served, deploy, eventually, pause, promises};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::program::Signal;

promises!([
    sigterm_finishes_what_runs,
    a_second_signal_ends_at_once,
    what_is_not_finished_within_the_grace_is_ended,
] of http_stream_p2, http_stream_p3);

fn graceful(guest: &str, grace: &str) -> Served {
    deploy(&format!(
        r#"
            name = "graceful"
            [component.web]
            source = "{guest}.wasm"
            [http]
            shutdown-grace = "{grace}"
            [[http.route]]
            component = "web"
        "#
    ))
}

fn sigterm_finishes_what_runs(guest: &str) {
    for connect in [Connection::http1, Connection::http2] {
        let mut wharf = graceful(guest, "60s");
        let mut idle = connect(wharf.address).unwrap();
        assert_eq!(idle.send(get("/bytes?n=3")).unwrap().status, 200);
        let mut connection = connect(wharf.address).unwrap();
        let mut answer = connection.open(get("/drip?n=20&ms=100")).unwrap();
        assert_eq!(answer.piece().unwrap().unwrap(), ".");
        wharf.program.signal(Signal::SIGTERM);
        wharf.program.wait_for("Stopping");
        eventually("new ones are refused", || {
            TcpStream::connect(wharf.address).is_err().then_some(())
        });
        assert!(answer.rest().unwrap().text().len() >= 15, "the rest of twenty");
        assert_eq!(wharf.program.end().code(), Some(0));
        let lines = wharf.program.errors();
        assert!(!lines.iter().any(|line| line.contains("not finished")), "{lines:?}");
    }
}

fn a_second_signal_ends_at_once(guest: &str) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut wharf = graceful(guest, "10m");
        let mut connection = Connection::http1(wharf.address).unwrap();
        let mut answer = connection.open(get("/drip?n=100000&ms=20")).unwrap();
        assert!(answer.piece().unwrap().is_ok());
        wharf.program.signal(signal);
        wharf.program.wait_for("Stopping");
        assert!(answer.piece().unwrap().is_ok(), "one signal lets it go on");
        let begun = Instant::now();
        wharf.program.signal(signal);
        assert_eq!(wharf.program.end().code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(answer.rest().is_err(), "it was cut off");
    }
}

fn what_is_not_finished_within_the_grace_is_ended(guest: &str) {
    let mut wharf = graceful(guest, "1s");
    let mut connection = Connection::http1(wharf.address).unwrap();
    let mut answer = connection.open(get("/events?ms=20")).unwrap();
    assert!(answer.piece().unwrap().is_ok());
    wharf.program.signal(Signal::SIGTERM);
    assert_eq!(wharf.program.end().code(), Some(0));
    let line = wharf.program.wait_for("not finished in time");
    assert_eq!(line, "1 requests were not finished in time");
    assert!(answer.rest().is_err());
}

#[test]
fn an_idle_program_stops_at_once() {
    let mut wharf = graceful("hello-p2", "10m");
    let mut one = Connection::http1(wharf.address).unwrap();
    let mut two = Connection::http2(wharf.address).unwrap();
    for connection in [&mut one, &mut two] {
        assert_eq!(connection.send(get("/")).unwrap().status, 200);
    }
    // And one that has not said a word.
    let silent = TcpStream::connect(wharf.address).unwrap();
    pause(Duration::from_millis(100));
    wharf.program.signal(Signal::SIGINT);
    let begun = Instant::now();
    assert_eq!(wharf.program.end().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop(silent);
}
