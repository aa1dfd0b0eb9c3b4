//! HTTP servers of a test's own, in its process.

use super::client::beside;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use http_types::{HeaderName, HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What a server answers.
pub(crate) type Reply = Response<BoxBody<Bytes, hyper::Error>>;

/// A server that speaks both versions of HTTP. Dropped, it closes everything.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    connections: AtomicUsize,
}

impl Server {
    /// A server on a free port that answers so.
    pub(crate) fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        Self::at(free(), None, answer)
    }

    /// The same over TLS.
    pub(crate) fn secure<F, R>(tls: ServerConfig, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        Self::at(free(), Some(tls), answer)
    }

    /// A server whose address is known before.
    pub(crate) fn at<F, R>(listener: TcpListener, tls: Option<ServerConfig>, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let tls = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let seen = Arc::clone(&counts);
        let accepting = beside(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, SeqCst);
                let (answer, seen, tls) = (answer.clone(), Arc::clone(&seen), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => speak(stream, answer, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                speak(stream, answer, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, counts, accepting }
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(SeqCst)
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn speak<S, F, R>(stream: S, answer: F, counts: Arc<Counts>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    let service = service_fn(move |request| {
        counts.requests.fetch_add(1, SeqCst);
        let reply = answer(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // How the connection ended is for the test to see at its other end.
    drop(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
}

/// A listener on a free port.
pub(crate) fn free() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.4:0").unwrap().local_addr().unwrap()
}

/// A short answer.
pub(crate) fn reply(status: u16, text: &str) -> Reply {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes()));
    let body = body.map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).unwrap()
}

/// Adds a header field to an answer.
pub(crate) fn field(mut reply: Reply, name: &'static str, value: &str) -> Reply {
    reply.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    reply
}

/// Answers with the request: its head in header fields, its body and trailers as they come.
pub(crate) async fn echo(request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let mut reply = Response::new(body.boxed());
    let headers = reply.headers_mut();
    let mut add = |name: &str, value: &[u8]| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    };
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    add("x-method", head.method.as_str().as_bytes());
    add("x-path", path.as_bytes());
    add("x-version", if head.version == Version::HTTP_2 { b"2" } else { b"1" });
    if let Some(authority) = head.uri.authority() {
        add("x-authority", authority.as_str().as_bytes());
    }
    for (name, value) in &head.headers {
        add(&format!("x-echo-{name}"), value.as_bytes());
    }
    reply
}

/// A server for each connection of which `speak` is called once, with its bytes.
pub(crate) fn raw<F, R>(speak: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = free();
    let address = listener.local_addr().unwrap();
    drop(beside(async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            drop(beside(speak(stream)));
        }
    }));
    address
}

/// Reads up to the end of a head, and returns it with what came behind.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A server that says the same to everyone and closes.
pub(crate) fn says(answer: &'static str) -> SocketAddr {
    use tokio::io::AsyncWriteExt as _;
    raw(move |mut stream| async move {
        head(&mut stream).await;
        // Whoever asked may be gone.
        drop(stream.write_all(answer.as_bytes()).await);
        drop(stream.shutdown().await);
    })
}
