//! How a connection comes about: over TLS if the URL says so, as the user that it names, and with a
//! session.

use super::connection::{Arrivals, Connection};
use super::wire::{self, Came, LARGEST};
use super::{Session, Settings, Terms, fault};
use crate::look::{LOOK, speaks_tls};
use crate::tls::Trust;
use crate::url::Target;
use base::{Error, Result, within};
use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Connect, ConnectProperties, LastWill, Login, Packet};
use rustls::pki_types::ServerName;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// The port where nothing else is said, without TLS and with it.
const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;
/// What a text in a packet may have at most.
const LONGEST: usize = u16::MAX as usize;
/// Nothing is set aside for a packet beyond this before it comes.
const PIECE: usize = 16 << 10;
/// The first byte of the packet with which a server answers.
const ANSWER: u8 = 0x20;

/// What carries the bytes: TCP, or TLS over it.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Makes connections.
pub(super) struct Dialer {
    target: Target,
    /// Whose certificate the server has to show.
    name: ServerName<'static>,
    trust: Trust,
    tls: OnceCell<TlsConnector>,
    /// How often a connection is tried, on which nothing comes.
    beat: Duration,
}

impl Dialer {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let wrong = |what: &str| {
            Error::invalid(format!("`{}` {what}", base::redact(&settings.url)))
                .with_hint("write `mqtt://[USER:PASSWORD@]HOST[:PORT]`, or `mqtts://…`")
        };
        let no_url = || wrong("is no URL of an MQTT server");
        let port = if settings.url.starts_with("mqtts:") { TLS_PORT } else { PORT };
        let target = Target::read(&settings.url, "mqtt", port).ok_or_else(no_url)?;
        if let Some((user, password)) = &target.user
            && (user.len() > LONGEST || password.reveal().len() > LONGEST)
        {
            return Err(wrong("has a user or a password that MQTT cannot have"));
        }
        let host = target.host.rsplit_once(':').map_or("", |(host, _port)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| no_url().with_source(error))?;
        let beat = settings.timeout.clamp(Duration::from_millis(500), Duration::from_secs(20));
        Ok(Self { target, name, trust: settings.trust.clone(), tls: OnceCell::new(), beat })
    }

    /// `host:port`
    pub(super) fn host(&self) -> &str {
        &self.target.host
    }

    /// The server, as errors name it.
    pub(super) fn server(&self) -> String {
        format!("mqtt {}", self.host())
    }

    /// A connection that the server has let in, with what comes on it.
    pub(super) async fn connect(&self, session: &Session) -> Result<(Connection, Arrivals)> {
        let server = self.server();
        let mut wire = self.wire().await?;
        let mut bytes = BytesMut::new();
        self.hello(session, self.login())
            .write(&mut bytes, None)
            .map_err(|error| Error::internal("writing a packet").with_source(error))?;
        let way = |error| fault::of_way(&server, error);
        wire.write_all(&bytes).await.map_err(way)?;
        wire.flush().await.map_err(way)?;
        bytes.clear();
        let answer = self.answer(&mut *wire, &mut bytes).await?;
        if let Some(error) = fault::of_connect(&server, answer.code) {
            return Err(error);
        }
        let terms = terms(session, &answer);
        Ok(Connection::over(wire, bytes, server, terms, self.beat))
    }

    async fn wire(&self) -> Result<Box<dyn Wire>> {
        let way = |error| fault::of_way(&self.server(), error);
        let stream = TcpStream::connect(self.host()).await.map_err(way)?;
        stream.set_nodelay(true).map_err(way)?;
        if !self.target.tls {
            return Ok(Box::new(stream));
        }
        let connector = self.tls.get_or_try_init(|| self.connector()).await?;
        Ok(Box::new(connector.connect(self.name.clone(), stream).await.map_err(way)?))
    }

    async fn connector(&self) -> Result<TlsConnector> {
        let trust = self.trust.clone();
        let setup = |error| Error::internal("setting up TLS").with_source(error);
        // It may read the system's authorities.
        let made = tokio::task::spawn_blocking(move || trust.client(&[])).await.map_err(setup)?;
        Ok(TlsConnector::from(made.map_err(|error| error.context(self.server()))?))
    }

    /// What the client says first.
    fn hello(&self, session: &Session, login: Option<Login>) -> Packet {
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(seconds(session.expiry));
        properties.receive_maximum = Some(session.window.max(1));
        properties.max_packet_size = Some(LARGEST);
        // Three times in a row nothing comes before either side takes the other for lost.
        let keep_alive = u16::try_from(self.beat.as_secs() * 3).unwrap_or(u16::MAX).max(5);
        let connect = Connect {
            keep_alive,
            client_id: session.id.clone(),
            clean_start: session.is_clean,
            properties: Some(properties),
        };
        let will = session.clears.as_ref().map(|topic| LastWill {
            topic: Bytes::copy_from_slice(topic.as_bytes()),
            message: Bytes::new(),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: None,
        });
        Packet::Connect(connect, will, login)
    }

    fn login(&self) -> Option<Login> {
        let (user, password) = self.target.user.as_ref()?;
        Some(Login { username: user.clone(), password: password.reveal().to_owned() })
    }

    /// What the server says to that.
    async fn answer(&self, wire: &mut dyn Wire, bytes: &mut BytesMut) -> Result<ConnAck> {
        let server = self.server();
        loop {
            if bytes.first().is_some_and(|first| *first != ANSWER) {
                // Only who is no server of MQTT says anything else first.
                drop(within(LOOK, wire.read_buf(bytes)).await);
                return Err(fault::strange(&server, bytes));
            }
            // One of an older version is shorter.
            let is_older = bytes.get(1) == Some(&2);
            match wire::read(bytes) {
                Ok(Came::Packet(packet)) => {
                    return match *packet {
                        Packet::ConnAck(answer) => Ok(answer),
                        _ => Err(fault::strange(&server, bytes)),
                    };
                }
                Ok(Came::Part(_)) => {}
                _ if is_older => return Err(fault::too_old(&server)),
                _ => return Err(fault::strange(&server, bytes)),
            }
            bytes.reserve(PIECE);
            let length =
                wire.read_buf(bytes).await.map_err(|error| fault::of_way(&server, error))?;
            if length == 0 {
                let hung_up = io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up");
                return Err(fault::of_way(&server, hung_up));
            }
        }
    }

    /// Looks whether a server that has no answer has one for who speaks TLS, or for who does not.
    pub(super) async fn mistaken(&self) -> Option<Error> {
        let server = self.server();
        if !self.target.tls {
            let speaks = within(LOOK, speaks_tls(self.host())).await.unwrap_or(false);
            return speaks.then(|| fault::only_tls(&server));
        }
        let plain = async {
            let mut wire = TcpStream::connect(self.host()).await.ok()?;
            let session = Session {
                id: "wharf-look".to_owned(),
                is_clean: true,
                expiry: Duration::ZERO,
                window: 1,
                clears: None,
            };
            let mut bytes = BytesMut::new();
            // Without the password, which is for who speaks TLS.
            self.hello(&session, None).write(&mut bytes, None).ok()?;
            wire.write_all(&bytes).await.ok()?;
            Some(wire.read_u8().await.ok()? == ANSWER)
        };
        let speaks = within(LOOK, plain).await.ok().flatten().unwrap_or(false);
        speaks.then(|| fault::no_tls(&server))
    }
}

/// Whole seconds, of which there are never more than the server can count.
fn seconds(time: Duration) -> u32 {
    // The largest number is without end.
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).min(u32::MAX - 1)
}

fn terms(session: &Session, answer: &ConnAck) -> Terms {
    let properties = answer.properties.as_ref();
    let expiry = properties.and_then(|said| said.session_expiry_interval);
    let is_not = |value: Option<u8>| value != Some(0);
    let packet = properties.and_then(|said| said.max_packet_size);
    Terms {
        is_known: answer.session_present,
        expiry: expiry.map_or(session.expiry, |seconds| Duration::from_secs(seconds.into())),
        packet: usize::try_from(packet.unwrap_or(u32::MAX)).unwrap_or(usize::MAX),
        window: properties.and_then(|said| said.receive_max).unwrap_or(u16::MAX).max(1),
        acknowledges: is_not(properties.and_then(|said| said.max_qos)),
        retains: is_not(properties.and_then(|said| said.retain_available)),
        wildcards: is_not(properties.and_then(|said| said.wildcard_subscription_available)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Kind;

    fn dialer(url: &str) -> Result<Dialer> {
        let (url, trust) = (url.to_owned(), Trust::default());
        Dialer::new(&Settings { url, trust, timeout: LOOK, in_flight: 1 })
    }

    #[test]
    fn a_url_is_a_host_a_port_and_a_user() {
        for (url, host) in [
            ("mqtt://broker.example", "broker.example:1883"),
            ("mqtts://broker.example/", "broker.example:8883"),
            ("mqtt://me:pass%20word@[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(dialer(url).unwrap().host(), host);
        }
        for wrong in ["mqtt:", "mqtt://", "mqtt://h/path", "mqttx://h", "mqtt://me:hunter2@h/path"]
        {
            let error = dialer(wrong).err().unwrap();
            assert_eq!(error.kind(), Kind::Invalid, "{wrong}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
