//! Raw sockets, asked over HTTP. Errors are 500 with the name of the code.
//!
//! | path | does |
//! |---|---|
//! | `/connect?to=IPV4:PORT&send=TEXT` | connects, sends, answers all that comes back |
//! | `/resolve?name=` | the addresses of a name, one a line |
//! | `/dial?name=&port=&send=TEXT` | both: connects to the first IPv4 address of the name |
//! | `/listen?at=IPV4:PORT` | listens and answers `listening` |
//! | `/udp?to=IPV4:PORT&send=TEXT` | sends one datagram, answers `sent` |
//! | `/udp-ask?to=IPV4:PORT&send=TEXT` | sends one, answers the first that comes to the socket |
use std::net::{Ipv4Addr, SocketAddrV4};

use kit_p2::{Target, kebab};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::io::streams::StreamError;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress,
};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{OutgoingDatagram, OutgoingDatagramStream, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

struct Sockets;

impl Guest for Sockets {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let send = target.text("send");
        let outcome = match target.path() {
            "/connect" => address(&target, "to").and_then(|to| talk(to, &send)),
            "/resolve" => resolve(&target.text("name")).map(|addresses| {
                let lines: Vec<String> = addresses.into_iter().map(shown).collect();
                lines.join("\n").into_bytes()
            }),
            "/dial" => dial(&target, &send),
            "/listen" => address(&target, "at").and_then(listen),
            "/udp" => address(&target, "to").and_then(|to| datagram(to, &send)),
            "/udp-ask" => address(&target, "to").and_then(|to| ask(to, &send)),
            _ => return kit_p2::answer(out, 404, b"no such path"),
        };
        kit_p2::answer_outcome(out, outcome.map(Some));
    }
}

type Result<T> = std::result::Result<T, String>;

fn code(code: ErrorCode) -> String {
    code.name().to_owned()
}

fn address(target: &Target, name: &str) -> Result<SocketAddrV4> {
    target.text(name).parse().map_err(|_| "no-address".to_owned())
}

fn ip(address: SocketAddrV4) -> IpSocketAddress {
    let [a, b, c, d] = address.ip().octets();
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
}

fn shown(address: IpAddress) -> String {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).to_string(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
            std::net::Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string()
        }
    }
}

/// Calls until the answer is something else than "not yet".
fn settle<T>(
    socket: &TcpSocket,
    call: impl Fn() -> std::result::Result<T, ErrorCode>,
) -> Result<T> {
    loop {
        match call() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            other => return other.map_err(code),
        }
    }
}

fn talk(to: SocketAddrV4, send: &str) -> Result<Vec<u8>> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(code)?;
    socket.start_connect(&instance_network(), ip(to)).map_err(code)?;
    let (input, output) = settle(&socket, || socket.finish_connect())?;
    kit_p2::write_all(&output, send.as_bytes()).map_err(|error| kebab(&error))?;
    socket.shutdown(ShutdownType::Send).map_err(code)?;
    let mut answer = Vec::new();
    loop {
        match input.blocking_read(64 * 1024) {
            Ok(bytes) => answer.extend(bytes),
            Err(StreamError::Closed) => return Ok(answer),
            Err(error) => return Err(kebab(&error)),
        }
    }
}

fn resolve(name: &str) -> Result<Vec<IpAddress>> {
    let stream = resolve_addresses(&instance_network(), name).map_err(code)?;
    let mut addresses = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Ok(Some(address)) => addresses.push(address),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            Err(error) => return Err(code(error)),
        }
    }
}

fn dial(target: &Target, send: &str) -> Result<Vec<u8>> {
    let addresses = resolve(&target.text("name"))?;
    let first = addresses.into_iter().find_map(|address| match address {
        IpAddress::Ipv4((a, b, c, d)) => Some(Ipv4Addr::new(a, b, c, d)),
        IpAddress::Ipv6(_) => None,
    });
    let address = first.ok_or("no-address")?;
    talk(SocketAddrV4::new(address, target.number("port", 80)), send)
}

fn listen(at: SocketAddrV4) -> Result<Vec<u8>> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(code)?;
    socket.start_bind(&instance_network(), ip(at)).map_err(code)?;
    settle(&socket, || socket.finish_bind())?;
    socket.start_listen().map_err(code)?;
    settle(&socket, || socket.finish_listen())?;
    Ok(b"listening".to_vec())
}

/// A socket for datagrams that is bound to any port.
fn udp_socket() -> Result<UdpSocket> {
    let socket = create_udp_socket(IpAddressFamily::Ipv4).map_err(code)?;
    let any = ip(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    socket.start_bind(&instance_network(), any).map_err(code)?;
    while let Err(error) = socket.finish_bind() {
        match error {
            ErrorCode::WouldBlock => socket.subscribe().block(),
            error => return Err(code(error)),
        }
    }
    Ok(socket)
}

fn post(outgoing: &OutgoingDatagramStream, send: &str, to: Option<SocketAddrV4>) -> Result<()> {
    while outgoing.check_send().map_err(code)? == 0 {
        outgoing.subscribe().block();
    }
    let datagram = OutgoingDatagram { data: send.into(), remote_address: to.map(ip) };
    outgoing.send(&[datagram]).map(drop).map_err(code)
}

fn datagram(to: SocketAddrV4, send: &str) -> Result<Vec<u8>> {
    let socket = udp_socket()?;
    let (_, outgoing) = socket.stream(Some(ip(to))).map_err(code)?;
    post(&outgoing, send, None)?;
    Ok(b"sent".to_vec())
}

fn ask(to: SocketAddrV4, send: &str) -> Result<Vec<u8>> {
    let socket = udp_socket()?;
    let (incoming, outgoing) = socket.stream(None).map_err(code)?;
    post(&outgoing, send, Some(to))?;
    loop {
        match incoming.receive(1).map_err(code)?.pop() {
            Some(datagram) => return Ok(datagram.data),
            None => incoming.subscribe().block(),
        }
    }
}

wasip2::http::proxy::export!(Sockets);
