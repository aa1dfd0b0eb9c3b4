//! A small HTTP client whose every wait has an end.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use http_types::header::HOST;
use http_types::response::Parts;
use http_types::{HeaderMap, HeaderValue, Request, Uri, Version};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use testkit::program::PATIENCE;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// The body of a request.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Waits, but not for ever.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let future = async { tokio::time::timeout(PATIENCE, future).await };
    RUNTIME.block_on(future).expect("this took too long")
}

/// Lets something go on beside the test.
pub(crate) fn beside<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    RUNTIME.spawn(future)
}

pub(crate) fn get(path: &str) -> Request<Body> {
    request("GET", path, Empty::new().boxed())
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    request("POST", path, Full::new(body.into()).boxed())
}

pub(crate) fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body).unwrap()
}

/// A body that is given piece by piece; dropping the sender ends it.
pub(crate) fn pieces() -> (UnboundedSender<Frame<Bytes>>, Body) {
    let (sender, receiver) = unbounded::<Frame<Bytes>>();
    (sender, BodyExt::boxed(StreamBody::new(receiver.map(Ok))))
}

/// Adds a header field.
pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    request
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header field, or the empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An answer whose body is still to come.
pub(crate) struct Opened {
    pub(crate) head: Parts,
    body: Incoming,
}

impl Opened {
    /// The next piece of the body: none at its end, an error where it was cut off.
    pub(crate) fn piece(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            let frame = match wait(self.body.frame())? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(format!("{error:?}"))),
            };
            if let Ok(data) = frame.into_data() {
                return Some(Ok(data));
            }
        }
    }

    /// Everything else.
    pub(crate) fn rest(self) -> Result<Answer, String> {
        wait(self.finish())
    }

    async fn finish(self) -> Result<Answer, String> {
        let Self { head, body } = self;
        let whole = body.collect().await.map_err(|error| format!("{error:?}"))?;
        let trailers = whole.trailers().cloned().unwrap_or_default();
        let (status, version, headers) = (head.status.as_u16(), head.version, head.headers);
        Ok(Answer { status, version, headers, body: whole.to_bytes(), trailers })
    }
}

/// One connection.
pub(crate) struct Connection {
    sender: Sender,
    host: String,
    /// What the server showed, the first of its chain.
    pub(crate) certificate: Option<CertificateDer<'static>>,
}

enum Sender {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

impl Connection {
    pub(crate) fn http1(address: SocketAddr) -> Result<Self, String> {
        wait(Self::connect(address, false))
    }

    pub(crate) fn http2(address: SocketAddr) -> Result<Self, String> {
        wait(Self::connect(address, true))
    }

    /// Over TLS to `localhost`; ALPN decides the version.
    pub(crate) fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> Result<Self, String> {
        wait(async {
            let stream = said(TcpStream::connect(address).await)?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = said(TlsConnector::from(config).connect(name, stream).await)?;
            let state = stream.get_ref().1;
            let certificate = state.peer_certificates().map(|chain| chain[0].clone().into_owned());
            let two = state.alpn_protocol() == Some(b"h2");
            let connection = Self::over(stream, address, two).await?;
            Ok(Self { certificate, ..connection })
        })
    }

    pub(crate) async fn connect(address: SocketAddr, two: bool) -> Result<Self, String> {
        let stream = said(TcpStream::connect(address).await)?;
        Self::over(stream, address, two).await
    }

    async fn over<S>(stream: S, address: SocketAddr, two: bool) -> Result<Self, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let sender = if two {
            let shake = http2::handshake(TokioExecutor::new(), stream).await;
            let (sender, connection) = said(shake)?;
            drop(RUNTIME.spawn(connection));
            Sender::Two(sender)
        } else {
            let (sender, connection) = said(http1::handshake(stream).await)?;
            drop(RUNTIME.spawn(connection));
            Sender::One(sender)
        };
        Ok(Self { sender, host: address.to_string(), certificate: None })
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) fn send(&mut self, request: Request<Body>) -> Result<Answer, String> {
        wait(self.ask(request))
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) fn open(&mut self, request: Request<Body>) -> Result<Opened, String> {
        wait(self.begin(request))
    }

    pub(crate) async fn ask(&mut self, request: Request<Body>) -> Result<Answer, String> {
        self.begin(request).await?.finish().await
    }

    /// The host is the address where the request names none.
    pub(crate) async fn begin(&mut self, mut request: Request<Body>) -> Result<Opened, String> {
        let answer = match &mut self.sender {
            Sender::One(sender) => {
                let host = HeaderValue::from_str(&self.host).unwrap();
                request.headers_mut().entry(HOST).or_insert(host);
                said(sender.ready().await)?;
                sender.send_request(request).await
            }
            Sender::Two(sender) => {
                let host = request.headers_mut().remove(HOST);
                let host = host.as_ref().map_or(self.host.as_str(), |host| host.to_str().unwrap());
                let uri = format!("http://{host}{}", request.uri());
                *request.uri_mut() = uri.parse::<Uri>().unwrap();
                said(sender.ready().await)?;
                sender.send_request(request).await
            }
        };
        let (head, body) = said(answer)?.into_parts();
        Ok(Opened { head, body })
    }
}

/// One request over one new connection.
pub(crate) async fn ask(address: SocketAddr, request: Request<Body>) -> Result<Answer, String> {
    Connection::connect(address, false).await?.ask(request).await
}

fn said<T, E: std::fmt::Debug>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{error:?}"))
}
