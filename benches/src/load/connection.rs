//! One connection of the load: a request, its answer, the next request.

use super::answer;
use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The longest answer that is waited for, head and body.
const MAX_ANSWER: usize = 64 << 10;

pub(super) struct Connection {
    stream: TcpStream,
    asked: Instant,
    buffer: Vec<u8>,
    filled: usize,
}

pub(super) enum Turn {
    /// The answer is not complete.
    Waiting,
    /// The answer was right and took this long; the next request is on its way.
    Answered(Duration),
}

impl Connection {
    /// Connects, sends the first request, and has its answer announced under `token`.
    pub(super) fn open(
        address: SocketAddr,
        registry: &Registry,
        token: Token,
        request: &[u8],
    ) -> Result<Self> {
        let stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE)?;
        let buffer = vec![0; 4096];
        let mut connection = Self { stream, asked: Instant::now(), buffer, filled: 0 };
        connection.ask(request)?;
        Ok(connection)
    }

    fn ask(&mut self, request: &[u8]) -> Result<()> {
        // A request is far smaller than any socket's buffer, so it goes in one piece or not at all.
        let sent = self.stream.write(request).context("failed to send the request")?;
        if sent < request.len() {
            bail!("only {sent} bytes of the request were taken");
        }
        Ok(())
    }

    /// Takes what has come.
    pub(super) fn turn(&mut self, request: &[u8], expect: &[u8]) -> Result<Turn> {
        if self.filled == self.buffer.len() {
            if self.filled >= MAX_ANSWER {
                bail!("the answer is longer than {MAX_ANSWER} bytes");
            }
            self.buffer.resize(self.filled * 2, 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match self.stream.read(room) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Waiting),
            Err(error) => return Err(error).context("failed to read the answer"),
        }
        let come = self.buffer.get(..self.filled).unwrap_or_default();
        if !answer::is_complete(come, expect)? {
            // A full buffer may have left bytes in the socket, which are announced only once.
            return if self.filled == self.buffer.len() {
                self.turn(request, expect)
            } else {
                Ok(Turn::Waiting)
            };
        }
        self.filled = 0;
        let now = Instant::now();
        let latency = now - self.asked;
        self.asked = now;
        self.ask(request)?;
        Ok(Turn::Answered(latency))
    }
}
