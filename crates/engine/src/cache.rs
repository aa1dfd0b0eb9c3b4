//! Compiled code on disk, by the content of the component and the settings of the engine.
//!
//! A file's name holds the digest of its content, so a file that was written half or changed by
//! someone else is never run: it is compiled anew. The directory belongs to us alone, because
//! whoever can write machine code there runs it.

use crate::{Engine, Source};
use base::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use wasmtime::Module;
use wasmtime::component::Component;

/// A directory of compiled components and modules.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Opens the cache at `dir` and makes it if it is not there.
    ///
    /// # Errors
    /// `Denied` when the directory is not ours alone, `Unavailable` when it cannot be made.
    pub fn open(dir: &Path) -> Result<Self> {
        let context = || format!("the compile cache `{}`", dir.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| Error::unavailable(context()).with_source(error))?;
        let found =
            fs::metadata(dir).map_err(|error| Error::unavailable(context()).with_source(error))?;
        if found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(Error::denied(format!("{} can be written by others", context()))
                .with_hint(
                    "compiled code is run as it is; give the directory to this user alone",
                ));
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The compiled component or module, from the cache or from the compiler.
    ///
    /// # Errors
    /// `Invalid` when it does not compile.
    pub(crate) fn load<T: Compiled>(&self, engine: &Engine, source: &Source) -> Result<T> {
        let key = key(engine, source);
        if let Some(compiled) = self.find(engine, &key) {
            return Ok(compiled);
        }
        let code = T::precompile(engine.wasmtime(), &source.bytes)
            .map_err(|error| refused(source, &error))?;
        let loaded = match self.store(&key, &code) {
            Ok(path) => T::from_file(engine.wasmtime(), &path),
            Err(error) => {
                tracing::warn!(%error, dir = %self.dir.display(), "compiled code is not kept");
                T::from_bytes(engine.wasmtime(), &code)
            }
        };
        loaded.map_err(|error| Error::internal(format!("loading compiled code: {error:#}")))
    }

    /// Compiles into the cache what is not there yet.
    ///
    /// # Errors
    /// `Invalid` when it does not compile.
    pub fn fill(&self, engine: &Engine, source: &Source) -> Result<()> {
        self.load::<Component>(engine, source).map(drop)
    }

    fn find<T: Compiled>(&self, engine: &Engine, key: &str) -> Option<T> {
        let dir = self.dir.join(key);
        for entry in fs::read_dir(dir).ok()?.flatten() {
            let path = entry.path();
            let Some(digest) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            if path.extension().is_none_or(|extension| extension != "cwasm") {
                continue;
            }
            let found = fs::read(&path).ok().filter(|code| hex(&Sha256::digest(code)) == digest);
            match found.and_then(|_| T::from_file(engine.wasmtime(), &path).ok()) {
                Some(compiled) => return Some(compiled),
                None => {
                    tracing::warn!(path = %path.display(), "damaged compiled code is discarded");
                    drop(fs::remove_file(&path));
                }
            }
        }
        None
    }

    fn store(&self, key: &str, code: &[u8]) -> std::io::Result<PathBuf> {
        let dir = self.dir.join(key);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let mut file = tempfile::NamedTempFile::new_in(&dir)?;
        file.write_all(code)?;
        let path = dir.join(format!("{}.cwasm", hex(&Sha256::digest(code))));
        file.persist(&path)?;
        Ok(path)
    }
}

/// Compiles, or takes what `cache` has.
///
/// # Errors
/// `Invalid` when it does not compile.
pub(crate) fn load<T: Compiled>(
    engine: &Engine,
    source: &Source,
    cache: Option<&Cache>,
) -> Result<T> {
    match cache {
        Some(cache) => cache.load(engine, source),
        None => {
            T::compile(engine.wasmtime(), &source.bytes).map_err(|error| refused(source, &error))
        }
    }
}

fn refused(source: &Source, error: &wasmtime::Error) -> Error {
    Error::invalid(format!("compiling `{}`: {error:#}", source.path.display()))
}

/// What is compiled and kept.
pub(crate) trait Compiled: Sized {
    /// Compiles without keeping anything.
    fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
    /// Compiles to what a file of the cache holds.
    fn precompile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Vec<u8>>;
    /// What a file of the cache holds, whose digest and place were checked.
    fn from_file(engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Self>;
    /// What `precompile` of this process has made.
    fn from_bytes(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Self>;
}

macro_rules! compiled {
    ($name:ident, $precompile:ident) => {
        impl Compiled for $name {
            fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
                Self::from_binary(engine, bytes)
            }

            fn precompile(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
                engine.$precompile(bytes)
            }

            #[expect(unsafe_code, reason = "the digest and the owner of the file were checked")]
            fn from_file(engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Self> {
                // SAFETY: the file lies in a directory that only this user can write, and its
                // content is what this program's compiler produced, by the digest in its name.
                unsafe { Self::deserialize_file(engine, path) }
            }

            #[expect(unsafe_code, reason = "the code comes from the compiler of this process")]
            fn from_bytes(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Self> {
                // SAFETY: the bytes were produced by `precompile` of this process.
                unsafe { Self::deserialize(engine, code) }
            }
        }
    };
}

compiled!(Component, precompile_component);
compiled!(Module, precompile_module);

/// The content, the engine's settings and Wasmtime's version, in one name.
fn key(engine: &Engine, source: &Source) -> String {
    let mut settings = Digester(Sha256::new());
    engine.wasmtime().precompile_compatibility_hash().hash(&mut settings);
    settings.0.update(&source.bytes);
    hex(&settings.0.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Feeds `Hash` into a digest that does not change between runs.
struct Digester(Sha256);

impl Hasher for Digester {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
