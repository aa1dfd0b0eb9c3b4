//! Kafka: a server of one program that speaks as Kafka 3.8 does, from PyPI.
//!
//! It writes its messages down each second, and when it is told to end. So its crash is that it is
//! told so: connections break and members of groups are gone as in any crash, and what a broker of
//! Kafka has in its system's buffers is there. [`kafka_that_forgets`] shows the other kind.

use super::{PATIENCE, Recipe, Server, Vendor, folder, free, installed};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::LazyLock;

/// The version that `cargo xtask setup` installs, in the place where that keeps it.
const NOIDA: &str = "noida-db-0.2.3";
/// Becomes the program that the package has.
const RUN: &str = "import os, sys\n\
    from importlib.resources import files\n\
    path = str(files('noida_db').joinpath('noida-db'))\n\
    os.chmod(path, 0o755)\n\
    os.execv(path, [path, *sys.argv[1:]])";
pub(super) const SCHEME: &str = "kafka";
/// How it is told to end.
pub(super) const CRASH: Signal = Signal::SIGTERM;

pub(super) const VENDOR: Vendor = Vendor {
    name: "kafka",
    url: |address| format!("kafka://{address}"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(kafka_with);
        &SERVER
    },
    start: kafka_with,
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address)
    },
    kept: |address| {
        let kept = topics(address).and_then(|topics| Ok((topics, groups(address)?)));
        let (topics, groups) = kept.expect("the server answers");
        let topics = topics.into_iter().filter(|topic| !topic.starts_with("__"));
        topics.chain(groups).collect()
    },
};

/// A server of a test's own, with nothing in it.
pub fn kafka_with() -> Server {
    start_at(folder("kafka"), free())
}

/// Has a server forget its last second, as one that loses its power may, and starts it again.
pub fn kafka_that_forgets(server: Server) -> Server {
    server.signal(Signal::SIGKILL);
    let (folder, address) = server.leave();
    start_at(folder, address)
}

fn start_at(folder: PathBuf, address: SocketAddr) -> Server {
    static PYTHON: LazyLock<String> =
        LazyLock::new(|| installed(NOIDA).join("bin/python3").display().to_string());
    let recipe = Recipe { program: &PYTHON, package: "python3-venv", scheme: SCHEME };
    let port = address.port().to_string();
    let arguments =
        ["-c", RUN, "start", "--data-dir", "data", "--only", "kafka", "--kafka-port", &port];
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    recipe.start(folder, address, &arguments, |address| topics(address).is_ok())
}

/// The names of all topics.
fn topics(address: SocketAddr) -> io::Result<BTreeSet<String>> {
    // Of none means of all.
    let mut answer = ask(address, (3, 1), &(-1_i32).to_be_bytes())?;
    for _ in 0..answer.number()? {
        answer.skip(4)?;
        answer.text()?;
        answer.skip(4)?;
        answer.text()?;
    }
    answer.skip(4)?;
    let mut names = BTreeSet::new();
    for _ in 0..answer.number()? {
        answer.skip(2)?;
        names.insert(answer.text()?);
        answer.skip(1)?;
        for _ in 0..answer.number()? {
            answer.skip(10)?;
            for _ in 0..2 {
                let brokers = answer.number()?;
                answer.skip(4 * usize::try_from(brokers).unwrap_or_default())?;
            }
        }
    }
    Ok(names)
}

/// The names of all groups.
fn groups(address: SocketAddr) -> io::Result<BTreeSet<String>> {
    let mut answer = ask(address, (16, 0), &[])?;
    answer.skip(2)?;
    let mut names = BTreeSet::new();
    for _ in 0..answer.number()? {
        names.insert(answer.text()?);
        answer.text()?;
    }
    Ok(names)
}

/// Asks in the language of Kafka: which question, and of which version.
fn ask(address: SocketAddr, (question, version): (i16, i16), body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = [question.to_be_bytes(), version.to_be_bytes()].concat();
    let who = [&1_i32.to_be_bytes()[..], &4_i16.to_be_bytes(), b"test"].concat();
    let length = i32::try_from(head.len() + who.len() + body.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes()[..], &head, &who, body].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    let mut answer = Answer { bytes, at: 0 };
    // Which question it is for.
    answer.skip(4)?;
    Ok(answer)
}

/// An answer that is read.
struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn skip(&mut self, length: usize) -> io::Result<&[u8]> {
        let piece = self.bytes.get(self.at..self.at + length);
        self.at += length;
        piece.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn number(&mut self) -> io::Result<i32> {
        let bytes = self.skip(4)?.try_into().map_err(io::Error::other)?;
        Ok(i32::from_be_bytes(bytes))
    }

    /// One that is not there is empty.
    fn text(&mut self) -> io::Result<String> {
        let length = self.skip(2)?.try_into().map_err(io::Error::other)?;
        let length = usize::try_from(i16::from_be_bytes(length)).unwrap_or_default();
        Ok(String::from_utf8_lossy(self.skip(length)?).into_owned())
    }
}
