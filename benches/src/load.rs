//! A load of many connections from one thread, close to the cheapest that can be.
//!
//! It must keep a server busy that costs six microseconds a request, so it is an event loop over
//! plain sockets: a client of hyper's costs more than hyper's server does.

mod answer;
mod connection;

use crate::process::cpu_time;
use anyhow::{Context as _, Result, bail};
use connection::{Connection, Turn};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Wrong answers after which a measurement is given up.
const MAX_ERRORS: u64 = 1000;

/// What to ask whom, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// The process of the server.
    pub pid: u32,
    /// The path and query to ask for.
    pub path: String,
    /// The body that each answer must have, with status 200.
    pub expect: Vec<u8>,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// What passes before the measurement.
    pub warm_up: Duration,
    /// The measurement.
    pub window: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Measured {
    /// How long each answered request took, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Answers that were wrong or did not come, also before the measurement.
    pub errors: u64,
    /// What was wrong with the first of them.
    pub first_error: Option<String>,
    /// The real length of the measurement.
    pub window: Duration,
    /// The CPU time of the server in the measurement.
    pub server_cpu: Duration,
    /// The share of the measurement in which the load had nothing to read. Near 0 it was too slow.
    pub load_idle: f64,
}

impl Measured {
    /// One line, for whoever started the load.
    pub fn json(&self) -> Value {
        let requests = self.latencies.len();
        let micros = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let per_request = self.server_cpu.as_secs_f64() * 1e6 / requests.max(1) as f64;
        json!({
            "requests": requests,
            "errors": self.errors,
            "first_error": self.first_error,
            "seconds": self.window.as_secs_f64(),
            "requests_per_second": requests as f64 / self.window.as_secs_f64(),
            "p50_us": micros(0.5),
            "p99_us": micros(0.99),
            "max_us": self.latencies.max() as f64 / 1e3,
            "server_cpu_us_per_request": per_request,
            "server_busy": self.server_cpu.as_secs_f64() / self.window.as_secs_f64(),
            "load_idle": self.load_idle,
        })
    }
}

/// Puts the load on the server.
///
/// # Errors
/// When the server is not there, goes away, or answers nothing but mistakes.
pub fn run(load: &Load) -> Result<Measured> {
    let mut running = Running::new(load)?;
    running.until(Instant::now() + load.warm_up)?;
    running.latencies.reset();
    running.idle = Duration::ZERO;
    let (server, start) = (cpu_time(load.pid)?, Instant::now());
    running.until(start + load.window)?;
    let window = start.elapsed();
    let server_cpu = cpu_time(load.pid)?.saturating_sub(server);
    let Running { latencies, errors, first_error, idle, .. } = running;
    let load_idle = idle.as_secs_f64() / window.as_secs_f64();
    if latencies.is_empty() {
        bail!("no right answer came: {}", first_error.as_deref().unwrap_or("nothing came"));
    }
    Ok(Measured { latencies, errors, first_error, window, server_cpu, load_idle })
}

struct Running<'a> {
    load: &'a Load,
    request: Vec<u8>,
    poll: Poll,
    connections: Vec<Connection>,
    latencies: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
    /// How long there was nothing to read.
    idle: Duration,
}

impl<'a> Running<'a> {
    fn new(load: &'a Load) -> Result<Self> {
        let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", load.path, load.address);
        let mut running = Self {
            load,
            request: request.into_bytes(),
            poll: Poll::new()?,
            connections: Vec::new(),
            // From a tenth of a microsecond to a minute, to three digits.
            latencies: Histogram::new_with_bounds(100, 60_000_000_000, 3)?,
            errors: 0,
            first_error: None,
            idle: Duration::ZERO,
        };
        for number in 0..load.connections {
            let connection = running.connect(number)?;
            running.connections.push(connection);
        }
        Ok(running)
    }

    fn connect(&self, number: usize) -> Result<Connection> {
        let Load { address, .. } = self.load;
        Connection::open(*address, self.poll.registry(), Token(number), &self.request)
            .with_context(|| format!("failed to connect to {address}"))
    }

    /// Asks and is answered until `end`.
    fn until(&mut self, end: Instant) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut turn = Instant::now();
        loop {
            let now = Instant::now();
            if events.is_empty() {
                self.idle += now - turn;
            }
            turn = now;
            if now >= end {
                return Ok(());
            }
            // Never sleeping, the load need not be woken: on another core that costs a server more
            // than its answer did, and says nothing of the server.
            match self.poll.poll(&mut events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                self.turn(event.token().0)?;
            }
        }
    }

    fn turn(&mut self, number: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
        let error = match connection.turn(&self.request, &self.load.expect) {
            Ok(Turn::Waiting) => return Ok(()),
            Ok(Turn::Answered(latency)) => {
                let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
                self.latencies.saturating_record(nanos);
                return Ok(());
            }
            Err(error) => error,
        };
        self.errors += 1;
        let first = self.first_error.get_or_insert_with(|| format!("{error:#}"));
        if self.errors >= MAX_ERRORS {
            bail!("{MAX_ERRORS} requests failed, the first with: {first}");
        }
        // What else this connection would say belongs to the failed request.
        let connection = self.connect(number)?;
        if let Some(old) = self.connections.get_mut(number) {
            *old = connection;
        }
        Ok(())
    }
}
