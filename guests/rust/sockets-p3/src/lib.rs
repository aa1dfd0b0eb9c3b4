//! Raw sockets of WASI 0.3, asked over HTTP. Errors are 500 with the name of the code.
//!
//! The paths of `sockets`, and of its own `/udp-connected?to=IPV4:PORT&send=TEXT`: the datagram
//! goes to the address that the socket was connected to.
use kit_p3::{Target, kebab};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::wit_stream;

struct Sockets;

impl Guest for Sockets {
    async fn handle(request: Request) -> std::result::Result<Response, ErrorCode> {
        let target = kit_p3::target(&request);
        Ok(kit_p3::answer_outcome(act(&target).await.map(Some)))
    }
}

type Result<T> = std::result::Result<T, String>;

async fn act(target: &Target) -> Result<Vec<u8>> {
    let send = target.text("send");
    match target.path() {
        "/connect" => talk(address(target, "to")?, send).await,
        "/resolve" => {
            let addresses = resolve(target).await?;
            let lines: Vec<String> = addresses.into_iter().map(shown).collect();
            Ok(lines.join("\n").into_bytes())
        }
        "/dial" => dial(target, send).await,
        "/listen" => listen(address(target, "at")?),
        "/udp" => datagram(address(target, "to")?, send).await,
        "/udp-connected" => connected_datagram(address(target, "to")?, send).await,
        "/udp-ask" => ask(address(target, "to")?, send).await,
        _ => Err("no such path".to_owned()),
    }
}

fn code(code: impl std::fmt::Debug) -> String {
    kebab(&code)
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
            Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string()
        }
    }
}

async fn talk(to: SocketAddrV4, send: String) -> Result<Vec<u8>> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(code)?;
    socket.connect(ip(to)).await.map_err(code)?;
    let (mut writer, bytes) = wit_stream::new();
    let sent = socket.send(bytes);
    writer.write_all(send.into_bytes()).await;
    // The end of the stream shuts down this direction.
    drop(writer);
    sent.await.map_err(code)?;
    let (answer, received) = socket.receive();
    let answer = answer.collect().await;
    received.await.map_err(code)?;
    Ok(answer)
}

async fn resolve(target: &Target) -> Result<Vec<IpAddress>> {
    resolve_addresses(target.text("name")).await.map_err(code)
}

async fn dial(target: &Target, send: String) -> Result<Vec<u8>> {
    let first = resolve(target).await?.into_iter().find_map(|address| match address {
        IpAddress::Ipv4((a, b, c, d)) => Some(Ipv4Addr::new(a, b, c, d)),
        IpAddress::Ipv6(_) => None,
    });
    let address = first.ok_or("no-address")?;
    talk(SocketAddrV4::new(address, target.number("port", 80)), send).await
}

fn listen(at: SocketAddrV4) -> Result<Vec<u8>> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(code)?;
    socket.bind(ip(at)).map_err(code)?;
    let _connections = socket.listen().map_err(code)?;
    Ok(b"listening".to_vec())
}

async fn datagram(to: SocketAddrV4, send: String) -> Result<Vec<u8>> {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4).map_err(code)?;
    socket.send(send.into_bytes(), Some(ip(to))).await.map_err(code)?;
    Ok(b"sent".to_vec())
}

async fn connected_datagram(to: SocketAddrV4, send: String) -> Result<Vec<u8>> {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4).map_err(code)?;
    socket.connect(ip(to)).map_err(code)?;
    socket.send(send.into_bytes(), None).await.map_err(code)?;
    Ok(b"sent".to_vec())
}

async fn ask(to: SocketAddrV4, send: String) -> Result<Vec<u8>> {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4).map_err(code)?;
    socket.send(send.into_bytes(), Some(ip(to))).await.map_err(code)?;
    let (answer, _from) = socket.receive().await.map_err(code)?;
    Ok(answer)
}

wasip3::http::service::export!(Sockets);
