//! The rows of the table: which server, where requests go, and through which filters.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{CALLS, envoy};
use crate::bench::sample::Ask;
use crate::bench::server::{Server, folder};
use crate::places;

/// One line of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    is_envoy: bool,
    pub(super) target: Target,
    pub(super) filters: Filters,
}

/// Where requests go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// To an answer of the server's own.
    Direct,
    /// To another server.
    Proxied,
}

/// What stands before.
#[derive(Clone, Copy)]
pub(super) enum Filters {
    /// So many that each add a header to the answer, all in one virtual machine.
    Add(u8),
    /// One that makes so many calls of one kind.
    Calls(&'static str, u32),
}

/// What is started, and what that needs.
pub(super) struct Programs {
    pub(super) wharf: PathBuf,
    pub(super) envoy: PathBuf,
    /// The server behind it.
    pub(super) upstream: SocketAddr,
}

/// Every row. Those that are compared stand side by side.
pub(super) const ROWS: &[Row] = &[
    wharf("wharf-direct-0", Target::Direct, Filters::Add(0)),
    envoy("envoy-direct-0", Target::Direct, Filters::Add(0)),
    wharf("wharf-direct-1", Target::Direct, Filters::Add(1)),
    envoy("envoy-direct-1", Target::Direct, Filters::Add(1)),
    wharf("wharf-direct-10", Target::Direct, Filters::Add(10)),
    envoy("envoy-direct-10", Target::Direct, Filters::Add(10)),
    wharf("wharf-proxied-0", Target::Proxied, Filters::Add(0)),
    envoy("envoy-proxied-0", Target::Proxied, Filters::Add(0)),
    wharf("wharf-proxied-1", Target::Proxied, Filters::Add(1)),
    envoy("envoy-proxied-1", Target::Proxied, Filters::Add(1)),
    wharf("wharf-call-none", Target::Direct, Filters::Calls("log", 0)),
    envoy("envoy-call-none", Target::Direct, Filters::Calls("log", 0)),
    wharf("wharf-call-log", Target::Direct, Filters::Calls("log", CALLS)),
    envoy("envoy-call-log", Target::Direct, Filters::Calls("log", CALLS)),
    wharf("wharf-call-count", Target::Direct, Filters::Calls("count", CALLS)),
    envoy("envoy-call-count", Target::Direct, Filters::Calls("count", CALLS)),
    wharf("wharf-call-time", Target::Direct, Filters::Calls("time", CALLS)),
    envoy("envoy-call-time", Target::Direct, Filters::Calls("time", CALLS)),
    wharf("wharf-call-get", Target::Direct, Filters::Calls("get", CALLS)),
    envoy("envoy-call-get", Target::Direct, Filters::Calls("get", CALLS)),
    wharf("wharf-call-miss", Target::Direct, Filters::Calls("miss", CALLS)),
    envoy("envoy-call-miss", Target::Direct, Filters::Calls("miss", CALLS)),
    wharf("wharf-call-replace", Target::Direct, Filters::Calls("replace", CALLS)),
    envoy("envoy-call-replace", Target::Direct, Filters::Calls("replace", CALLS)),
    wharf("wharf-call-property", Target::Direct, Filters::Calls("property", CALLS)),
    envoy("envoy-call-property", Target::Direct, Filters::Calls("property", CALLS)),
];

const fn wharf(name: &'static str, target: Target, filters: Filters) -> Row {
    Row { name, is_envoy: false, target, filters }
}

const fn envoy(name: &'static str, target: Target, filters: Filters) -> Row {
    Row { is_envoy: true, ..wharf(name, target, filters) }
}

/// The answer of the server's own: what the other server answers, too.
pub(super) const ANSWER: &str = "Hello, world";

impl Row {
    /// What is asked of it.
    pub(super) fn ask(&self) -> Ask {
        Ask { name: self.name, path: "/", connections: 32 }
    }

    /// Starts its server, in an empty folder of its own.
    pub(super) fn start(&self, programs: &Programs) -> Result<Server> {
        let folder = folder(self.name)?;
        if self.is_envoy {
            return envoy::start(self, programs, &folder);
        }
        let file = folder.join("wharf.toml");
        fs::write(&file, self.deployment(programs))?;
        let mut command = Command::new(&programs.wharf);
        command.arg("serve").arg(&file).args(["--addr", "127.0.0.1:0"]).current_dir(&folder);
        Server::start(&mut command)
    }

    fn deployment(&self, programs: &Programs) -> String {
        let code = self.filters.code();
        let filters = self.filters.each().map(|(name, configuration)| {
            let code = code.display();
            format!(
                "[filter.{name}]\nsource = '{code}'\nconfiguration = \"{configuration}\"\n\
                 vm-id = \"bench\"\n"
            )
        });
        let filters: String = filters.collect();
        let names: Vec<String> = self.filters.each().map(|(name, _)| format!("{name:?}")).collect();
        let names = names.join(", ");
        let (target, upstream) = match self.target {
            Target::Direct => (format!("respond = {{ body = {ANSWER:?} }}"), String::new()),
            Target::Proxied => {
                let upstream = format!("[upstream.b]\nendpoints = [\"{}\"]\n", programs.upstream);
                ("upstream = \"b\"".to_owned(), upstream)
            }
        };
        format!(
            "name = \"bench\"\n{filters}{upstream}[http]\nthreads = 1\nfilters = [{names}]\n\
             [[http.route]]\n{target}\n"
        )
    }
}

impl Filters {
    /// The code of all of them.
    pub(super) fn code(self) -> PathBuf {
        let name = match self {
            Self::Add(_) => "filter-add",
            Self::Calls(..) => "filter-calls",
        };
        Path::new(&places::guests()).join(name).with_extension("wasm")
    }

    /// The name and the configuration of each.
    pub(super) fn each(self) -> impl Iterator<Item = (String, String)> {
        let (count, configuration) = match self {
            Self::Add(count) => (count, String::new()),
            Self::Calls(call, times) => (1, format!("{call} {times}")),
        };
        (0..count).map(move |number| (format!("f{number}"), configuration.clone()))
    }
}
