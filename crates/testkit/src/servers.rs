//! Real servers for the tests of backends: started on free ports of this machine, each in a folder
//! of its own, and gone when the test program ends, however it ends.
#![expect(clippy::expect_used, clippy::panic, reason = "it is how a test fails")]

mod account;
mod amqp;
mod azure_queue;
mod etcd;
mod kafka;
mod memcached;
mod mqtt;
mod mysql;
mod nats;
mod postgres;
mod redis;
mod sqs;

use crate::program::{self, PATIENCE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use account::Account;
pub use amqp::{amqp_tls, amqp_told, amqp_with};
pub use azure_queue::azure_queue;
pub use etcd::{EtcdCluster, etcd_cluster, etcd_locked, etcd_with, etcd_with_tls};
pub use kafka::{kafka_that_forgets, kafka_with};
pub use memcached::{memcached_tls, memcached_with, memcached_with_users};
pub use mqtt::{mqtt_again, mqtt_locked, mqtt_tls, mqtt_with};
pub use mysql::{mysql_tls, mysql_with};
pub use nats::{NatsCluster, nats_tls, nats_with};
pub use postgres::{postgres_locked, postgres_says, postgres_standby, postgres_tls, postgres_with};
pub use redis::{Cluster, Sentinels, redis_tls, redis_with, sentinel_of, sentinel_tls};
pub use sqs::{sqs, sqs_answer, sqs_guarded, sqs_tls};

/// A kind of server, as the backend of the same name needs it.
pub struct Vendor {
    /// The backend's name.
    pub name: &'static str,
    /// The URL of one that listens at this address.
    pub url: fn(SocketAddr) -> String,
    /// The one for all tests of this program.
    pub shared: fn() -> &'static Server,
    /// Starts one for a test alone, with nothing in it, that loses nothing in a crash unless it
    /// only caches.
    pub start: fn() -> Server,
    /// Starts one again after its crash: at its address, and with its data if it keeps any.
    pub again: fn(Server) -> Server,
    /// The names of all that one keeps, which are its keys, streams or tables, and of the leases
    /// that it has given.
    pub kept: fn(SocketAddr) -> BTreeSet<String>,
}

/// Every kind that keeps keys and values.
pub const VENDORS: &[Vendor] =
    &[etcd::VENDOR, mysql::VENDOR, nats::VENDOR, postgres::VENDOR, redis::VENDOR];

/// Every kind that carries messages and nothing else.
pub const BROKERS: &[Vendor] =
    &[amqp::VENDOR, azure_queue::VENDOR, kafka::VENDOR, mqtt::VENDOR, sqs::VENDOR];

/// Every kind that caches.
pub const CACHES: &[Vendor] = &[memcached::VENDOR, redis::VENDOR];

/// The memory of a host in front of a server.
pub const TIERED: &Vendor = &Vendor {
    name: "tiered",
    url: |address| format!("tiered:{}", (redis::VENDOR.url)(address)),
    ..redis::VENDOR
};

/// The URL of a server for a backend that needs one, started when it is first asked for; `None` for
/// a backend that needs none. One that is there already is named by `WHARF_TEST_KAFKA`, and so on.
///
/// # Panics
/// If it cannot be started: with the command that installs it.
pub fn url(backend: &str) -> Option<String> {
    if backend == "tiered" {
        // Redis stands behind it: in another database, for both give their bindings the same names.
        return Some(format!("tiered:{}/1", url("redis")?));
    }
    #[expect(clippy::disallowed_methods, reason = "a parameter of tests, of no deployment")]
    let named = std::env::var(format!("WHARF_TEST_{}", backend.to_uppercase()));
    if let Ok(url) = named {
        return Some(url);
    }
    let vendor =
        VENDORS.iter().chain(BROKERS).chain(CACHES).find(|vendor| vendor.name == backend)?;
    Some((vendor.url)((vendor.shared)().address()))
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Mutex<Child>,
    /// Where it keeps its data.
    folder: Option<PathBuf>,
    scheme: &'static str,
    address: SocketAddr,
}

/// How a server is started.
struct Recipe {
    /// Its program.
    program: &'static str,
    /// The Debian package that has it.
    package: &'static str,
    scheme: &'static str,
}

impl Server {
    /// `scheme://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it keeps its data.
    ///
    /// # Panics
    /// If it has left them.
    pub fn folder(&self) -> &Path {
        self.folder.as_deref().expect("it has its folder")
    }

    /// Sends it, and the processes that it started, a signal, `SIGSTOP` for example, after which
    /// it does nothing any more.
    ///
    /// # Panics
    /// If it is not there any more.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"));
        let failed = |error| panic!("{signal} to {}: {error}", self.scheme);
        // It starts no more while they are counted.
        kill(pid, Signal::SIGSTOP).unwrap_or_else(failed);
        for child in children(pid) {
            let _may_have_ended = kill(child, signal);
        }
        kill(pid, signal).unwrap_or_else(failed);
        if !matches!(signal, Signal::SIGSTOP | Signal::SIGKILL) {
            kill(pid, Signal::SIGCONT).unwrap_or_else(failed);
        }
        if signal == Signal::SIGSTOP {
            wait("it stands still", || stands_still(pid));
        }
    }

    /// Ends it at once, as a crash does, and waits until it is gone.
    ///
    /// # Panics
    /// If it is not there any more.
    pub fn crash(&self) {
        let pid = {
            let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"))
        };
        let others = children(pid);
        // Of Kafka's no other end is as one of Kafka's own.
        let last = if self.scheme == kafka::SCHEME { kafka::CRASH } else { Signal::SIGKILL };
        self.signal(last);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        drop(child.wait());
        // What they share is free once the last of them is gone.
        let end = Instant::now() + PATIENCE;
        while others.iter().any(|other| is_running(*other)) && Instant::now() < end {
            thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Server {
    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// If it goes on for too long.
    pub fn end(&self) {
        self.signal(Signal::SIGTERM);
        wait("it ends", || {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            child.try_wait().is_ok_and(|ended| ended.is_some())
        });
    }

    /// Ends it, and leaves its data where they are.
    fn leave(mut self) -> (PathBuf, SocketAddr) {
        let folder = self.folder.take().expect("it is taken once");
        (folder, self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(child.kill());
        drop(child.wait());
        if let Some(folder) = &self.folder {
            drop(fs::remove_dir_all(folder));
        }
    }
}

impl Recipe {
    /// Starts it in a folder, on an address that was free just now.
    fn start(
        &self,
        folder: PathBuf,
        address: SocketAddr,
        arguments: &[String],
        is_ready: impl Fn(SocketAddr) -> bool,
    ) -> Server {
        self.start_as(None, folder, address, arguments, is_ready)
    }

    /// Starts one that will not run as root.
    fn start_as(
        &self,
        account: Option<Account>,
        folder: PathBuf,
        address: SocketAddr,
        arguments: &[String],
        is_ready: impl Fn(SocketAddr) -> bool,
    ) -> Server {
        self.start_in(account, &[], folder, address, arguments, is_ready)
    }

    /// Starts one that is told things by its environment.
    fn start_in(
        &self,
        account: Option<Account>,
        environment: &[(&str, String)],
        folder: PathBuf,
        address: SocketAddr,
        arguments: &[String],
        is_ready: impl Fn(SocketAddr) -> bool,
    ) -> Server {
        // It dies with the thread that started it, which lives as long as this program.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(account) = account {
            command.args(account.privileges());
        }
        command.arg(self.program).args(arguments);
        command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.current_dir(&folder).stdin(Stdio::null());
        let log = fs::File::create(folder.join("log")).expect("the folder is ours");
        command.stdout(log.try_clone().expect("a file has copies")).stderr(log);
        let child = spawn(command).unwrap_or_else(|error| panic!("setpriv: {error}"));
        let said = folder.join("log");
        let folder = Some(folder);
        let server = Server { child: Mutex::new(child), folder, scheme: self.scheme, address };
        let end = Instant::now() + PATIENCE;
        while !is_ready(address) {
            let ended = {
                let mut child = server.child.lock().unwrap_or_else(PoisonError::into_inner);
                child.try_wait().ok().flatten()
            };
            if ended.is_some() || Instant::now() > end {
                let said = fs::read_to_string(&said).unwrap_or_default();
                panic!(
                    "{} did not start ({ended:?}); run: cargo xtask setup\n\
                     (Debian's package is {})\n{said}",
                    self.program, self.package
                );
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        server
    }
}

/// Whether a process has not ended, whoever has still to hear of it.
fn is_running(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

/// The processes that a process has started, and those that they have.
fn children(of: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let own: Vec<Pid> = lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| pid.parse().ok().map(Pid::from_raw))
        .collect();
    own.iter().flat_map(|child| children(*child)).chain(own.iter().copied()).collect()
}

/// The folder in which `cargo xtask setup` keeps what it installs under this name.
fn installed(name: &str) -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.filter(|folder| folder.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or_else(home).unwrap_or_else(std::env::temp_dir).join("wharf").join(name)
}

/// An address of this machine whose port was free just now.
fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

/// A folder that nobody else has. Those of test programs that are gone are removed.
fn folder(name: &str) -> PathBuf {
    static TIDY: LazyLock<PathBuf> = LazyLock::new(|| {
        let all = std::env::temp_dir().join("wharf-servers");
        fs::create_dir_all(&all).expect("a folder for servers");
        for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !Path::new("/proc").join(&name).exists() {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
        all.join(std::process::id().to_string())
    });
    static COUNT: Mutex<u32> = Mutex::new(0);
    let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    *count += 1;
    let folder = TIDY.join(format!("{name}-{count}"));
    fs::create_dir_all(&folder).expect("a folder for a server");
    folder
}

type Started = std::io::Result<Child>;
type Order = (Command, Sender<Started>);

/// Starts a process from the one thread that starts them all.
fn spawn(command: Command) -> Started {
    static STARTER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (send, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                drop(reply.send(command.spawn()));
            }
        });
        Mutex::new(send)
    });
    let (reply, started) = channel();
    let starter = STARTER.lock().unwrap_or_else(PoisonError::into_inner);
    starter.send((command, reply)).expect("the starter lives");
    drop(starter);
    started.recv().expect("the starter answers")
}

/// Sends text and gives the answer, up to where it is whole or the server ends it.
///
/// # Panics
/// If it does not come.
fn asked(address: SocketAddr, text: &str, is_whole: impl Fn(&str) -> bool) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect(address).expect("the server is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is connected");
    stream.write_all(text.as_bytes()).expect("the server listens");
    let (mut answer, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let length = stream.read(&mut piece).expect("the server answers");
        answer.extend_from_slice(piece.get(..length).unwrap_or_default());
        let said = String::from_utf8_lossy(&answer);
        if length == 0 || is_whole(&said) {
            return said.into_owned();
        }
    }
}

/// What stands behind each `mark` in a text, up to the next `end`.
fn marked(text: &str, mark: &str, end: &str) -> BTreeSet<String> {
    let after = text.split(mark).skip(1);
    after.filter_map(|rest| rest.split(end).next()).map(str::to_owned).collect()
}

/// The lines that a program prints, which shows what a server keeps.
///
/// # Panics
/// If it fails.
fn printed(command: &mut Command) -> BTreeSet<String> {
    let ended = program::run(command, "");
    assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.errors);
    ended.output.lines().map(str::to_owned).collect()
}

/// Sends a line and gives the beginning of the answer.
fn ask(address: SocketAddr, line: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(line.as_bytes()).ok()?;
    let mut answer = vec![0; 16 << 10];
    let length = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(answer.get(..length)?).into_owned())
}

/// Tells whether somebody takes connections.
fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Sends a line and tells whether the answer begins with these words.
fn answers(address: SocketAddr, line: &str, words: &str) -> bool {
    ask(address, line).is_some_and(|answer| answer.starts_with(words))
}

/// Whether every thread of a process was stopped: each is by itself, a moment after the signal.
fn stands_still(pid: Pid) -> bool {
    let is_stopped = |thread: &Path| {
        let said = fs::read_to_string(thread.join("stat")).unwrap_or_default();
        said.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    threads.flatten().all(|thread| is_stopped(&thread.path()))
}

/// Waits until it is so.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}
