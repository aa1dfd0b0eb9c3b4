//! The standard interfaces, 0.2 and 0.3, for every component: nothing is granted by default.

mod link;
mod names;

use crate::Request;
use base::egress::Egress;
use base::{Error, Kind, Result};
use names::Names;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
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
    To(Arc<MakeWriter>),
}

impl Dir {
    fn unreadable(&self, error: io::Error) -> Error {
        let message = format!("opening the directory `{}`", self.host.display());
        Error::unreadable(message, error, Kind::Unavailable)
    }
}

type MakeWriter = dyn Fn(Serving) -> Box<dyn AsyncWrite + Send + Sync> + Send + Sync;

/// The request that an instance serves, which changes when it serves the next one.
#[derive(Clone, Debug, Default)]
pub struct Serving(Arc<Mutex<Request>>);

impl Serving {
    /// The request that is served now.
    pub fn request(&self) -> Request {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, request: &Request) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(request);
    }
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

struct Writer(Arc<MakeWriter>, Serving);

impl IsTerminal for Writer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Writer {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        (self.0)(self.1.clone())
    }
}

impl WasiSetup {
    /// Checks that everything granted is there, so that no request finds out.
    ///
    /// # Errors
    /// `NotFound`, `Denied` or `Unavailable` for a directory that cannot be opened or entered.
    pub fn check(&self) -> Result<()> {
        for dir in &self.dirs {
            base::enter(&dir.host).map_err(|error| dir.unreadable(error))?;
        }
        self.build(&Arc::default(), &Serving::default()).map(drop)
    }

    fn build(&self, names: &Arc<Names>, serving: &Serving) -> Result<WasiCtx> {
        let mut builder = WasiCtxBuilder::new();
        builder.envs(&self.environment).args(&self.arguments);
        for dir in &self.dirs {
            let perms = if dir.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            builder.preopened_dir(&dir.host, &dir.guest, perms).map_err(|error| {
                dir.unreadable(error.downcast().unwrap_or_else(io::Error::other))
            })?;
        }
        if self.stdin {
            builder.inherit_stdin();
        }
        match &self.stdout {
            Output::Discard => {}
            Output::Inherit => drop(builder.inherit_stdout()),
            Output::To(make) => drop(builder.stdout(Writer(Arc::clone(make), serving.clone()))),
        }
        match &self.stderr {
            Output::Discard => {}
            Output::Inherit => drop(builder.inherit_stderr()),
            Output::To(make) => drop(builder.stderr(Writer(Arc::clone(make), serving.clone()))),
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
    made: Option<Box<Made>>,
}

struct Made {
    ctx: WasiCtx,
    serving: Serving,
}

impl Wasi {
    pub(crate) fn new(setup: &Arc<WasiSetup>) -> Self {
        Self { setup: Arc::clone(setup), names: Arc::default(), made: None }
    }

    /// Says which request the instance serves from now on.
    pub(crate) fn serve(&self, request: &Request) {
        if let Some(made) = &self.made {
            made.serving.set(request);
        }
    }

    fn ctx(&mut self, request: &Request) -> &mut WasiCtx {
        let made = self.made.get_or_insert_with(|| {
            let serving = Serving::default();
            serving.set(request);
            // `check` opened everything at load. What has gone since is not there for the guest.
            let ctx = self.setup.build(&self.names, &serving).unwrap_or_else(|error| {
                tracing::warn!(%error, "a granted directory is gone");
                WasiCtx::default()
            });
            Box::new(Made { ctx, serving })
        });
        &mut made.ctx
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
        let Self { wasi, table, request, .. } = self;
        WasiCtxView { ctx: wasi.ctx(request), table }
    }
}

impl crate::Ctx {
    /// The handles and the name rules, for look-ups.
    fn lookup(&mut self) -> names::Lookup<'_> {
        let Self { wasi, table, request, .. } = self;
        names::Lookup::new(wasi, table, request)
    }

    fn handles(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}
