//! What a file is, before anyone tries to compile it.

use crate::Name;
use base::{Error, Kind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmparser::{
    BinaryReader, CanonicalFunction, CanonicalOption, ComponentExternName, ComponentType,
    ComponentTypeDeclaration, Encoding, InstanceTypeDeclaration, Parser, Payload,
};

/// A component's bytes and what they are.
#[derive(Clone)]
pub struct Source {
    /// Where they came from, for messages.
    pub path: PathBuf,
    /// The bytes.
    pub bytes: Arc<[u8]>,
    /// What they are.
    pub wasm: Wasm,
}

/// What kind of WebAssembly a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wasm {
    /// A component.
    Component {
        /// Whether it needs concurrent calls: it names WASI 0.3, or has a function that is async
        /// in its type or in how it is called.
        concurrent: bool,
    },
    /// A core module that imports `wasi_snapshot_preview1`.
    Preview1,
    /// A core module that exports the Proxy-Wasm ABI.
    Filter,
    /// Any other core module.
    Module,
}

impl Wasm {
    /// What it is, in a sentence's place: "… is a core module".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Component { .. } => "a component",
            Self::Preview1 => "a WASI preview 1 core module",
            Self::Filter => "a Proxy-Wasm filter",
            Self::Module => "a core module",
        }
    }
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// `NotFound` or `Denied` as the system says, `Invalid` when it is no WebAssembly, with a
    /// sentence on what it is instead.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            Error::unreadable(format!("reading `{}`", path.display()), error, Kind::Invalid)
        })?;
        Self::new(path, bytes)
    }

    /// Looks at bytes that are there already.
    ///
    /// # Errors
    /// `Invalid` when they are no WebAssembly, with a sentence on what they are instead.
    pub fn new(path: &Path, bytes: impl Into<Arc<[u8]>>) -> Result<Self> {
        let bytes = bytes.into();
        let wasm = classify(&bytes).map_err(|what| {
            Error::invalid(format!("`{}` is not WebAssembly: {what}", path.display()))
        })?;
        Ok(Self { path: path.to_owned(), bytes, wasm })
    }
}

fn classify(bytes: &[u8]) -> Result<Wasm, String> {
    if !bytes.starts_with(b"\0asm") {
        return Err(guess(bytes));
    }
    let mut scan = Scan::default();
    scan.run(bytes).map_err(|error| format!("it is cut off or damaged ({error})"))?;
    Ok(match scan {
        Scan { component: true, concurrent, .. } => Wasm::Component { concurrent },
        Scan { filter: true, .. } => Wasm::Filter,
        Scan { preview1: true, .. } => Wasm::Preview1,
        _ => Wasm::Module,
    })
}

/// What a file without the magic number most likely is.
fn guess(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(256)).unwrap_or_default());
    match text.map(str::trim_start) {
        _ if bytes.is_empty() => "the file is empty",
        _ if bytes.starts_with(b"\x7fELF") => "it is an ELF file, a native program or `.cwasm`",
        _ if bytes.starts_with(&[0x1f, 0x8b]) => "it is gzip-compressed",
        _ if bytes.starts_with(b"PK") => "it is a zip archive",
        Ok(text) if text.starts_with("(component") || text.starts_with("(module") => {
            "it is the text format; turn it into binary first"
        }
        Ok(text) if text.starts_with("[") || text.starts_with("name") => {
            "it looks like a deployment file; those end in `.toml`"
        }
        Ok(_) => "it is a text file",
        Err(_) => "it does not start with the magic number",
    }
    .to_owned()
}

/// What a file names at its surface, without compiling anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// What it imports: interfaces of a component, `module.name` of a module.
    pub imports: Vec<Name>,
    /// What it exports.
    pub exports: Vec<String>,
}

impl Source {
    /// The names of what the file imports and exports.
    pub fn outline(&self) -> Outline {
        let mut scan = Scan::default();
        // It was walked once before, in `new`, without a mistake.
        drop(scan.run(&self.bytes));
        scan.outline
    }
}

#[derive(Default)]
struct Scan {
    outline: Outline,
    component: bool,
    concurrent: bool,
    preview1: bool,
    filter: bool,
}

impl Scan {
    /// Walks over the sections. Skips code, which is nearly all of a large guest.
    fn run(&mut self, bytes: &[u8]) -> wasmparser::Result<()> {
        let mut ended = false;
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } if depth == 0 => {
                    self.component = encoding == Encoding::Component;
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) if depth == 0 => ended = true,
                Payload::End(_) => depth -= 1,
                Payload::ImportSection(imports) if depth == 0 => {
                    for import in imports.into_imports() {
                        let import = import?;
                        self.preview1 |= import.module == "wasi_snapshot_preview1";
                        let name = format!("{}.{}", import.module, import.name);
                        self.outline.imports.push(Name::new(name));
                    }
                }
                Payload::ExportSection(exports) if depth == 0 => {
                    for export in exports {
                        let name = export?.name;
                        self.filter |= name.starts_with("proxy_abi_version_");
                        self.outline.exports.push(name.to_owned());
                    }
                }
                Payload::ComponentImportSection(imports) => {
                    for import in imports {
                        let ComponentExternName { name, implements, external_id, .. } =
                            import?.name;
                        self.name(implements.unwrap_or(name));
                        if depth == 0 {
                            self.outline.imports.push(Name {
                                name: name.to_owned(),
                                implements: implements.map(str::to_owned),
                                external_id: external_id.map(str::to_owned),
                            });
                        }
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    for export in exports {
                        let name = export?.name.name;
                        self.name(name);
                        if depth == 0 {
                            self.outline.exports.push(name.to_owned());
                        }
                    }
                }
                Payload::ComponentTypeSection(types) => {
                    for ty in types {
                        self.ty(&ty?);
                    }
                }
                Payload::ComponentCanonicalSection(functions) => {
                    for function in functions {
                        self.canonical(&function?);
                    }
                }
                _ => {}
            }
        }
        match ended {
            true => Ok(()),
            // The parser stops quietly where a file ends between two sections.
            false => BinaryReader::new(&[], bytes.len()).read_u8().map(drop),
        }
    }

    fn name(&mut self, name: &str) {
        self.concurrent |= name.contains("@0.3.") && name.starts_with("wasi:");
    }

    fn ty(&mut self, ty: &ComponentType<'_>) {
        match ty {
            ComponentType::Func(function) => self.concurrent |= function.async_,
            ComponentType::Instance(declarations) => {
                for declaration in declarations {
                    if let InstanceTypeDeclaration::Type(ty) = declaration {
                        self.ty(ty);
                    }
                }
            }
            ComponentType::Component(declarations) => {
                for declaration in declarations {
                    if let ComponentTypeDeclaration::Type(ty) = declaration {
                        self.ty(ty);
                    }
                }
            }
            _ => {}
        }
    }

    fn canonical(&mut self, function: &CanonicalFunction) {
        let options = match function {
            CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
                options
            }
            CanonicalFunction::ResourceNew { .. }
            | CanonicalFunction::ResourceDrop { .. }
            | CanonicalFunction::ResourceRep { .. } => return,
            // Everything else in the canonical section belongs to async.
            _ => {
                self.concurrent = true;
                return;
            }
        };
        self.concurrent |= options
            .iter()
            .any(|option| matches!(option, CanonicalOption::Async | CanonicalOption::Callback(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_wasm_are_named() {
        let what = |bytes: &[u8]| Source::new(Path::new("x"), bytes).err().unwrap().to_string();
        assert!(what(b"").contains("the file is empty"));
        assert!(what(b"(component)").contains("text format"));
        assert!(what(b"\x7fELF").contains("ELF"));
        assert!(what(b"name = 'app'").contains("deployment file"));
        assert!(what(b"\0asm\x01\0\0\0\x01").contains("cut off or damaged"));
        assert!(what(b"\0asm").contains("cut off or damaged"));
    }

    #[test]
    fn a_module_is_told_from_a_component() {
        let wasm = |bytes: &[u8]| Source::new(Path::new("x"), bytes).unwrap().wasm;
        assert_eq!(wasm(b"\0asm\x01\0\0\0"), Wasm::Module);
        assert_eq!(wasm(b"\0asm\x0d\0\x01\0"), Wasm::Component { concurrent: false });
    }

    #[test]
    fn a_function_that_is_async_in_its_type_alone_needs_concurrent_calls() {
        let typed = |kind: u8, inside: &[u8]| {
            let function = [kind, 0, 1, 0];
            let types = [&[1], inside, &function].concat();
            let length = u8::try_from(types.len()).unwrap();
            let component = [b"\0asm\x0d\0\x01\0".as_slice(), &[7, length], &types].concat();
            Source::new(Path::new("x"), component).unwrap().wasm
        };
        // An instance type with one declaration: that of a type.
        for inside in [[].as_slice(), &[0x42, 1, 1]] {
            assert_eq!(typed(0x40, inside), Wasm::Component { concurrent: false });
            assert_eq!(typed(0x43, inside), Wasm::Component { concurrent: true });
        }
    }
}
