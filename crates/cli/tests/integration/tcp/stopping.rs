//! SIGTERM: nobody new, and time for those who are there.

use super::{Client, Served, address, echo, file, filtered};
use crate::support::{Folder, eventually};
use std::net::TcpStream;
use testkit::program::{Program, Signal};

fn with_grace(file: &str, grace: &str) -> String {
    format!("{file}[http]\nshutdown-grace = \"{grace}\"\n")
}

#[test]
fn connections_may_come_to_their_end() {
    for file in [file(&[echo()], ""), filtered(echo(), "", "")] {
        let mut wharf = Served::start(&with_grace(&file, "60s"));
        let mut client = wharf.connect();
        client.gets("hello", "hello");
        wharf.program.signal(Signal::SIGTERM);
        wharf.program.wait_for("Stopping");
        eventually("new ones are refused", || {
            TcpStream::connect(wharf.address).is_err().then_some(())
        });
        client.gets("still here", "still here");
        client.done();
        assert_eq!(client.rest(), "");
        assert_eq!(wharf.program.end().code(), Some(0));
        let lines = wharf.program.errors();
        assert!(!lines.iter().any(|line| line.contains("not finished")), "{lines:?}");
    }
}

#[test]
fn after_the_grace_they_are_closed_and_their_filters_hear_of_it() {
    let file = filtered(echo(), "", "").replace("upstream =", "access-log = true\nupstream =");
    let mut wharf = Served::start(&with_grace(&file, "1s"));
    let mut client = wharf.connect();
    client.gets("hello", "hello");
    wharf.program.signal(Signal::SIGTERM);
    assert_eq!(client.rest(), "");
    assert_eq!(wharf.program.end().code(), Some(0));
    let lines = wharf.program.errors().join("\n");
    for words in [
        "not finished in time",
        "tcp 5 down, 5 up, closed by [Some(Local), Some(Local)]",
        "outcome=stopped",
    ] {
        assert!(lines.contains(words), "{words} in {lines}");
    }
}

#[test]
fn listeners_need_no_http() {
    let folder = Folder::with(&file(&[echo()], ""));
    let mut program = Program::start(&mut folder.wharf(&["serve"]));
    let mut client = Client::connect(address(&program, "db"));
    client.gets("hello", "hello");
    client.done();
    assert_eq!(client.rest(), "");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().code(), Some(0));
    let lines = program.errors();
    assert!(!lines.iter().any(|line| line.contains("HTTP")), "{lines:?}");
}
