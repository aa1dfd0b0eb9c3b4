//! A plain hyper server with the answer of the hello guests: what HTTP costs without WebAssembly.
#![expect(clippy::print_stderr, reason = "the first line on stderr says the address")]

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use http_types::{Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("Serving HTTP on http://{}/", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            #[expect(clippy::disallowed_methods, reason = "this server is ended, never drained")]
            tokio::spawn(serve(stream));
        }
    })
}

async fn serve(stream: TcpStream) {
    let service = service_fn(|_: Request<hyper::body::Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"Hello, world"))))
    });
    // A client that goes away ends its connection, and nothing else.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}
