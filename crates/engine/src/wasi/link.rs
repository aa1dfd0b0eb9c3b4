//! Which standard interface is served by what.
//!
//! Interface by interface, because the getters matter: streams need only the handles, and a
//! request that touches nothing else never pays for the rest.

use super::names::HasLookup;
use crate::{Ctx, Kind};
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Adds all of WASI that `kind` can carry.
pub(crate) fn link(linker: &mut Linker<Ctx>, kind: Kind) -> wasmtime::Result<()> {
    io(linker)?;
    p2(linker)?;
    p2_sockets(linker)?;
    if kind != Kind::Plain {
        p3(linker)?;
    }
    Ok(())
}

fn io(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io::{error, poll, streams};
    error::add_to_linker::<_, HasTable>(linker, Ctx::handles)?;
    poll::add_to_linker::<_, HasTable>(linker, Ctx::handles)?;
    streams::add_to_linker::<_, HasTable>(linker, Ctx::handles)
}

fn p2(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::{LinkOptions, cli, clocks, filesystem, random, sockets};
    let options = LinkOptions::default();
    let l = linker;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, Ctx::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, Ctx::clocks)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, Ctx::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, Ctx::filesystem)?;
    random::random::add_to_linker::<_, WasiRandom>(l, Ctx::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, Ctx::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, Ctx::random)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, Ctx::cli)?;
    sockets::network::add_to_linker::<_, WasiSockets>(l, &(&options).into(), Ctx::sockets)
}

fn p2_sockets(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::sockets;
    let l = linker;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(l, Ctx::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, Ctx::sockets)?;
    sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, Ctx::sockets)?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(l, Ctx::sockets)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(l, Ctx::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<_, HasLookup>(l, Ctx::lookup)
}

fn p3(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p3::{bindings, cli, clocks, filesystem, random};
    cli::add_to_linker(linker)?;
    clocks::add_to_linker(linker)?;
    filesystem::add_to_linker(linker)?;
    random::add_to_linker(linker)?;
    bindings::sockets::types::add_to_linker::<_, WasiSockets>(linker, Ctx::sockets)?;
    bindings::sockets::ip_name_lookup::add_to_linker::<_, HasLookup>(linker, Ctx::lookup)
}
