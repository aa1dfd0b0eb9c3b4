//! Starting the program in a folder of a test's own, and asking it.

pub(crate) mod client;
pub(crate) mod raw;
pub(crate) mod server;

use client::{Answer, Connection, get};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::program::{self, Ended, PATIENCE, Program};

/// Makes a test of each promise for each guest: `mod GUEST { #[test] fn PROMISE() … }`, which
/// calls the function `PROMISE` beside it with the guest's name.
macro_rules! promises {
    ($promises:tt of $($guest:ident),+) => {
        $($crate::support::promises!(@one $guest $promises);)+
    };
    (@one $guest:ident [$($promise:ident),+ $(,)?]) => {
        pub(crate) mod $guest {
            $(
                #[test]
                fn $promise() {
                    super::$promise(&stringify!($guest).replace('_', "-"));
                }
            )+
        }
    };
}
pub(crate) use promises;

/// A folder of a test's own.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a deployment file, and every guest that the file names.
    pub(crate) fn with(deployment: &str) -> Self {
        let folder = Self::new();
        folder.deploy(deployment);
        folder
    }

    /// Writes the deployment file anew.
    pub(crate) fn deploy(&self, deployment: &str) {
        for name in deployment.split('"').filter_map(|word| word.strip_suffix(".wasm")) {
            if !self.path().join(format!("{name}.wasm")).exists() {
                self.guest(name);
            }
        }
        self.write("wharf.toml", deployment);
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Puts a guest into the folder, as `NAME.wasm`.
    pub(crate) fn guest(&self, name: &str) {
        symlink(testkit::guest(name), self.path().join(format!("{name}.wasm"))).unwrap();
    }

    /// The program in this folder, with nothing of the machine's environment. Compiled code is
    /// shared by all tests, or the larger guests would be compiled by each.
    pub(crate) fn wharf(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.current_dir(self.path()).args(args).env_clear();
        command.env("HOME", self.path());
        command.env("WHARF_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        run(&mut self.wharf(args), "")
    }

    /// Serves with these arguments, on a free port.
    pub(crate) fn serve(self, args: &[&str]) -> Served {
        let args = [&["serve", "--addr", "127.0.0.1:0"], args].concat();
        let command = self.wharf(&args);
        Served::start(self, command)
    }
}

/// The program that was built with the tests, or the one that a campaign is about.
#[expect(clippy::disallowed_methods, reason = "a parameter of campaigns")]
fn program() -> PathBuf {
    std::env::var("WHARF_PROGRAM")
        .map_or_else(|_| env!("CARGO_BIN_EXE_wharf").into(), PathBuf::from)
}

/// Runs a command to its end. Whether it had to compile first is not what it is asked.
pub(crate) fn run(command: &mut Command, input: &str) -> Ended {
    let mut ended = program::run(command, input);
    ended.errors =
        ended.errors.split_inclusive('\n').filter(|line| !line.starts_with("Compiling ")).collect();
    ended
}

/// A running `wharf serve`.
pub(crate) struct Served {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    pub(crate) folder: Folder,
}

/// Serves one guest, without any deployment file.
pub(crate) fn serve(guest: &str) -> Served {
    let folder = Folder::new();
    folder.guest(guest);
    folder.serve(&[&format!("{guest}.wasm")])
}

/// Serves what a deployment file says.
pub(crate) fn deploy(deployment: &str) -> Served {
    Folder::with(deployment).serve(&[])
}

impl Served {
    pub(crate) fn start(folder: Folder, mut command: Command) -> Self {
        let program = Program::start(&mut command);
        let address = program.address();
        Self { program, address, folder }
    }

    /// Asks for a path over a new connection.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|failed| {
            panic!("{path}: {failed}; the log:\n{}", self.program.errors().join("\n"))
        })
    }

    pub(crate) fn try_get(&self, path: &str) -> Result<Answer, String> {
        Connection::http1(self.address)?.send(get(path))
    }

    /// The text of an answer that must be a good one.
    pub(crate) fn text(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }
}

/// Tries until it works out.
pub(crate) fn eventually<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        pause(Duration::from_millis(20));
    }
}

/// Lets time pass, where passing time is the point.
pub(crate) fn pause(time: Duration) {
    let end = Instant::now() + time;
    while let Some(rest) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(rest);
    }
}
