//! How many connections there may be, how long they may be quiet, and how much waits.

use super::{Client, Served, echo, file, filtered, server};
use crate::support::eventually;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

#[test]
fn who_comes_when_there_is_no_room_waits_for_it() {
    let wharf = Served::start(&file(&[echo()], "max-connections = 2"));
    let mut open: Vec<Client> = (0..2).map(|_| wharf.connect()).collect();
    open.iter_mut().for_each(|client| client.gets("hello", "hello"));
    let mut third = wharf.connect();
    third.say("me too");
    let line = wharf.program.wait_for("connections wait");
    assert!(line.contains("db") && line.contains("max-connections"), "{line}");
    third.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.0.read(&mut [0]).is_err(), "nobody hears it yet");
    assert_eq!(wharf.metric("wharf_tcp_active{listener=\"db\"}"), 2);
    drop(open.pop());
    third.0.set_read_timeout(None).unwrap();
    third.hears("me too");
    assert_eq!(wharf.metric("wharf_tcp_accepted_total{listener=\"db\"}"), 3);
}

#[test]
fn what_is_quiet_for_too_long_is_closed_and_what_is_not_stays() {
    for file in [
        file(&[echo()], "idle-timeout = \"1s\""),
        filtered(echo(), "", "").replace("upstream =", "idle-timeout = \"1s\"\nupstream ="),
    ] {
        let wharf = Served::start(&file);
        let mut quiet = wharf.connect();
        quiet.gets("hello", "hello");
        let begun = Instant::now();
        let mut busy = wharf.connect();
        // Twice as long as a quiet one may last.
        while begun.elapsed() < Duration::from_secs(2) {
            busy.gets("still here", "still here");
            crate::support::pause(Duration::from_millis(50));
        }
        assert_eq!(quiet.rest(), "");
        wharf.have_ended("timed-out", 1);
        busy.gets("and here", "and here");
    }
}

#[test]
fn a_filter_that_holds_more_than_its_buffer_stops_the_client() {
    let keys = "limits = { buffer = \"64KiB\" }";
    let wharf = Served::start(&filtered(echo(), "hold = 1000000000", keys));
    let client = wharf.connect();
    is_stopped(&client);
    let came = wharf.metric("wharf_tcp_bytes_total{listener=\"db\",from=\"client\"}");
    assert!((64 << 10..=96 << 10).contains(&came), "{came}");
}

#[test]
fn a_filter_may_hold_all_that_its_buffer_holds() {
    let wharf = Served::start(&filtered(echo(), "hold = 900000", ""));
    let client = wharf.connect();
    let sent = vec![b'a'; 900_000];
    (&client.0).write_all(&sent).unwrap();
    let mut heard = vec![0; sent.len()];
    (&client.0).read_exact(&mut heard).unwrap();
    assert!(heard == sent);
}

#[test]
fn a_server_that_reads_nothing_stops_the_client() {
    let keys = "idle-timeout = \"2s\"";
    let wharf = Served::start(&file(&[server(|stream| hold(&stream))], keys));
    let client = wharf.connect();
    is_stopped(&client);
    // Nothing moves any more, whatever waits.
    eventually("it is closed", || {
        (wharf.metric("wharf_tcp_active{listener=\"db\"}") == 0).then_some(())
    });
}

/// A client cannot go on for ever to send what nobody takes.
fn is_stopped(client: &Client) {
    client.0.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let (part, mut sent) = (vec![7; 1 << 20], 0);
    // Until the kernel's buffers are full.
    while sent < 64 && (&client.0).write_all(&part).is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "everything was taken");
}

/// Holds a connection without listening.
fn hold(_stream: &std::net::TcpStream) {
    loop {
        std::thread::park();
    }
}
