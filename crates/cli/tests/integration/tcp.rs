//! Listeners for bare TCP: real sockets on both sides, with filters and without.

mod callouts;
mod failing;
mod files;
mod filters;
mod limits;
mod passing;
mod reloading;
mod secure;
mod sharing;
mod stopping;

use crate::admin::free;
use crate::support::client::{Connection, get};
use crate::support::{Folder, eventually};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use testkit::program::{PATIENCE, Program};

/// A running `wharf serve` with listeners for TCP.
struct Served {
    program: Program,
    address: SocketAddr,
    admin: SocketAddr,
    folder: Folder,
}

impl Served {
    /// Serves what the file says, of which `db` is the first listener.
    fn start(file: &str) -> Self {
        Self::of(Folder::new(), file)
    }

    /// The same on so many threads, each of which has filters of its own.
    fn start_with(file: &str, threads: usize) -> Self {
        let file = format!("[http]\nthreads = {threads}\n{file}");
        Self::start(&file)
    }

    /// The same, in a folder that has files already.
    fn of(folder: Folder, file: &str) -> Self {
        let admin = free();
        folder.deploy(&with_admin(file, admin));
        let program = Program::start(&mut folder.wharf(&["serve"]));
        let address = address(&program, "db");
        Self { program, address, admin, folder }
    }

    /// Exchanges the file, and waits until it is read.
    fn reload(&self, file: &str) {
        let before = self.count("Reloaded");
        self.folder.deploy(&with_admin(file, self.admin));
        self.program.signal(testkit::program::Signal::SIGHUP);
        self.program.wait_until("another Reloaded", |lines| {
            let reloaded = lines.iter().filter(|line| line.starts_with("Reloaded")).count();
            (reloaded > before).then_some(())
        });
    }

    /// How many lines begin so.
    fn count(&self, words: &str) -> usize {
        self.program.errors().iter().filter(|line| line.starts_with(words)).count()
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// What the metrics say under this name.
    fn metric(&self, name: &str) -> u64 {
        let asked = get("/.well-known/wharf/metrics");
        let text = Connection::http1(self.admin).unwrap().send(asked).unwrap().text();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

impl Served {
    /// Waits until so many connections have ended so.
    fn have_ended(&self, outcome: &str, number: u64) {
        let name = format!("wharf_tcp_connections_total{{listener=\"db\",outcome=\"{outcome}\"}}");
        eventually(&name, || (self.metric(&name) == number).then_some(()));
    }
}

/// The address that the listener `name` was given.
fn address(program: &Program, name: &str) -> SocketAddr {
    program.wait_until("Serving", |lines| {
        let words = format!("Serving {name} on t");
        let line = lines.iter().find_map(|line| line.strip_prefix(&words))?;
        line.split_once("://")?.1.strip_suffix('/')?.parse().ok()
    })
}

/// The file with an address for operators, which HTTP has one for.
fn with_admin(file: &str, admin: SocketAddr) -> String {
    let http = format!("[http]\nlisten = \"127.0.0.1:0\"\nadmin = \"{admin}\"\n");
    match file.contains("[http]\n") {
        true => file.replace("[http]\n", &http),
        false => format!("{http}threads = 2\n{file}"),
    }
}

/// A listener with these keys before an upstream with these endpoints.
fn file(endpoints: &[SocketAddr], keys: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
    format!(
        "[tcp.db]\nlisten = \"127.0.0.1:0\"\nupstream = \"up\"\n{keys}\n\
         [upstream.up]\nendpoints = [{}]\n",
        endpoints.join(", ")
    )
}

/// The filter of TCP with this configuration and these keys before a server.
fn filtered(endpoint: SocketAddr, configuration: &str, keys: &str) -> String {
    file(&[endpoint], "filters = [\"f\"]")
        + &format!(
            "[filter.f]\nsource = \"filter-tcp.wasm\"\n\
             configuration = {{ {configuration} }}\n{keys}\n"
        )
}

/// A client's end of a connection.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Says that there is no more, unless the other side has closed already.
    fn done(&self) {
        drop(self.0.shutdown(Shutdown::Write));
    }

    /// What comes next, as long as `expected`.
    fn hears(&mut self, expected: &str) {
        let mut heard = vec![0; expected.len()];
        self.0.read_exact(&mut heard).unwrap_or_else(|error| panic!("{expected}: {error}"));
        assert_eq!(String::from_utf8_lossy(&heard), expected);
    }

    /// Says something that comes back as `expected`.
    fn gets(&mut self, text: &str, expected: &str) {
        self.say(text);
        self.hears(expected);
    }

    /// All that comes until the connection is closed, however that is.
    fn rest(&mut self) -> String {
        let mut heard = Vec::new();
        // Whoever closes with bytes unread resets.
        drop(self.0.read_to_end(&mut heard));
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// A server that does this with each connection, beside the test.
fn server(speak: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let speak = speak.clone();
            thread::spawn(move || speak(stream));
        }
    });
    address
}

/// A server that says everything back.
fn echo() -> SocketAddr {
    marked("")
}

/// One that says first who it is.
fn marked(mark: &'static str) -> SocketAddr {
    server(move |stream| {
        let (mut from, mut to) = (&stream, &stream);
        // How it ends is seen at the other end.
        drop(to.write_all(mark.as_bytes()).and_then(|()| std::io::copy(&mut from, &mut to)));
        drop(stream.shutdown(Shutdown::Write));
    })
}
