//! A server that is measured: started, watched and ended by its process id.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::places;

/// How long a server may take until it says where it listens. Some compile before.
const START: Duration = Duration::from_secs(60);
/// How long a server may take to end before it is killed.
const STOP: Duration = Duration::from_secs(5);
/// How long one request outside of the load may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A running server. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    spawned: Instant,
}

impl Server {
    /// Starts a server that says on stderr `Serving HTTP on http://ADDRESS/`.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let (mut server, lines) = Self::spawn(command, SocketAddr::from(([0, 0, 0, 0], 0)))?;
        server.address = address_in(&lines)?;
        Ok(server)
    }

    /// Starts a server that does not say where it listens, and waits until it does, at `address`.
    pub(super) fn start_at(command: &mut Command, address: SocketAddr) -> Result<Self> {
        let (mut server, lines) = Self::spawn(command, address)?;
        while TcpStream::connect_timeout(&address, ANSWER).is_err() {
            if server.child.try_wait()?.is_some() || server.spawned.elapsed() > START {
                let said: Vec<String> = lines.try_iter().collect();
                bail!("the server does not listen at {address}; it said: {}", said.join("\n"));
            }
            pause();
        }
        Ok(server)
    }

    /// The server, and what it says on stderr.
    fn spawn(command: &mut Command, address: SocketAddr) -> Result<(Self, Receiver<String>)> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let spawned = Instant::now();
        let mut child = command.spawn().with_context(|| format!("failed to start {command:?}"))?;
        let lines = child.stderr.take().map(read_lines).context("no stderr")?;
        Ok((Self { child, address, spawned }, lines))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for `path` once, and returns how long ago the server was started then.
    pub(super) fn ask(&self, path: &str, expect: &str) -> Result<Duration> {
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let host = self.address;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        (&mut stream).take(64 << 10).read_to_string(&mut answer)?;
        let since = self.spawned.elapsed();
        if !answer.starts_with("HTTP/1.1 200 ") || !answer.contains(expect) {
            bail!("the server answered: {answer}");
        }
        Ok(since)
    }

    /// A field of `/proc/PID/status` in bytes: `VmRSS`, or `VmHWM` for its peak.
    pub(super) fn memory(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = value.and_then(|value| value.trim().strip_suffix(" kB"));
        let kilobytes: u64 = number.with_context(|| format!("{path} has no {field}"))?.parse()?;
        Ok(kilobytes * 1024)
    }

    fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM)?;
        let end = Instant::now() + STOP;
        while Instant::now() < end {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            pause();
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("    the server {} was not ended: {error:#}", self.child.id());
        }
    }
}

/// An empty folder for the server of the row called `name`.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let folder = places::target().join("bench").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("failed to empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Waits for a program of ours that ends by itself, at most `limit`, and returns what it printed.
pub(super) fn wait(command: &mut Command, limit: Duration) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("failed to start {command:?}"))?;
    let end = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            bail!("{command:?} took longer than {limit:?}");
        }
        pause();
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[expect(clippy::disallowed_methods, reason = "xtask has no runtime that could be blocked")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}

/// Takes every line of stderr as it comes, so that no server waits for a full pipe.
fn read_lines(stderr: ChildStderr) -> Receiver<String> {
    let (send, lines) = channel();
    thread::spawn(move || {
        let mut wanted = true;
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody reads on once the address is known.
            wanted = wanted && send.send(line).is_ok();
        }
    });
    lines
}

/// The address in the line that says it. On failure everything that was said instead.
fn address_in(lines: &Receiver<String>) -> Result<SocketAddr> {
    let end = Instant::now() + START;
    let mut said = Vec::new();
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(rest) else {
            bail!("the server did not say where it listens; it said: {}", said.join("\n"));
        };
        if let Some((_, after)) = line.split_once("Serving HTTP on http://") {
            let address = after.split('/').next().unwrap_or_default();
            return address.parse().with_context(|| format!("no address: {line}"));
        }
        said.push(line);
    }
}
