//! Looks who answers where a server of one kind was meant, and did not answer as one.
//!
//! To a client that waits for a greeting, or that speaks in bytes which others take for half of a
//! line, a wrong port looks like a server that is away. But the one is a mistake of the deployment,
//! and the other may be over in a moment. So nearly everybody's language is tried: a line of text.

#[cfg(any(
    feature = "amqp",
    feature = "kafka",
    feature = "memcached",
    feature = "mqtt",
    feature = "redis"
))]
mod tls;

use base::{Error, Kind, Result, within};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[cfg(any(
    feature = "amqp",
    feature = "kafka",
    feature = "memcached",
    feature = "mqtt",
    feature = "redis"
))]
pub(crate) use tls::speaks_tls;

/// How long a server has to show who it is.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// So many bytes of an answer are looked at, and so many letters of it shown.
const ENOUGH: u64 = 1024;
const SHOWN: usize = 60;
/// How an alert of TLS begins, from who cannot take the line for anything else.
const ALERT: [u8; 2] = [21, 3];

/// A line that servers of HTTP answer, and most others refuse in words.
pub(crate) const GET: &str = "GET / HTTP/1.0\r\n\r\n";

/// A kind of server.
pub(crate) struct Meant {
    /// How errors begin, e.g. `postgres`.
    pub(crate) vendor: &'static str,
    /// Its name in a sentence.
    pub(crate) name: &'static str,
    /// The line to try.
    pub(crate) line: &'static str,
    /// Whether a server of this kind, or what may stand before it, answers the line so.
    pub(crate) is_own: fn(&[u8]) -> bool,
}

impl Meant {
    /// What came of the first call to the servers at `hosts`, each `host:port`. Where it found
    /// nobody, that another kind of server is there, if one shows itself.
    pub(crate) async fn recognised<T>(&self, first: Result<T>, hosts: &[String]) -> Result<T> {
        match first {
            Err(error) if is_in_doubt(&error) => {
                Err(Box::pin(self.stranger(hosts)).await.unwrap_or(error))
            }
            first => first,
        }
    }

    async fn stranger(&self, hosts: &[String]) -> Option<Error> {
        for host in hosts {
            let answer = answer(host, self.line).await;
            if !answer.is_empty() && !(self.is_own)(&answer) {
                let server = format!("{} {host}", self.vendor);
                return Some(stranger(&server, self.name).with_source(shown(&answer)));
            }
        }
        None
    }
}

/// Whether who is there may be of another kind than what was meant.
pub(crate) fn is_in_doubt(error: &Error) -> bool {
    // Whoever says something else to a question about TLS is taken for one that has none.
    matches!(error.kind(), Kind::Unavailable | Kind::Timeout) || error.message().contains("TLS")
}

/// `server` is of another kind than `name`.
pub(crate) fn stranger(server: &str, name: &str) -> Error {
    Error::invalid(format!("{server} does not speak as {name} does; is it one?"))
}

/// What who is at `host`, a `host:port`, answers to a line: nothing if it says nothing in time, or
/// wants TLS.
pub(crate) async fn answer(host: &str, line: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    let ask = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(line.as_bytes()).await?;
        stream.take(ENOUGH).read_to_end(&mut answer).await
    };
    // What came until then counts, however it ended.
    drop(within(LOOK, ask).await);
    if answer.starts_with(&ALERT) {
        answer.clear();
    }
    answer
}

/// The beginning of an answer, as the cause of an error.
pub(crate) fn shown(answer: &[u8]) -> io::Error {
    let is_shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let line = answer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let text: String = line.iter().copied().filter(is_shown).take(SHOWN).map(char::from).collect();
    io::Error::other(format!("it says `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const MEANT: Meant =
        Meant { vendor: "ours", name: "Ours", line: GET, is_own: |said| said.starts_with(b"OURS") };

    /// What is told of a call that found nobody where somebody says this.
    async fn told(says: &'static [u8]) -> (Error, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let other = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; GET.len()];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(says).await.unwrap();
            // It waits for more, as many do.
            std::future::pending::<()>().await;
        };
        let hosts = [host.clone()];
        let first = Err::<(), _>(Error::unavailable("nobody"));
        tokio::select! {
            told = MEANT.recognised(first, &hosts) => (told.unwrap_err(), host),
            () = other => unreachable!("it waits"),
        }
    }

    #[tokio::test]
    async fn another_kind_of_server_is_told_with_what_it_says() {
        let (error, host) = told(b"HTTP/1.1 400 Bad Request\r\nserver: x\r\n\r\n").await;
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(
            error.to_string(),
            format!(
                "ours {host} does not speak as Ours does; is it one?: \
                 it says `HTTP/1.1 400 Bad Request`"
            )
        );
        // Bytes are no text.
        let (error, _) = told(b"\x4a\0\0\0\x0a5.5\x1b[31m\xff").await;
        assert!(error.to_string().ends_with("it says `J`"), "{error}");
    }

    #[tokio::test]
    async fn who_says_nothing_or_speaks_as_meant_is_away() {
        for says in [&b""[..], b"OURS 1", b"\x15\x03\x01\0\x02\x02\x46"] {
            let (error, _) = told(says).await;
            assert_eq!((error.kind(), error.message()), (Kind::Unavailable, "nobody"));
        }
        let refused = Err::<(), _>(Error::denied("no"));
        assert_eq!(MEANT.recognised(refused, &[]).await.unwrap_err().kind(), Kind::Denied);
    }
}
