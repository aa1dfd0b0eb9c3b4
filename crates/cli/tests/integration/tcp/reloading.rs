//! SIGHUP: what runs keeps its filters and its server, what comes gets the new ones.

use super::{Served, echo, file, filtered, marked};

#[test]
fn connections_keep_their_filters_and_new_ones_get_the_new() {
    let server = echo();
    let wharf = Served::start(&filtered(server, "upper = [\"downstream\"]", ""));
    let mut old = wharf.connect();
    old.gets("hello", "HELLO");
    wharf.reload(&filtered(server, "hold = 3", ""));
    let mut new = wharf.connect();
    new.gets("hello", "hello");
    old.gets("hello again", "HELLO AGAIN");
    wharf.reload(&file(&[server], ""));
    new.gets("held", "held");
    old.gets("and again", "AND AGAIN");
    wharf.connect().gets("h", "h");
    let lines = wharf.program.errors();
    assert!(!lines.iter().any(|line| line.contains("only with a restart")), "{lines:?}");
}

#[test]
fn connections_keep_their_server_and_new_ones_get_the_new() {
    let wharf = Served::start(&file(&[marked("one")], ""));
    let mut old = wharf.connect();
    old.hears("one");
    wharf.reload(&file(&[marked("two")], ""));
    wharf.connect().hears("two");
    old.gets("still", "still");
}

#[test]
fn a_filter_that_refuses_changes_nothing() {
    let server = echo();
    let wharf = Served::start(&filtered(server, "upper = [\"downstream\"]", ""));
    wharf.folder.deploy(&super::with_admin(&filtered(server, "upper = 1", ""), wharf.admin));
    wharf.program.signal(testkit::program::Signal::SIGHUP);
    wharf.program.wait_for("Not reloaded");
    wharf.connect().gets("hello", "HELLO");
}

#[test]
fn listeners_come_and_go_only_with_a_restart() {
    let (first, second) = (file(&[marked("one")], ""), file(&[marked("two")], ""));
    let wharf = Served::start(&first);
    wharf.reload(&second.replace("tcp.db", "tcp.other"));
    wharf.program.wait_for("change only with a restart");
    wharf.connect().hears("one");
    wharf.reload(&second.replace("upstream = ", "idle-timeout = \"1m\"\nupstream = "));
    wharf.connect().hears("two");
    let told = wharf.count("Addresses, TLS and limits");
    assert_eq!(told, 2);
}
