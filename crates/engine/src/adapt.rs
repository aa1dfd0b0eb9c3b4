//! From a WASI preview 1 command to a component, with the published adapter.

use crate::Source;
use base::{Error, Result};
use wasi_preview1_component_adapter_provider as adapter;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{ImportSection, Module};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a preview 1 module is made to import, besides what the adapter gives it.
const EXIT: &str = "
    package wharf:preview1;
    world command { import wasi:cli/exit@0.2.12; }
    package wasi:cli@0.2.12 {
        interface exit { exit-with-code: func(status-code: u8); }
    }
";

const PROC_EXIT: (&str, &str) = (adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, "proc_exit");

impl Source {
    /// The component that a preview 1 command becomes.
    ///
    /// # Errors
    /// `Invalid` when the module does not fit the adapter.
    pub fn adapt(&self) -> Result<Self> {
        let adapted = adapt(&self.bytes).map_err(|error| {
            Error::invalid(format!("adapting `{}` to WASI 0.2: {error:#}", self.path.display()))
        })?;
        Self::new(&self.path, adapted)
    }
}

fn adapt(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut module = Module::new();
    KeepExitCode.parse_core_module(&mut module, wasmparser::Parser::new(0), bytes)?;
    let mut bytes = module.finish();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("exit.wit", EXIT)?;
    let world = resolve.select_world(&[package], Some("command"))?;
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .module(&bytes)?
        .adapter(
            adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        )?
        .encode()
}

/// Sends `proc_exit` straight to WASI 0.2: the adapter tells only success from failure, and a
/// command's exit code is more than that.
struct KeepExitCode;

impl Reencode for KeepExitCode {
    type Error = std::convert::Infallible;

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        for import in section.into_imports() {
            let mut import = import?;
            if (import.module, import.name) == PROC_EXIT {
                (import.module, import.name) = ("wasi:cli/exit@0.2.12", "exit-with-code");
            }
            self.parse_import(imports, import)?;
        }
        Ok(())
    }
}
