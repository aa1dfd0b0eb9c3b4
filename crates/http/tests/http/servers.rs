//! Small servers on loopback, and clients that may reach them.

use async_trait::async_trait;
use base::egress::Egress;
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use http_types::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use wharf_http::client::{Client, Error, Exchange, Network, Options, Resolve, Settings};

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A server that runs until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Connections that were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A server that does with each connection what `script` says; it is told how many came before.
pub(crate) async fn raw<F, R>(script: F) -> Server
where
    F: Fn(TcpStream, usize) -> R + Send + 'static,
    R: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let (mut tasks, count) = (JoinSet::new(), Arc::clone(&accepted));
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let before = count.fetch_add(1, Ordering::SeqCst);
            let talk = script(stream, before);
            connections.spawn(async move { drop(talk.await) });
        }
    });
    Server { address, accepted, _tasks: tasks }
}

/// A server that reads the head of one request, says `response` and closes.
pub(crate) async fn says(response: impl Into<Vec<u8>>) -> Server {
    let response = Arc::new(response.into());
    raw(move |mut stream, _| {
        let response = Arc::clone(&response);
        async move {
            read_head(&mut stream).await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, &response).await
        }
    })
    .await
}

/// Reads until the empty line after the head of a request, which it returns.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A server that speaks HTTP/1.1 and HTTP/2 and answers by `handler`.
pub(crate) async fn http<F, R>(handler: F) -> Server
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    raw(move |stream, _| talk(stream, handler.clone())).await
}

/// The same over TLS.
pub(crate) async fn https<F, R>(config: Arc<rustls::ServerConfig>, handler: F) -> Server
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(config);
    raw(move |stream, _| {
        let (acceptor, handler) = (acceptor.clone(), handler.clone());
        async move { talk(acceptor.accept(stream).await?, handler).await }
    })
    .await
}

async fn talk<F, R>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    handler: F,
) -> io::Result<()>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

pub(crate) fn text(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()).boxed_unsync())
}

/// Answers with what came, trailers included, as it comes.
pub(crate) async fn echo(request: Request<Incoming>) -> Answer {
    let mut answer = Response::builder().header("trailer", "x-sum");
    for name in ["content-length", "te", "connection", "host", "transfer-encoding"] {
        if let Some(value) = request.headers().get(name) {
            answer = answer.header(format!("got-{name}"), value);
        }
    }
    let answer = answer.header("got-uri", request.uri().to_string());
    let body = request.into_body().map_frame(|frame| frame);
    let body = body.map_err(|_| -> Infallible { panic!("the request was cut off") });
    answer.body(body.boxed_unsync()).unwrap()
}

/// Loopback names: `a.test` and the like, and whatever else is listed.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) known: Vec<(&'static str, Vec<&'static str>)>,
    pub(crate) asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if host == "slow.test" {
            std::future::pending::<()>().await;
        }
        let found = self.known.iter().find(|(name, _)| *name == host);
        match found {
            Some((_, addresses)) => Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect()),
            None if host == "a.test" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

pub(crate) fn egress(rules: &[&str]) -> Egress {
    Egress::new(rules.iter().map(|rule| rule.parse().unwrap()))
}

pub(crate) fn network(names: Names) -> Arc<Network> {
    Arc::new(Network::new(100).with_resolver(Arc::new(names)))
}

/// A client that reaches everything on loopback, impatient so that tests end.
pub(crate) fn client() -> Client {
    client_with(settings())
}

pub(crate) fn client_with(settings: Settings) -> Client {
    Client::new(network(Names::default()), egress(&["127.0.0.0/8", "*.test"]), settings)
}

pub(crate) fn settings() -> Settings {
    let patience = Duration::from_secs(20);
    Settings {
        connect_timeout: patience,
        first_byte_timeout: patience,
        between_bytes_timeout: patience,
        ..Settings::default()
    }
}

pub(crate) type Empties = Empty<Bytes>;

pub(crate) fn get(url: impl AsRef<str>) -> Request<UnsyncBoxBody<Bytes, Error>> {
    let body = Empties::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(url.as_ref()).body(body).unwrap()
}

pub(crate) fn post(url: impl AsRef<str>, body: &str) -> Request<UnsyncBoxBody<Bytes, Error>> {
    let body = Full::new(Bytes::from(body.to_owned()));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    Request::post(url.as_ref()).body(body).unwrap()
}

/// A part of a body, or why there is none.
pub(crate) type Part = Result<Frame<Bytes>, Error>;

/// A body that is written while it is being sent.
pub(crate) fn channel() -> (mpsc::Sender<Part>, UnsyncBoxBody<Bytes, Error>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let stream = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (sender, StreamBody::new(stream).boxed_unsync())
}

pub(crate) fn data(text: &'static str) -> Part {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

pub(crate) fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect()
}

/// Sends with defaults.
pub(crate) async fn send<B>(client: &Client, request: Request<B>) -> Result<Exchange, Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    client.send(request, Options::default()).await
}

/// Sends and reads everything; the error may be of either.
pub(crate) async fn fetch<B>(client: &Client, request: Request<B>) -> Result<String, Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    let body = send(client, request).await?.response.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

/// Waits until something holds, or fails the test.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}
