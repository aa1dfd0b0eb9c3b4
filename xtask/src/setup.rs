//! Installs what a fresh Debian machine lacks. What is there is left alone.
use std::path::Path;

use anyhow::{Result, bail};

use crate::guests::tools;
use crate::steps::{command, find, run, step, succeeds};

/// A Debian package, and how to see that what it brings is there.
struct Package {
    name: &'static str,
    present: Sign,
}

/// What shows that a package is there, whoever installed it.
enum Sign {
    /// One of these programs is in `PATH`.
    Program(&'static [&'static str]),
    /// This path exists.
    Path(&'static str),
    /// Python has these modules.
    PythonModules(&'static str),
}

const PACKAGES: &[Package] = &[
    Package { name: "git", present: Sign::Program(&["git"]) },
    // Crates, tools and packages come over HTTPS.
    Package { name: "ca-certificates", present: Sign::Path("/etc/ssl/certs/ca-certificates.crt") },
    // Guests in C.
    Package { name: "clang-22", present: Sign::Program(&["clang-22"]) },
    Package { name: "lld-22", present: Sign::Program(&["wasm-ld-22"]) },
    Package { name: "wasi-libc", present: Sign::Path("/usr/lib/wasm32-wasi") },
    Package {
        name: "libclang-rt-22-dev-wasm32",
        present: Sign::Path("/usr/lib/llvm-22/lib/clang/22/lib/wasi/libclang_rt.builtins-wasm32.a"),
    },
    // Guests in Python, Go and JavaScript; PyPI has a Node.js that is new enough, Debian may not.
    Package { name: "python3", present: Sign::Program(&["python3"]) },
    Package { name: "python3-venv", present: Sign::PythonModules("ensurepip, venv") },
    // `setpriv`, by which tests give up the rights of root.
    Package { name: "util-linux", present: Sign::Program(&["setpriv"]) },
    // Servers for the tests of backends.
    Package { name: "redis-server", present: Sign::Program(&["redis-server"]) },
    Package { name: "mosquitto", present: Sign::Program(&["mosquitto"]) },
    Package { name: "nats-server", present: Sign::Program(&["nats-server"]) },
    Package { name: "postgresql-15", present: Sign::Path("/usr/lib/postgresql/15/bin/postgres") },
    Package { name: "mariadb-server", present: Sign::Program(&["mariadbd"]) },
    Package { name: "etcd-server", present: Sign::Program(&["etcd"]) },
    Package { name: "memcached", present: Sign::Program(&["memcached"]) },
    Package {
        name: "rabbitmq-server",
        present: Sign::Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    },
    // The client of Kafka is in C and C++, and compiled with its own script.
    Package { name: "g++", present: Sign::Program(&["g++", "clang++"]) },
    Package { name: "make", present: Sign::Program(&["make"]) },
    // The client of etcd compiles the protocol.
    Package { name: "protobuf-compiler", present: Sign::Program(&["protoc"]) },
    Package {
        name: "libprotobuf-dev",
        present: Sign::Path("/usr/include/google/protobuf/empty.proto"),
    },
    // The test that looks at the guestbook as a person would.
    Package {
        name: "chromium",
        present: Sign::Program(&["chromium", "chromium-browser", "google-chrome"]),
    },
];

/// Servers from PyPI, each with its version: `testkit::servers` looks for them by these words.
const PYTHON: &[(&str, &str, &str)] = &[
    ("moto", "5.2.5", "moto[server]==5.2.5"),
    // It speaks as Kafka does.
    ("noida-db", "0.2.3", "noida-db==0.2.3"),
];
/// The same from npm.
const NPM: &[(&str, &str)] = &[("azurite", "3.37.0")];

/// What building the program needs of them.
const BUILDING: &[&str] = &["g++", "make", "protobuf-compiler", "libprotobuf-dev"];

/// The toolchain for guests in Rust where rustup has no target: see `guests::toolchain`.
const ON_DEMAND: &[Package] = &[
    Package { name: "rustc-web", present: Sign::Path("/usr/bin/rustc") },
    Package { name: "rust-web-src", present: Sign::Path("/usr/lib/rustlib/src/rust/library/std") },
];

/// Installs every package that tests and guests need.
pub(crate) fn everything() -> Result<()> {
    step("setup", || {
        install(PACKAGES.iter())?;
        PYTHON.iter().try_for_each(|(name, version, package)| {
            tools::python_at(name, version, package).map(drop)
        })?;
        NPM.iter().try_for_each(|(name, version)| tools::from_npm(name, version).map(drop))
    })
}

/// Installs what building the program needs besides Rust.
pub(crate) fn building() -> Result<()> {
    packages(BUILDING)
}

/// Installs these packages, if they are missing.
pub(crate) fn packages(names: &[&str]) -> Result<()> {
    let known = PACKAGES.iter().chain(ON_DEMAND);
    install(known.filter(|package| names.contains(&package.name)))
}

fn install<'a>(packages: impl Iterator<Item = &'a Package>) -> Result<()> {
    let missing: Vec<&str> =
        packages.filter(|package| !package.present.seen()).map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        bail!("please install what Debian calls: {}", missing.join(" "));
    }
    eprintln!("    installing {}", missing.join(" "));
    apt(&["-qq", "update"])?;
    let options =
        ["-o", "DPkg::Lock::Timeout=600", "install", "-y", "-qq", "--no-install-recommends"];
    apt(&[&options[..], &missing].concat())
}

/// Runs apt-get, with sudo where we are not root.
fn apt(arguments: &[&str]) -> Result<()> {
    // Through env, because sudo clears the environment.
    let quietly = [&["DEBIAN_FRONTEND=noninteractive", "apt-get"], arguments].concat();
    if nix::unistd::geteuid().is_root() {
        run(&mut command("env", &quietly))
    } else if find("sudo").is_some() {
        run(command("sudo", &["env"]).args(quietly))
    } else {
        bail!("neither root nor sudo: please run \"apt-get {}\" as root", arguments.join(" "))
    }
}

impl Sign {
    fn seen(&self) -> bool {
        match self {
            Self::Program(names) => names.iter().any(|name| find(name).is_some()),
            Self::Path(path) => Path::new(path).exists(),
            Self::PythonModules(modules) => {
                succeeds(&mut command("python3", &["-c", &format!("import {modules}")]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_names_every_package() {
        let readme = std::fs::read_to_string(crate::places::root().join("README.md")).unwrap();
        let (_, rest) = readme.split_once("\n## Plain cargo\n").unwrap();
        let table = rest.split("\n## ").next().unwrap();
        for package in PACKAGES.iter().chain(ON_DEMAND) {
            let name = format!("`{}`", package.name);
            assert!(table.contains(&name), "README.md, Plain cargo: {name} is missing");
        }
    }

    #[test]
    fn what_building_needs_is_a_package() {
        for name in BUILDING {
            assert!(PACKAGES.iter().any(|package| package.name == *name), "{name}");
        }
    }
}
