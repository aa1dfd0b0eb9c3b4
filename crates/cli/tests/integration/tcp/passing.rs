//! Bytes pass as they are.

use super::{Client, Served, address, echo, file, filtered, marked, server};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::thread;

/// Without filters, and with one that changes nothing.
fn each(check: impl Fn(&dyn Fn(SocketAddr) -> Served)) {
    check(&|server| Served::start(&file(&[server], "")));
    check(&|server| Served::start(&filtered(server, "", "")));
}

#[test]
fn ten_mebibytes_pass_both_ways_at_once() {
    each(|serve| {
        let wharf = serve(echo());
        let client = wharf.connect();
        let sent: Vec<u8> = (0..10_u32 << 18).flat_map(|number| number.to_le_bytes()).collect();
        let (mut writes, copy) = (client.0.try_clone().unwrap(), sent.clone());
        let writing = thread::spawn(move || {
            writes.write_all(&copy).unwrap();
            writes.shutdown(Shutdown::Write).unwrap();
        });
        let mut heard = Vec::new();
        (&client.0).read_to_end(&mut heard).unwrap();
        writing.join().unwrap();
        assert!(heard == sent, "{} bytes of {}", heard.len(), sent.len());
        let bytes = sent.len() as u64;
        for from in ["client", "server"] {
            let name = format!("wharf_tcp_bytes_total{{listener=\"db\",from=\"{from}\"}}");
            assert_eq!(wharf.metric(&name), bytes, "{from}");
        }
        wharf.have_ended("ended", 1);
    });
}

#[test]
fn a_server_may_answer_after_the_client_has_said_all() {
    each(|serve| {
        let wharf = serve(server(|mut stream| {
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            stream.write_all(format!("you said {heard}").as_bytes()).unwrap();
        }));
        let mut client = wharf.connect();
        client.say("something");
        client.done();
        assert_eq!(client.rest(), "you said something");
    });
}

#[test]
fn a_client_may_speak_after_the_server_has_said_all() {
    each(|serve| {
        let (tell, told) = std::sync::mpsc::channel();
        let wharf = serve(server(move |mut stream| {
            stream.write_all(b"hello").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            tell.send(heard).unwrap();
        }));
        let mut client = wharf.connect();
        assert_eq!(client.rest(), "hello");
        client.say("and more");
        client.done();
        assert_eq!(told.recv().unwrap(), "and more");
    });
}

#[test]
fn what_a_server_said_before_it_left_is_heard_by_who_still_speaks() {
    each(|serve| {
        let wharf = serve(server(|mut stream| {
            stream.read_exact(&mut [0; 4]).unwrap();
            stream.write_all(b"enough").unwrap();
        }));
        let mut client = wharf.connect();
        client.say("talk");
        client.hears("enough");
        assert_eq!(client.rest(), "");
    });
}

#[test]
fn servers_that_speak_first_take_turns() {
    let wharf = Served::start(&file(&[marked("one"), marked("two")], ""));
    let hear = |_| {
        let mut client = wharf.connect();
        client.done();
        client.rest()
    };
    let mut heard: Vec<String> = (0..4).map(hear).collect();
    heard.sort_unstable();
    assert_eq!(heard, ["one", "one", "two", "two"]);
}

#[test]
fn several_listeners_have_several_addresses() {
    let wharf = Served::start(
        &(file(&[marked("a")], "").replace("\"127.0.0.1:0\"", "[\"127.0.0.1:0\", \"[::1]:0\"]")
            + &format!(
                "[tcp.other]\nlisten = \"127.0.0.1:0\"\nupstream = \"b\"\n\
                 [upstream.b]\nendpoints = \"{}\"\n",
                marked("b")
            )),
    );
    wharf.connect().hears("a");
    Client::connect(address(&wharf.program, "other")).hears("b");
    let line = wharf.program.wait_for("Serving db on tcp://[::1]:");
    let six = line.trim_start_matches("Serving db on tcp://").trim_end_matches('/');
    Client::connect(six.parse().unwrap()).hears("a");
}

#[test]
fn a_line_tells_of_each_connection_that_is_over() {
    let wharf = Served::start(&file(&[echo()], "access-log = true"));
    let mut client = wharf.connect();
    client.gets("hello", "hello");
    client.done();
    assert_eq!(client.rest(), "");
    let line = wharf.program.wait_for("wharf::access");
    let source = client.0.local_addr().unwrap().to_string();
    for words in ["db", "ended", "from_client=5", "from_server=5", source.as_str()] {
        assert!(line.contains(words), "{words} in {line}");
    }
}
