//! Mosquitto, which speaks MQTT 5.

use super::{PATIENCE, Recipe, Server, Vendor, folder, free, listens};
use crate::certificates::Certificates;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::LazyLock;

const MOSQUITTO: Recipe = Recipe { program: "mosquitto", package: "mosquitto", scheme: "mqtt" };

/// What a server has to be told so that it loses nothing of what waits.
const WHOLE: &[&str] = &["max_queued_messages 1000000", "max_inflight_messages 1000"];

pub(super) const VENDOR: Vendor = Vendor {
    name: "mqtt",
    url: |address| format!("mqtt://{address}"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(|| mqtt_with(WHOLE));
        &SERVER
    },
    start: || mqtt_with(WHOLE),
    again: |crashed| {
        let (folder, address) = crashed.leave();
        launch(folder, address)
    },
    kept: |address| retained(address, "#"),
};

/// A server of a test's own, with nothing in it, and with these lines in its settings besides. What
/// it keeps it writes when it is asked to end.
///
/// # Panics
/// If it does not start.
pub fn mqtt_with(lines: &[&str]) -> Server {
    let (folder, address) = (folder("mqtt"), free());
    let port = address.port();
    prepare(&folder, &format!("listener {port} 127.0.0.1\nallow_anonymous true"), lines);
    launch(folder, address)
}

/// A server that lets in who is this, as `user` and the password of Mosquitto's own tool.
///
/// # Panics
/// If it does not start.
pub fn mqtt_locked(user: &str, password: &str) -> Server {
    let (folder, address) = (folder("mqtt"), free());
    let file = folder.join("passwords");
    fs::write(&file, format!("{user}:{password}\n")).expect("the folder is ours");
    let mut tool = std::process::Command::new("mosquitto_passwd");
    let ended = crate::program::run(tool.arg("-U").arg(&file), "");
    assert_eq!(ended.code, Some(0), "mosquitto_passwd: {}", ended.errors);
    let (port, file) = (address.port(), file.display());
    let listener = format!("listener {port} 127.0.0.1\nallow_anonymous false");
    prepare(&folder, &format!("{listener}\npassword_file {file}"), WHOLE);
    launch(folder, address)
}

/// A server that speaks TLS alone, and lets in who has a certificate.
///
/// # Panics
/// If it does not start.
pub fn mqtt_tls(certificates: &Certificates) -> Server {
    let (folder, address) = (folder("mqtt"), free());
    let (ca, certificate) = (certificates.ca.display(), certificates.server.display());
    let (port, key) = (address.port(), certificates.server_key.display());
    let tls = format!("cafile {ca}\ncertfile {certificate}\nkeyfile {key}");
    let listener = format!("listener {port} 127.0.0.1\n{tls}\nrequire_certificate true");
    prepare(&folder, &format!("{listener}\nallow_anonymous true"), WHOLE);
    launch(folder, address)
}

/// Writes the settings.
fn prepare(folder: &std::path::Path, listener: &str, lines: &[&str]) {
    // As root it would become another user, who may not come in here.
    let settings = format!(
        "user root\npersistence true\npersistence_location {}/\n{}\n{listener}\n",
        folder.display(),
        lines.join("\n")
    );
    fs::write(folder.join("mosquitto.conf"), settings).expect("the folder is ours");
}

fn launch(folder: PathBuf, address: SocketAddr) -> Server {
    let arguments = ["-c".to_owned(), "mosquitto.conf".to_owned()];
    MOSQUITTO.start(folder, address, &arguments, listens)
}

/// The topics that the server keeps a message of.
fn retained(address: SocketAddr, filter: &str) -> BTreeSet<String> {
    let text = |text: &str| {
        let length = u16::try_from(text.len()).expect("it is short");
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let packet = |kind: u8, body: &[u8]| {
        let length = u8::try_from(body.len()).expect("it is short");
        assert!(length < 128, "it is short");
        [&[kind, length][..], body].concat()
    };
    let hello = [&text("MQTT")[..], &[5, 2, 0, 60, 0], &text("testkit")].concat();
    let subscribe = [&[0, 1, 0][..], &text(filter), &[0]].concat();
    let mut stream = TcpStream::connect(address).expect("the server is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is connected");
    let asked = [packet(0x10, &hello), packet(0x82, &subscribe), vec![0xc0, 0]].concat();
    stream.write_all(&asked).expect("the server listens");
    // The answer to the last, which comes behind all that is kept.
    let (mut said, mut found) = (Vec::new(), BTreeSet::new());
    loop {
        while let Some((kind, body, rest)) = split(&said) {
            if kind >> 4 == 3 {
                let (length, rest) = body.split_first_chunk().expect("a topic has a length");
                let topic = rest.get(..usize::from(u16::from_be_bytes(*length)));
                let topic = topic.expect("a message has a topic");
                found.insert(String::from_utf8_lossy(topic).into_owned());
            }
            let is_last = kind == 0xd0;
            said = rest;
            if is_last {
                return found;
            }
        }
        let mut piece = vec![0; 16 << 10];
        let length = stream.read(&mut piece).expect("the server answers");
        assert!(length > 0, "the server hung up");
        said.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
}

/// The first packet: its kind, what is in it, and what comes after it.
fn split(said: &[u8]) -> Option<(u8, Vec<u8>, Vec<u8>)> {
    let (kind, mut rest) = said.split_first()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (body, rest) = rest.split_at_checked(length)?;
    Some((*kind, body.to_vec(), rest.to_vec()))
}

/// Asks a server to end, when it writes what it keeps, and starts it again.
///
/// # Panics
/// If it goes on.
pub fn mqtt_again(server: Server) -> Server {
    server.end();
    (VENDOR.again)(server)
}
