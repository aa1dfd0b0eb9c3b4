//! Imports all of WASI 0.2, as programs of Go and other large runtimes do, and calls each part of
//! it once; the answer is a line for each part. Without files and environment it works as well.
use wasip2::cli::{
    environment, stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random::{insecure, insecure_seed, random};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

struct Everything;

impl Guest for Everything {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let parts = [
            ("environment", environment::get_environment().len().to_string()),
            ("arguments", environment::get_arguments().len().to_string()),
            ("directory", format!("{:?}", environment::initial_cwd())),
            ("streams", streams()),
            ("terminals", terminals()),
            ("files", files()),
            ("clocks", clocks()),
            ("random", randoms()),
            ("sockets", sockets()),
        ];
        let lines = parts.map(|(part, said)| format!("{part}: {said}\n"));
        kit_p2::answer(out, 200, lines.concat().as_bytes());
    }
}

fn streams() -> String {
    let waiting = stdin::get_stdin().read(1).map_or(0, |bytes| bytes.len());
    stdout::get_stdout().blocking_write_and_flush(b"to standard output\n").unwrap();
    stderr::get_stderr().blocking_write_and_flush(b"to standard error\n").unwrap();
    format!("{waiting} bytes of input")
}

fn terminals() -> String {
    let input = terminal_stdin::get_terminal_stdin().is_some();
    let output = terminal_stdout::get_terminal_stdout().is_some();
    let errors = terminal_stderr::get_terminal_stderr().is_some();
    format!("{input} {output} {errors}")
}

fn files() -> String {
    let folders = preopens::get_directories();
    for (folder, _) in &folders {
        let opened = folder.open_at(
            PathFlags::empty(),
            "there is no such file",
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        assert!(opened.is_err(), "a file that nobody wrote was opened");
    }
    format!("{} folders", folders.len())
}

fn clocks() -> String {
    let start = monotonic_clock::now();
    monotonic_clock::subscribe_duration(1_000_000).block();
    let passed = monotonic_clock::now() - start >= 1_000_000;
    format!("{passed}, after 2020: {}", wall_clock::now().seconds > 1_577_836_800)
}

fn randoms() -> String {
    let length = random::get_random_bytes(8).len() + insecure::get_insecure_random_bytes(8).len();
    let _ = insecure_seed::insecure_seed();
    format!("{length} bytes")
}

/// What happens without a right to it is for the host to say; the calls must be there.
fn sockets() -> String {
    let network = instance_network();
    let somewhere = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 9, address: (127, 0, 0, 1) });
    let tcp = create_tcp_socket(IpAddressFamily::Ipv4)
        .and_then(|socket| socket.start_connect(&network, somewhere));
    let udp = create_udp_socket(IpAddressFamily::Ipv4)
        .and_then(|socket| socket.start_bind(&network, somewhere));
    let name = resolve_addresses(&network, "localhost").map(drop);
    let said = |outcome: Result<(), ErrorCode>| outcome.err().map_or("fine", |code| code.name());
    format!("tcp {}, udp {}, name {}", said(tcp), said(udp), said(name))
}

wasip2::http::proxy::export!(Everything);
