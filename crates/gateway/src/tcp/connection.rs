//! One connection, from top to bottom.

use super::attributes::{Known, Server};
use super::flow::{Cut, End, Flow, Sink, Source, straight};
use super::track::{From, Side, Track, Tracked};
use super::{Inlet, Outcome};
use crate::filter::{Link, seats};
use crate::forwarded::Session;
use crate::listener::secure;
use crate::path::Shared;
use crate::upstream::{Connected, Upstream};
use crate::{forwarded, quiet};
use ::filter::{Chain, Peer, Way};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

/// When a silent client is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long what a filter let go may take to pass after it has closed the connection.
const LINGER: Duration = Duration::from_secs(1);

/// Both ends of the connection with the client.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) host: SocketAddr,
}

/// Serves a connection that was accepted.
pub(super) async fn serve(
    inlet: Arc<Inlet>,
    shared: Arc<Shared>,
    stream: TcpStream,
    ends: Ends,
    tls: Option<Arc<ServerConfig>>,
    room: Option<OwnedSemaphorePermit>,
) {
    quiet::count();
    tune(&stream);
    let time = shared.settings.header_timeout;
    let mut passing = Passing::new(inlet, shared, ends, room);
    passing.outcome = match tls {
        None => passing.run(stream, None).await,
        Some(tls) => match secure(stream, tls, time, Some(passing.inlet.name())).await {
            Some(stream) => {
                let session = Session::of(stream.get_ref().1);
                passing.run(stream, Some(session)).await
            }
            None => Outcome::Broken,
        },
    };
}

fn tune(stream: &TcpStream) {
    let keep_alive = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE);
    let tuned = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive));
    if let Err(error) = tuned {
        tracing::debug!(%error, "a connection is served as it is");
    }
}

/// A connection that is served. What is to be done at its end is done when it is dropped, also
/// where that is because the host stops.
struct Passing {
    inlet: Arc<Inlet>,
    shared: Arc<Shared>,
    ends: Ends,
    number: u64,
    track: Arc<Track>,
    server: Arc<OnceLock<Server>>,
    flow: Option<Flow>,
    outcome: Outcome,
    _room: Option<OwnedSemaphorePermit>,
}

impl Passing {
    fn new(
        inlet: Arc<Inlet>,
        shared: Arc<Shared>,
        ends: Ends,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        inlet.counts.begin();
        let (number, track) = (forwarded::number(), Track::new(Arc::clone(&inlet)));
        let (server, outcome) = (Arc::default(), Outcome::Stopped);
        Self { inlet, shared, ends, number, track, server, flow: None, outcome, _room: room }
    }

    async fn run<S>(&mut self, client: S, session: Option<Arc<Session>>) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let leads = self.inlet.leads();
        if !leads.filters.is_empty() {
            let Ends { client: source, host } = self.ends;
            let (destination, number) = (Some(host), self.number);
            let known = Known {
                link: Link { source, destination, session, number },
                cluster: leads.upstream.name().to_owned(),
                server: Arc::clone(&self.server),
            };
            let seats = seats(&self.shared, &leads.filters);
            self.flow = Some(Flow::begin(Chain::tcp(&seats, Box::new(known))));
        }
        let client = Tracked::new(client, From::Client, &self.track);
        let passed = async {
            match &self.flow {
                None => self.straight(client, &leads.upstream).await,
                Some(flow) => self.filtered(client, &leads.upstream, flow).await,
            }
        };
        tokio::select! {
            biased;
            outcome = passed => outcome,
            () = self.track.idle(self.inlet.settings.idle_timeout) => Outcome::TimedOut,
        }
    }

    /// Everything passes as it is.
    async fn straight<S>(&self, client: S, upstream: &Upstream) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        let Some(connected) = self.connect(upstream).await else { return Outcome::Refused };
        let Connected { stream, held: _held } = connected;
        let (client_reads, client_writes) = split(client);
        let server = Tracked::new(stream, From::Server, &self.track);
        let (server_reads, server_writes) = split(server);
        let up = straight(client_reads, server_writes);
        let down = straight(server_reads, client_writes);
        self.outcome(tokio::try_join!(up, down))
    }

    /// Everything passes through filters.
    async fn filtered<S>(&self, client: S, upstream: &Upstream, flow: &Flow) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        let (client_reads, client_writes) = split(client);
        let (mut client, mut to_client) =
            (Source::new(Way::Request, client_reads), Sink::new(client_writes));
        let connected = tokio::select! {
            biased;
            _ = flow.filtered() => Err(Cut::Filtered),
            connected = async {
                flow.open(&mut client).await?;
                Ok(self.connect(upstream).await)
            } => connected,
        };
        let Connected { stream, held: _held } = match connected {
            Ok(Some(connected)) => connected,
            Ok(None) => return Outcome::Refused,
            Err(cut) => {
                self.track.close();
                let rest = async {
                    flow.rest(Way::Response, &mut to_client).await;
                    client.discard().await;
                };
                // Who does not take it in time does without.
                drop(tokio::time::timeout(LINGER, rest).await);
                return self.outcome(Err(cut));
            }
        };
        let (server_reads, server_writes) = split(Tracked::new(stream, From::Server, &self.track));
        let (mut server, mut to_server) =
            (Source::new(Way::Response, server_reads), Sink::new(server_writes));
        let passed = tokio::select! {
            biased;
            cut = flow.filtered() => Err(cut),
            passed = async {
                let up = flow.carry(&mut client, &mut to_server);
                let down = flow.carry(&mut server, &mut to_client);
                tokio::try_join!(up, down)
            } => passed,
        };
        if let Err(Cut::Filtered) = &passed {
            let up = flow.rest(Way::Request, &mut to_server);
            let down = flow.rest(Way::Response, &mut to_client);
            self.track.close();
            let rest = async {
                tokio::join!(up, down);
                tokio::join!(client.discard(), server.discard());
            };
            drop(tokio::time::timeout(LINGER, rest).await);
        }
        self.outcome(passed)
    }

    async fn connect(&self, upstream: &Upstream) -> Option<Connected> {
        let (source, patience) = (self.ends.client.ip(), self.inlet.settings.idle_timeout);
        let connected = upstream.connect(source, patience).await.ok()?;
        let (address, local) = (connected.held.address(), connected.stream.local().ok());
        // There is one for each connection.
        drop(self.server.set(Server { address, local }));
        Some(connected)
    }

    fn outcome(&self, passed: Result<(End, End), Cut>) -> Outcome {
        match passed {
            Ok((End::Whole, End::Whole)) => Outcome::Ended,
            Ok(_) => Outcome::Broken,
            Err(Cut::Filtered) => Outcome::Filtered,
            Err(Cut::Broken(error)) => {
                let listener = self.inlet.name();
                tracing::debug!(listener, connection = self.number, %error, "a side broke off");
                Outcome::Broken
            }
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let peer = |side: &Side| if side.is_over() { Peer::Remote } else { Peer::Local };
        let (track, server) = (&self.track, self.server.get());
        if let Some(flow) = self.flow.take() {
            flow.end(peer(&track.client), server.map(|_| peer(&track.server)));
        }
        self.inlet.counts.end(self.outcome);
        if !self.inlet.settings.access_log {
            return;
        }
        tracing::info!(
            target: "wharf::access",
            listener = self.inlet.name(),
            connection = self.number,
            client = %self.ends.client,
            server = server.map(|server| tracing::field::display(server.address)),
            outcome = self.outcome.word(),
            from_client = track.client.bytes(),
            from_server = track.server.bytes(),
            micros = u64::try_from(track.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        );
    }
}
