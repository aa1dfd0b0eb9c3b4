//! A server of another kind than any that a binding means: it speaks HTTP.
#![expect(clippy::expect_used, reason = "it is how a test fails")]

use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running server, which finds every request bad. Ends when dropped.
pub struct Stranger {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Stranger {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no port for it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener));
        Self { address, _serving: serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) {
    let mut asked = [0; 1024];
    // Who has gone needs no answer.
    drop(stream.read(&mut asked).await);
    drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
}
