//! Calls over HTTP/1.1 to one service: a pool of connections, one call on each at a time.

use crate::look;
use crate::tls::Trust;
use crate::tls::fault::{self as tls, Wrong};
use base::{Error, Result, lock};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Full, Limited};
use http_types::{HeaderMap, Request, StatusCode};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::error::Error as StdError;
use std::io;
use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// A connection that nobody used for so long may be closed by the service at any moment.
const IDLE: Duration = Duration::from_secs(10);
/// So many connections are kept that nobody uses.
const KEPT: usize = 64;

/// The way to a service.
pub(crate) struct Service {
    host: String,
    /// Whose certificate it has to show, where the way there is encrypted.
    tls: Option<ServerName<'static>>,
    trust: Trust,
    connector: OnceCell<TlsConnector>,
    /// The most bytes of an answer.
    most: usize,
    /// What a call uses is not here, so a call that is dropped takes its connection with it.
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// What the service said.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A call that has no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection broke, or did not come about.
    Way(Box<dyn StdError + Send + Sync>),
    /// Who answers does not speak HTTP.
    Strange(hyper::Error),
    /// TLS cannot be set up.
    Setup(Error),
}

impl Fault {
    /// What a caller can do about it: of a `server` as errors name it, which should be a `name` and
    /// whose URL begins with `scheme`.
    pub(crate) fn into_error(self, server: &str, name: &str, scheme: &str) -> Error {
        match self {
            Self::Setup(setup) => setup.context(server),
            Self::Strange(said) => look::stranger(server, name).with_source(said),
            Self::Way(way) => match tls::said(&*way).and_then(tls::wrong) {
                Some(Wrong::Plain) => Error::invalid(format!("{server} does not speak TLS"))
                    .with_source(way)
                    .with_hint(format!("for a server without TLS write `{scheme}://HOST:PORT`")),
                Some(Wrong::Certificate(hint)) => {
                    Error::invalid(server.to_owned()).with_source(way).with_hint(hint)
                }
                None => Error::unavailable(server.to_owned()).with_source(way),
            },
        }
    }
}

impl Service {
    /// The service at `host`, a `host:port`, of which no answer has more bytes than `most`.
    ///
    /// # Errors
    /// `Invalid` if a host cannot be called that.
    pub(crate) fn new(host: &str, is_tls: bool, trust: Trust, most: usize) -> Result<Self> {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let wrong = |error| Error::invalid(format!("`{host}` is no host")).with_source(error);
        let name = ServerName::try_from(name).map_err(wrong)?;
        Ok(Self {
            host: host.to_owned(),
            tls: is_tls.then_some(name),
            trust,
            connector: OnceCell::new(),
            most,
            idle: Mutex::default(),
        })
    }

    /// `host:port`
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Sends a request and gives the answer.
    pub(crate) async fn call(&self, request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
        while let Some(mut connection) = self.idle() {
            match connection.exchange(request.clone(), self.most).await {
                Ok(answer) => return Ok(self.answered(connection, answer)),
                // It was closed meanwhile, and nothing went over it.
                Err(error) if is_unsent(&*error) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        let mut connection = self.connect().await?;
        let answer = connection.exchange(request, self.most).await.map_err(fault)?;
        Ok(self.answered(connection, answer))
    }

    fn answered(&self, connection: Connection, answer: Answer) -> Answer {
        if !connection.is_over && !connection.sender.is_closed() {
            let mut idle = lock(&self.idle);
            if idle.len() < KEPT {
                idle.push((connection, Instant::now()));
            }
        }
        answer
    }

    /// The connection that was used last, if it is as good as a new one.
    fn idle(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = lock(&self.idle).pop()?;
            if since.elapsed() > IDLE {
                // Those below were used still longer ago.
                lock(&self.idle).retain(|(_, since)| since.elapsed() <= IDLE);
            } else if (&mut connection.driver).now_or_never().is_none() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let way = |error: io::Error| Fault::Way(error.into());
        let stream = TcpStream::connect(&self.host).await.map_err(way)?;
        stream.set_nodelay(true).map_err(way)?;
        let Some(name) = &self.tls else { return Connection::over(stream).await };
        let connector = self.connector.get_or_try_init(|| self.connector()).await?;
        let stream = connector.connect(name.clone(), stream).await.map_err(way)?;
        Connection::over(stream).await
    }

    async fn connector(&self) -> Result<TlsConnector, Fault> {
        let trust = self.trust.clone();
        let setup = |error| Fault::Setup(Error::internal("setting up TLS").with_source(error));
        let client = move || trust.client(crate::tls::ALPN_HTTP1);
        // It may read the system's authorities.
        let made = tokio::task::spawn_blocking(client).await.map_err(setup)?;
        Ok(TlsConnector::from(made.map_err(Fault::Setup)?))
    }
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What reads and writes, while somebody waits for it.
    driver: BoxFuture<'static, hyper::Result<()>>,
    is_over: bool,
}

impl Connection {
    async fn over<S>(stream: S) -> Result<Self, Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let made = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = made.map_err(|error| Fault::Way(error.into()))?;
        Ok(Self { sender, driver: driver.boxed(), is_over: false })
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Answer, Box<dyn StdError + Send + Sync>> {
        let Self { sender, driver, is_over } = self;
        let exchange = async {
            sender.ready().await?;
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, most).collect().await?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => return answer,
            _ended = driver => *is_over = true,
        }
        // What it had read is there all the same, and so is why it ended.
        exchange.await
    }
}

/// Whether nothing of a request went over its connection.
fn is_unsent(error: &(dyn StdError + Send + Sync + 'static)) -> bool {
    let said = error.downcast_ref::<hyper::Error>();
    said.is_some_and(|said| said.is_canceled() || said.is_closed())
}

fn fault(error: Box<dyn StdError + Send + Sync>) -> Fault {
    match error.downcast::<hyper::Error>() {
        Ok(said) if said.is_parse() => Fault::Strange(*said),
        Ok(said) => Fault::Way(said),
        Err(error) => Fault::Way(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn request() -> Request<Full<Bytes>> {
        let request = Request::post("/").header("host", "h").header("content-length", "1");
        request.body(Full::new(Bytes::from_static(b"x"))).unwrap()
    }

    fn service(host: &str) -> Service {
        Service::new(host, false, Trust::default(), 100).unwrap()
    }

    /// Answers so many requests on each connection, then closes it.
    async fn serve(listener: TcpListener, each: usize, answer: &'static str) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..each {
                let mut asked = [0; 1024];
                if stream.read(&mut asked).await.unwrap() == 0 {
                    break;
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    }

    async fn with<T>(
        each: usize,
        answer: &'static str,
        calls: impl AsyncFnOnce(Service) -> T,
    ) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = service(&listener.local_addr().unwrap().to_string());
        tokio::select! {
            told = calls(service) => told,
            () = serve(listener, each, answer) => unreachable!("it serves for ever"),
        }
    }

    #[tokio::test]
    async fn a_connection_is_used_again_while_it_is_there() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        for each in [1, 2, 100] {
            let calls = async |service: Service| {
                for _ in 0..5 {
                    let answer = service.call(request()).await.unwrap();
                    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"hi"[..]));
                    // What the server does after its answer is seen a moment later.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    assert!(lock(&service.idle).len() <= 1);
                }
            };
            with(each, answer, calls).await;
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told() {
        let call = async |service: Service| service.call(request()).await;
        let strange = with(1, "-ERR what\r\n", call).await.err().unwrap();
        assert!(matches!(strange, Fault::Strange(_)), "{strange:?}");
        let cut = with(1, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi", call).await;
        assert!(matches!(cut, Err(Fault::Way(_))));
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n0123456789";
        assert!(matches!(with(1, long, call).await, Err(Fault::Way(_))));
    }
}
