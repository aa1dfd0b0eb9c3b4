//! A program under test: started, listened to, signalled, and never left behind.
#![expect(clippy::expect_used, clippy::panic, reason = "it is how a test fails")]

use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use nix::sys::signal::Signal;

/// A wait that takes longer has failed. Long, because test machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A running program. What it prints is kept; dropping it kills it.
pub struct Program {
    child: Child,
    output: Arc<Lines>,
    errors: Arc<Lines>,
}

/// How a program ended, and all that it printed.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

/// What came so far from one stream.
#[derive(Default)]
struct Lines {
    so_far: Mutex<SoFar>,
    more: Condvar,
}

#[derive(Default)]
struct SoFar {
    whole: String,
    lines: Vec<String>,
    closed: bool,
}

impl Program {
    /// Starts it, with nothing on its standard input.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, Vec::new())
    }

    /// Starts it with `input` on its standard input.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_with(command: &mut Command, input: Vec<u8>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Lines::read(child.stdout.take().expect("it was piped"));
        let errors = Lines::read(child.stderr.take().expect("it was piped"));
        let mut stdin = child.stdin.take().expect("it was piped");
        // A program that does not read its input is nobody's mistake.
        thread::spawn(move || drop(stdin.write_all(&input)));
        Self { child, output, errors }
    }

    /// The first line of standard error that has `words` in it.
    ///
    /// # Panics
    /// If it does not come in time, with all that came instead.
    pub fn wait_for(&self, words: &str) -> String {
        self.wait_until(words, |lines| lines.iter().find(|line| line.contains(words)).cloned())
    }

    /// Waits until `found` finds something in the lines of standard error.
    ///
    /// # Panics
    /// If it does not come in time, or the program ends first.
    pub fn wait_until<T>(&self, what: &str, found: impl Fn(&[String]) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut so_far = self.errors.lock();
        loop {
            if let Some(found) = found(&so_far.lines) {
                return found;
            }
            let rest = end.saturating_duration_since(Instant::now());
            if so_far.closed || rest.is_zero() {
                let ended = if so_far.closed { "it ended" } else { "it took too long" };
                let said = shown(&so_far.lines);
                drop(so_far);
                panic!("{ended} without \"{what}\"; it said:\n{said}");
            }
            let waited = self.errors.more.wait_timeout(so_far, rest);
            so_far = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The address in the line `Serving HTTP on http://ADDRESS/`, or `https`.
    ///
    /// # Panics
    /// If there is none in time.
    pub fn address(&self) -> SocketAddr {
        self.wait_until("Serving HTTP", |lines| {
            lines.iter().find_map(|line| {
                let line = line.strip_prefix("Serving HTTP")?;
                let (_, rest) = line.split_once("://")?;
                rest.strip_suffix('/')?.parse().ok()
            })
        })
    }

    /// The lines of standard error so far.
    pub fn errors(&self) -> Vec<String> {
        self.errors.lock().lines.clone()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|error| panic!("{signal}: {error}"));
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it goes on for too long.
    pub fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < end, "it goes on; it said:\n{}", shown(&self.errors()));
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Bytes of memory that it holds now.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The bytes of it that are nobody else's: without what is read from files, which the system
    /// drops when it needs the room.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn own_memory(&self) -> u64 {
        self.status("RssAnon")
    }

    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("the program runs");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        number.unwrap_or_else(|| panic!("a line `{name}: NUMBER kB`")) * 1024
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process numbers fit"))
    }
}

/// The last lines, and of long ones the beginning: enough for whoever looks why a test failed.
fn shown(lines: &[String]) -> String {
    let first = lines.len().saturating_sub(50);
    let cut = |line: &String| line.chars().take(500).chain(['\n']).collect::<String>();
    lines.iter().skip(first).map(cut).collect()
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How often a test kills a writing program: `WHARF_CRASH_ROUNDS` says, in a campaign.
///
/// # Panics
/// If that is no number.
#[must_use]
pub fn crashes(short: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a parameter of tests, of no deployment")]
    let rounds = std::env::var("WHARF_CRASH_ROUNDS");
    rounds.map_or(short, |rounds| rounds.parse().expect("WHARF_CRASH_ROUNDS is a number"))
}

/// Runs a program to its end, with `input` on its standard input.
///
/// # Panics
/// If it cannot be started, or goes on for too long.
pub fn run(command: &mut Command, input: impl Into<Vec<u8>>) -> Ended {
    let mut program = Program::start_with(command, input.into());
    let status = program.end();
    let (output, errors) = (program.output.whole(), program.errors.whole());
    Ended { code: status.code(), output, errors }
}

/// The same command, held to the permissions of files and ports as any user is: where we are root,
/// without the rights by which root passes over them.
///
/// It needs `setpriv`, which `cargo xtask setup` installs; starting the command fails without it.
#[must_use]
pub fn bound_by_permissions(command: &Command) -> Command {
    const RIGHTS: &str = "-dac_override,-dac_read_search,-net_bind_service";
    let mut bound = Command::new("setpriv");
    if nix::unistd::geteuid().is_root() {
        bound.args(["--bounding-set", RIGHTS, "--inh-caps", RIGHTS]);
    }
    bound.arg(command.get_program()).args(command.get_args()).env_clear();
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    bound.envs(variables);
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound
}

impl Lines {
    /// Collects what comes until the stream ends.
    fn read(stream: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let into = Arc::clone(&lines);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line);
                let mut so_far = into.lock();
                so_far.whole.push_str(&text);
                so_far.lines.push(text.trim_end_matches('\n').to_owned());
                drop(so_far);
                into.more.notify_all();
                line.clear();
            }
            into.lock().closed = true;
            into.more.notify_all();
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything, once the stream has ended.
    fn whole(&self) -> String {
        let end = Instant::now() + PATIENCE;
        let mut so_far = self.lock();
        while !so_far.closed && Instant::now() < end {
            let waited = self.more.wait_timeout(so_far, Duration::from_secs(1));
            so_far = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        so_far.whole.clone()
    }
}
