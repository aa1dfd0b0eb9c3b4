//! Bytes on a connection, for clients that no library wants to be.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A connection without any manners.
pub(crate) struct Raw(TcpStream);

/// What came back.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) bytes: Vec<u8>,
    /// Whether the server closed the connection.
    pub(crate) closed: bool,
}

impl Heard {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).unwrap())
    }

    /// Sends; says whether the server still took it.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// Says that nothing more comes, and still listens.
    pub(crate) fn end(&mut self) {
        self.0.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Listens until the server closes, at most so long.
    pub(crate) fn listen(&mut self, within: Duration) -> Heard {
        self.listen_until(within, |_| false)
    }

    /// Listens until `enough` came, or the server closes, at most so long.
    pub(crate) fn listen_until(
        &mut self,
        within: Duration,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Heard {
        let end = Instant::now() + within;
        let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
        let closed = loop {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() || enough(&bytes) {
                break false;
            }
            self.0.set_read_timeout(Some(rest)).unwrap();
            match self.0.read(&mut piece) {
                Ok(0) => break true,
                Ok(length) => bytes.extend_from_slice(&piece[..length]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => break true,
                },
            }
        };
        Heard { bytes, closed }
    }
}

/// Sends bytes over a new connection and listens until the server closes, at most so long.
pub(crate) fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>, within: Duration) -> Heard {
    let mut raw = Raw::connect(address);
    raw.send(bytes);
    raw.listen(within)
}
