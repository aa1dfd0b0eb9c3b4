//! How the program stops.

use crate::support::client::{Connection, get};
use crate::support::{Folder, Served, deploy, eventually, pause, promises};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::program::{Program, Signal};

/// What takes longer has waited for something.
const AT_ONCE: Duration = Duration::from_secs(3);

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
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        assert!(answer.rest().is_err(), "it was cut off");
    }
}

/// Serving a guest that takes long to compile, and says that it compiles it.
fn compiling(folder: &Folder) -> Program {
    folder.guest("hello-python");
    let args = ["serve", "--addr", "127.0.0.1:0", "--no-cache", "hello-python.wasm"];
    let program = Program::start(&mut folder.wharf(&args));
    program.wait_for("Compiling hello-python (");
    program
}

#[test]
fn a_signal_while_it_compiles_at_the_start_ends_it_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = Folder::new();
        let mut program = compiling(&folder);
        let begun = Instant::now();
        program.signal(signal);
        assert_eq!(program.end().code(), Some(0));
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        let lines = program.errors();
        assert!(lines.contains(&"Stopped before anything was served".to_owned()), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("Serving")), "{lines:?}");
    }
}

/// Serves a slow answer, and is in the middle of compiling what comes after it.
fn reloading() -> Served {
    let file = |guest: &str| {
        format!(
            "name = \"graceful\"\n[component.web]\nsource = \"{guest}.wasm\"\n\
             [[http.route]]\ncomponent = \"web\"\n"
        )
    };
    let wharf = Folder::with(&file("http-stream-p2")).serve(&["--no-cache"]);
    wharf.folder.deploy(&file("hello-python"));
    wharf.program.signal(Signal::SIGHUP);
    wharf.program.wait_for("Compiling web (");
    wharf
}

#[test]
fn sigterm_while_a_new_file_is_compiled_finishes_what_runs() {
    let mut wharf = reloading();
    let mut connection = Connection::http1(wharf.address).unwrap();
    let mut answer = connection.open(get("/drip?n=10&ms=100")).unwrap();
    assert_eq!(answer.piece().unwrap().unwrap(), ".");
    wharf.program.signal(Signal::SIGTERM);
    wharf.program.wait_for("Stopping");
    assert!(answer.rest().unwrap().text().len() >= 5, "the rest of ten");
    assert_eq!(wharf.program.end().code(), Some(0));
    let lines = wharf.program.errors();
    assert!(!lines.iter().any(|line| line.starts_with("Reloaded")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("not finished")), "{lines:?}");
}

#[test]
fn a_second_signal_while_a_new_file_is_compiled_ends_at_once() {
    let mut wharf = reloading();
    let mut connection = Connection::http1(wharf.address).unwrap();
    let mut answer = connection.open(get("/drip?n=100000&ms=20")).unwrap();
    assert!(answer.piece().unwrap().is_ok());
    wharf.program.signal(Signal::SIGTERM);
    wharf.program.wait_for("Stopping");
    assert!(answer.piece().unwrap().is_ok(), "one signal lets it go on");
    let begun = Instant::now();
    wharf.program.signal(Signal::SIGTERM);
    assert_eq!(wharf.program.end().code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(answer.rest().is_err(), "it was cut off");
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
