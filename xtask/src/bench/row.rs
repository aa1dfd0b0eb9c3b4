//! The rows of the table: which server, which guest, which request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::sample::Ask;
use super::server::folder;
use crate::places;

/// One line of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    program: Program,
    guest: &'static str,
    pub(super) path: &'static str,
    connections: u16,
}

/// What serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Hyper,
    /// `wharf serve GUEST`, without a deployment file.
    Wharf,
    /// `wharf serve` with these lines for the component, and this binding.
    Deployed {
        component: &'static str,
        keyvalue: &'static str,
    },
    /// `wasmtime serve` with these flags.
    Wasmtime(&'static [&'static str]),
}

/// Where the programs lie.
pub(super) struct Programs {
    pub(super) hyper: PathBuf,
    pub(super) wharf: PathBuf,
    pub(super) wasmtime: PathBuf,
}

const MEMORY: Program = Program::Deployed { component: "", keyvalue: r#""memory:""# };
const RELAXED: Program = Program::Deployed {
    component: "",
    keyvalue: r#"{ url = "embedded:", durability = "relaxed" }"#,
};
const STRICT: Program = Program::Deployed {
    component: "",
    keyvalue: r#"{ url = "embedded:", durability = "strict" }"#,
};
const REUSED: Program =
    Program::Deployed { component: "reuse = { requests = 128 }", keyvalue: r#""memory:""# };

/// The name of the row that all others are compared with.
pub(super) const LIMIT: &str = "hyper";

/// Every row. Each is a server of its own; those that are compared stand side by side, so that a
/// machine whose speed changes is about the same for both.
pub(super) const ROWS: &[Row] = &[
    row(LIMIT, Program::Hyper, ""),
    row("wharf-p2", Program::Wharf, "hello-p2"),
    row("wasmtime-p2", Program::Wasmtime(&[]), "hello-p2"),
    row("wharf-p2-reuse", REUSED, "hello-p2"),
    row("wasmtime-p2-reuse", Program::Wasmtime(&["--max-instance-reuse-count", "128"]), "hello-p2"),
    row("wharf-p3", Program::Wharf, "hello-p3"),
    row("wasmtime-p3", Program::Wasmtime(&[]), "hello-p3"),
    without(row("wharf-kv-memory-without", MEMORY, "kv-bench")),
    row("wharf-kv-memory", MEMORY, "kv-bench"),
    without(row("wharf-kv-relaxed-without", RELAXED, "kv-bench")),
    row("wharf-kv-relaxed", RELAXED, "kv-bench"),
    without(many(row("wharf-kv-strict-without", STRICT, "kv-bench"))),
    many(row("wharf-kv-strict", STRICT, "kv-bench")),
];

const fn row(name: &'static str, program: Program, guest: &'static str) -> Row {
    Row { name, program, guest, path: "/", connections: 32 }
}

/// The same guest without its key-value calls.
const fn without(row: Row) -> Row {
    Row { path: "/hello", ..row }
}

/// Enough clients for writers to share their waits for the disk.
const fn many(row: Row) -> Row {
    Row { connections: 64, ..row }
}

/// The row called `name`.
pub(super) fn find(name: &str) -> Result<&'static Row> {
    let names = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    let row = ROWS.iter().find(|row| row.name == name);
    row.with_context(|| format!("there is no row `{name}`; there are {}", names()))
}

impl Row {
    /// What is asked of it.
    pub(super) fn ask(&self) -> Ask {
        Ask { name: self.name, path: self.path, connections: self.connections }
    }

    /// Whether it needs the `wasmtime` program.
    pub(super) fn is_wasmtime(&self) -> bool {
        matches!(self.program, Program::Wasmtime(_))
    }

    /// What starts the server, in an empty folder of its own.
    pub(super) fn command(&self, programs: &Programs) -> Result<Command> {
        let folder = folder(self.name)?;
        let guest = places::guests().join(self.guest).with_extension("wasm");
        let mut command = Command::new(match self.program {
            Program::Hyper => &programs.hyper,
            Program::Wharf | Program::Deployed { .. } => &programs.wharf,
            Program::Wasmtime(_) => &programs.wasmtime,
        });
        match self.program {
            Program::Hyper => {}
            Program::Wharf => drop(command.arg("serve").arg(&guest)),
            Program::Deployed { component, keyvalue } => {
                let file = folder.join("wharf.toml");
                fs::write(&file, deployment(&guest, component, keyvalue))?;
                command.arg("serve").arg(&file);
            }
            // The guests import `wasi:cli`, as everything that Rust's std is part of does.
            Program::Wasmtime(flags) => {
                command.args(["serve", "-Scli"]).args(flags).arg(&guest);
            }
        }
        if self.program != Program::Hyper {
            command.args(["--addr", "127.0.0.1:0"]);
        }
        command.current_dir(&folder);
        Ok(command)
    }
}

fn deployment(guest: &Path, component: &str, keyvalue: &str) -> String {
    let guest = guest.display();
    format!(
        "name = \"bench\"\n\
         [component.bench]\nsource = '{guest}'\n{component}\n\
         [[http.route]]\npath = \"/\"\ncomponent = \"bench\"\n\
         [keyvalue]\ndefault = {keyvalue}\n"
    )
}
