//! The standard interfaces, 0.2 and 0.3, for every component: nothing is granted by default.

mod link;
mod names;

use base::egress::Egress;
use base::{Error, Result};
use names::Names;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

pub(crate) use link::link;

/// What a component is granted of the machine.
#[derive(Clone, Debug, Default)]
pub struct WasiSetup {
    /// Environment variables, in order.
    pub environment: Vec<(String, String)>,
    /// Arguments; the first is the program's name.
    pub arguments: Vec<String>,
    /// Directories.
    pub dirs: Vec<Dir>,
    /// The hosts that sockets and HTTP may reach.
    pub egress: Egress,
    /// Whether standard input is that of the program.
    pub stdin: bool,
    /// Where standard output goes.
    pub stdout: Output,
    /// Where standard error goes.
    pub stderr: Output,
}

/// A directory of the host that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dir {
    /// Its path on the host.
    pub host: PathBuf,
    /// Its path for the guest.
    pub guest: String,
    /// Whether the guest may change anything in it.
    pub writable: bool,
}

/// Where a guest's output goes.
#[derive(Clone, Default)]
pub enum Output {
    /// Nowhere.
    #[default]
    Discard,
    /// To the same stream of the program.
    Inherit,
    /// To a writer that is made for each instance.
    To(Arc<dyn Fn() -> Box<dyn AsyncWrite + Send + Sync> + Send + Sync>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discard => "Discard",
            Self::Inherit => "Inherit",
            Self::To(_) => "To(_)",
        })
    }
}

struct Writer(Arc<dyn Fn() -> Box<dyn AsyncWrite + Send + Sync> + Send + Sync>);

impl IsTerminal for Writer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Writer {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        (self.0)()
    }
}

impl WasiSetup {
    /// Checks that everything granted is there, so that no request finds out.
    ///
    /// # Errors
    /// `NotFound` for a directory that cannot be opened.
    pub fn check(&self) -> Result<()> {
        self.build(&Arc::default()).map(drop)
    }

    fn build(&self, names: &Arc<Names>) -> Result<WasiCtx> {
        let mut builder = WasiCtxBuilder::new();
        builder.envs(&self.environment).args(&self.arguments);
        for dir in &self.dirs {
            let perms = if dir.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            builder.preopened_dir(&dir.host, &dir.guest, perms).map_err(|error| {
                Error::not_found(format!(
                    "opening the directory `{}`: {error:#}",
                    dir.host.display()
                ))
            })?;
        }
        if self.stdin {
            builder.inherit_stdin();
        }
        match &self.stdout {
            Output::Discard => {}
            Output::Inherit => drop(builder.inherit_stdout()),
            Output::To(make) => drop(builder.stdout(Writer(Arc::clone(make)))),
        }
        match &self.stderr {
            Output::Discard => {}
            Output::Inherit => drop(builder.inherit_stderr()),
            Output::To(make) => drop(builder.stderr(Writer(Arc::clone(make)))),
        }
        if !self.egress.is_empty() {
            let names = Arc::clone(names);
            let egress = self.egress.clone();
            builder.allow_ip_name_lookup(true).allow_tcp(true).allow_udp(true);
            builder.socket_addr_check(move |address, reason| {
                let any = address.ip().is_unspecified() && address.port() == 0;
                let allowed = match reason {
                    // A socket is bound to any port before it connects; that alone reaches nobody.
                    SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => any,
                    SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
                    _ => names.allow(&egress, address),
                };
                Box::pin(std::future::ready(allowed))
            });
        }
        Ok(builder.build())
    }
}

/// The standard interfaces' state of one instance, made when the guest first asks for it: many
/// requests are answered without.
pub(crate) struct Wasi {
    setup: Arc<WasiSetup>,
    names: Arc<Names>,
    made: Option<Box<WasiCtx>>,
}

impl Wasi {
    pub(crate) fn new(setup: &Arc<WasiSetup>) -> Self {
        Self { setup: Arc::clone(setup), names: Arc::default(), made: None }
    }

    fn ctx(&mut self) -> &mut WasiCtx {
        self.made.get_or_insert_with(|| {
            // `check` opened everything at load. What has gone since is not there for the guest.
            let made = self.setup.build(&self.names).unwrap_or_else(|error| {
                tracing::warn!(%error, "a granted directory is gone");
                WasiCtx::default()
            });
            Box::new(made)
        })
    }

    fn names(&self) -> &Arc<Names> {
        &self.names
    }

    fn egress(&self) -> &Egress {
        &self.setup.egress
    }
}

impl WasiView for crate::Ctx {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, table, .. } = self;
        WasiCtxView { ctx: wasi.ctx(), table }
    }
}

impl crate::Ctx {
    /// The handles and the name rules, for look-ups.
    fn lookup(&mut self) -> names::Lookup<'_> {
        let Self { wasi, table, .. } = self;
        names::Lookup::new(wasi, table)
    }

    fn handles(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}
