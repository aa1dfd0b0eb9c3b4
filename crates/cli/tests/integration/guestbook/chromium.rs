//! A headless Chromium, driven by its own protocol over two pipes.

use crate::support::Folder;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use testkit::program::{PATIENCE, Program};

/// One page of a browser.
pub(super) struct Page {
    orders: File,
    events: Receiver<Value>,
    session: Value,
    last: u64,
    /// Pages that were loaded, and not yet waited for.
    loads: u32,
    /// They end with the page.
    _program: Program,
    _folder: Folder,
}

const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "about:blank",
];

/// The browser's file.
fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file())
        .expect("no Chromium; run: cargo xtask setup")
}

impl Page {
    /// A blank page of a browser that knows nobody.
    pub(super) fn open() -> Self {
        let folder = Folder::new();
        let [orders, events] = ["orders", "events"].map(|name| folder.path().join(name));
        mkfifo(&orders, Mode::S_IRWXU).unwrap();
        mkfifo(&events, Mode::S_IRWXU).unwrap();
        // The browser reads orders from its file 3 and writes what happens to its file 4.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<orders 4>events"]).arg(chromium());
        command.args(FLAGS).arg(format!("--user-data-dir={}/profile", folder.path().display()));
        command.current_dir(folder.path()).env("HOME", folder.path());
        let program = Program::start(&mut command);
        let orders = File::options().write(true).open(orders).unwrap();
        let (sender, received) = channel();
        let pipe = BufReader::new(File::open(events).unwrap());
        thread::spawn(move || {
            for message in pipe.split(0).map_while(Result::ok) {
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut page = Self {
            orders,
            events: received,
            session: Value::Null,
            last: 0,
            loads: 0,
            _program: program,
            _folder: folder,
        };
        let target = page.order("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        page.session = page.order("Target.attachToTarget", target)["sessionId"].clone();
        page.order("Page.enable", json!({}));
        page
    }

    /// Gives an order and waits for what came of it.
    fn order(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        let mut order = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_null() {
            order["sessionId"] = self.session.clone();
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).unwrap();
        let mut answer = self.wait(method, |value| value["id"] == id);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    fn wait(&mut self, what: &str, found: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = self.events.recv_timeout(PATIENCE);
            let value = value.unwrap_or_else(|error| panic!("{what}: the browser: {error}"));
            self.loads += u32::from(value["method"] == "Page.loadEventFired");
            if found(&value) {
                return value;
            }
        }
    }

    /// Waits until the next page is loaded.
    pub(super) fn loaded(&mut self) {
        if self.loads == 0 {
            self.wait("loading", |value| value["method"] == "Page.loadEventFired");
        }
        self.loads -= 1;
    }

    pub(super) fn go_to(&mut self, url: &str) {
        let went = self.order("Page.navigate", json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.loaded();
    }

    /// The value of an expression in the page.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.order("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Clicks into an element and types, as a person would.
    pub(super) fn fill_in(&mut self, selector: &str, text: &str) {
        self.click(selector);
        self.order("Input.insertText", json!({ "text": text }));
    }

    /// Clicks the middle of an element.
    pub(super) fn click(&mut self, selector: &str) {
        let middle = self.value(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView(); \
             const r = e.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({
                "type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1,
            });
            self.order("Input.dispatchMouseEvent", params);
        }
    }
}
