//! Imports all of WASI 0.3 and calls each part of it once; the answer is a line for each part, as
//! `imports-everything` gives it. Without files and environment it works as well.
use kit_p3::kebab;
use wasip3::cli::{
    environment, stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasip3::clocks::{monotonic_clock, system_clock};
use wasip3::exports::http::handler::Guest;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::random::{insecure, insecure_seed, random};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::wit_stream;

struct Everything;

impl Guest for Everything {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let parts = [
            ("environment", environment::get_environment().len().to_string()),
            ("arguments", environment::get_arguments().len().to_string()),
            ("directory", format!("{:?}", environment::get_initial_cwd())),
            ("streams", streams().await),
            ("terminals", terminals()),
            ("files", files().await),
            ("clocks", clocks().await),
            ("random", randoms()),
            ("sockets", sockets().await),
        ];
        let lines = parts.map(|(part, said)| format!("{part}: {said}\n"));
        Ok(kit_p3::answer(200, lines.concat()))
    }
}

async fn streams() -> String {
    let (input, _) = stdin::read_via_stream();
    let waiting = input.collect().await.len();
    let (mut writer, bytes) = wit_stream::new();
    let written = stdout::write_via_stream(bytes);
    writer.write_all(b"to standard output\n".to_vec()).await;
    drop(writer);
    written.await.unwrap();
    let (mut writer, bytes) = wit_stream::new();
    let written = stderr::write_via_stream(bytes);
    writer.write_all(b"to standard error\n".to_vec()).await;
    drop(writer);
    written.await.unwrap();
    format!("{waiting} bytes of input")
}

fn terminals() -> String {
    let input = terminal_stdin::get_terminal_stdin().is_some();
    let output = terminal_stdout::get_terminal_stdout().is_some();
    let errors = terminal_stderr::get_terminal_stderr().is_some();
    format!("{input} {output} {errors}")
}

async fn files() -> String {
    let folders = preopens::get_directories();
    for (folder, _) in &folders {
        let name = "there is no such file".to_owned();
        let (open, flags) = (OpenFlags::empty(), DescriptorFlags::READ);
        let opened = folder.open_at(PathFlags::empty(), name, open, flags).await;
        assert!(opened.is_err(), "a file that nobody wrote was opened");
    }
    format!("{} folders", folders.len())
}

async fn clocks() -> String {
    let start = monotonic_clock::now();
    monotonic_clock::wait_for(1_000_000).await;
    let passed = monotonic_clock::now() - start >= 1_000_000;
    format!("{passed}, after 2020: {}", system_clock::now().seconds > 1_577_836_800)
}

fn randoms() -> String {
    let length = random::get_random_bytes(8).len() + insecure::get_insecure_random_bytes(8).len();
    let _ = insecure_seed::get_insecure_seed();
    format!("{length} bytes")
}

/// What happens without a right to it is for the host to say; the calls must be there.
async fn sockets() -> String {
    let somewhere = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 9, address: (127, 0, 0, 1) });
    let tcp = match TcpSocket::create(IpAddressFamily::Ipv4) {
        Ok(socket) => socket.connect(somewhere).await,
        Err(error) => Err(error),
    };
    let udp = UdpSocket::create(IpAddressFamily::Ipv4).and_then(|socket| socket.bind(somewhere));
    let name = resolve_addresses("localhost".to_owned()).await;
    let (tcp, udp, name) = (said(tcp), said(udp), said(name.map(drop)));
    format!("tcp {tcp}, udp {udp}, name {name}")
}

fn said<E: std::fmt::Debug>(outcome: Result<(), E>) -> String {
    outcome.err().map_or("fine".to_owned(), |code| kebab(&code))
}

wasip3::http::service::export!(Everything);
