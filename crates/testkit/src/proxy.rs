//! A proxy in front of a server, which does to connections what networks do.
#![expect(clippy::expect_used, reason = "it is how a test fails")]

mod storm;

pub use storm::storm;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the network does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Nothing passes, and no connection ends.
    pub stalled: bool,
    /// Answers are lost on their way, and all that would come after them on their connections;
    /// requests arrive.
    pub answers_lost: bool,
    /// New connections are closed at once.
    pub refused: bool,
    /// How much later each piece arrives.
    pub delay: Duration,
    /// How long after its first half the second half of each piece arrives. With none, pieces
    /// arrive whole.
    pub fragment_pause: Duration,
    /// Of a request the first half arrives, then its connection is closed and reset.
    pub requests_torn: bool,
    /// Of an answer the first half arrives, then its connection is closed and reset: its reader may
    /// meet either first.
    pub answers_torn: bool,
    /// Counts how often all connections were reset.
    cuts: u64,
}

impl Weather {
    /// Makes it fair again. Connections that are cut stay so.
    pub fn clear(&mut self) {
        *self = Self { cuts: self.cuts, ..Self::default() };
    }
}

/// A running proxy. Ends with its connections when dropped.
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A proxy in front of `server`, in fair weather.
    ///
    /// # Panics
    /// If there is no port for it.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (weather, forecast) = watch::channel(Weather::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Way { server, proxy: address }, forecast));
        Self { address, weather, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Resets every connection that is open.
    pub fn cut(&self) {
        self.change(|weather| weather.cuts += 1);
    }
}

/// Where a connection leads, and where it seems to.
#[derive(Clone, Copy)]
struct Way {
    server: SocketAddr,
    proxy: SocketAddr,
}

impl Way {
    /// A server of Kafka says where it is found: its host and its port, which its clients go to. So
    /// this is changed to what they shall find.
    fn rename(self, answer: &mut [u8]) {
        let end = |address: SocketAddr| {
            let port = u32::from(address.port()).to_be_bytes();
            [address.ip().to_string().as_bytes(), &port].concat()
        };
        let (from, to) = (end(self.server), end(self.proxy));
        let mut at = 0;
        while let Some(rest) = answer.get_mut(at..)
            && let Some(found) = rest.windows(from.len()).position(|piece| piece == from)
        {
            at += found + from.len();
            if let Some(piece) = rest.get_mut(found..found + from.len()) {
                // Both are on this machine, so they are equally long.
                piece.copy_from_slice(&to);
            }
        }
    }
}

async fn accept(listener: TcpListener, way: Way, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(relay(client, way, weather.clone()));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn relay(client: TcpStream, way: Way, mut weather: watch::Receiver<Weather>) {
    // What is closed without a word looks like a reset.
    let _resets = client.set_zero_linger();
    let begun = *weather.borrow_and_update();
    if begun.refused {
        return;
    }
    let Ok(server) = TcpStream::connect(way.server).await else { return };
    let _at_once = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = pass(from_client, to_server, weather.clone(), None);
    let answers = pass(from_server, to_client, weather.clone(), Some(way));
    tokio::select! {
        _ended_or_torn = async { tokio::try_join!(requests, answers) } => {}
        _ = weather.wait_for(|weather| weather.cuts != begun.cuts) => {}
    }
}

/// A connection is to end, as something on it arrived by half.
struct Torn;

/// Passes one direction of a connection on, as the weather is when each piece comes: requests, or
/// answers, which come a way.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    answers: Option<Way>,
) -> Result<(), Torn> {
    let mut piece = vec![0; 16 << 10];
    // What comes after a gap is of no use to anybody.
    let mut lost = false;
    loop {
        let Ok(length) = from.read(&mut piece).await else { return Ok(()) };
        if weather.wait_for(|weather| !weather.stalled).await.is_err() {
            return Ok(());
        }
        let now = *weather.borrow();
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        if length == 0 {
            drop(to.shutdown().await);
            return Ok(());
        }
        lost |= answers.is_some() && now.answers_lost;
        if lost {
            continue;
        }
        if let Some(way) = answers {
            way.rename(piece.get_mut(..length).unwrap_or_default());
        }
        let torn = if answers.is_some() { now.answers_torn } else { now.requests_torn };
        let first = if torn || !now.fragment_pause.is_zero() { length / 2 } else { 0 };
        let (first, second) = piece.get(..length).unwrap_or_default().split_at(first);
        if to.write_all(first).await.is_err() {
            return Ok(());
        }
        if torn {
            return Err(Torn);
        }
        if !now.fragment_pause.is_zero() {
            tokio::time::sleep(now.fragment_pause).await;
        }
        if to.write_all(second).await.is_err() {
            return Ok(());
        }
    }
}
