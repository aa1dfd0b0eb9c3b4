//! What a module is from outside: a module of the same imports and exports, without any code.

use crate::Source;
use base::{Error, Result};
use std::convert::Infallible;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, DataSection, ElementSection, ExportSection, Function, GlobalSection, TableSection,
};
use wasmparser::{
    DataSectionReader, ElementSectionReader, Export, ExternalKind, FunctionBody,
    GlobalSectionReader, TableSectionReader,
};

impl Source {
    /// A module that imports and exports what this one does, the functions and memories of it, and
    /// whose functions only trap. It compiles in no time, and what can be said of this module's
    /// surface can be said of it.
    ///
    /// # Errors
    /// `Invalid` for what is no module, or a damaged one.
    pub fn hull(&self) -> Result<Vec<u8>> {
        let mut module = wasm_encoder::Module::new();
        Hull.parse_core_module(&mut module, wasmparser::Parser::new(0), &self.bytes).map_err(
            |error| Error::invalid(format!("reading `{}`: {error}", self.path.display())),
        )?;
        Ok(module.finish())
    }
}

/// Leaves out what is inside.
struct Hull;

type Done = std::result::Result<(), reencode::Error<Infallible>>;

impl Reencode for Hull {
    type Error = Infallible;

    fn parse_function_body(&mut self, code: &mut CodeSection, _body: FunctionBody<'_>) -> Done {
        let mut function = Function::new([]);
        function.instructions().unreachable().end();
        code.function(&function);
        Ok(())
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: Export<'_>) -> Done {
        match export.kind {
            ExternalKind::Func | ExternalKind::Memory => {
                reencode::utils::parse_export(self, exports, export)
            }
            _ => Ok(()),
        }
    }

    fn parse_table_section(&mut self, _: &mut TableSection, _: TableSectionReader<'_>) -> Done {
        Ok(())
    }

    fn parse_global_section(&mut self, _: &mut GlobalSection, _: GlobalSectionReader<'_>) -> Done {
        Ok(())
    }

    fn parse_element_section(
        &mut self,
        _: &mut ElementSection,
        _: ElementSectionReader<'_>,
    ) -> Done {
        Ok(())
    }

    fn parse_data_section(&mut self, _: &mut DataSection, _: DataSectionReader<'_>) -> Done {
        Ok(())
    }

    fn data_count(&mut self, _count: u32) -> std::result::Result<u32, reencode::Error<Infallible>> {
        Ok(0)
    }

    fn parse_custom_section(
        &mut self,
        _module: &mut wasm_encoder::Module,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Done {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_is_outside_is_kept_and_what_is_inside_is_not() {
        let text = "(module
            (import \"env\" \"log\" (func $log (param i32 i64)))
            (memory (export \"memory\") 2 5)
            (data (i32.const 0) \"text\")
            (data $passive \"more\")
            (global (export \"global\") i32 (i32.const 1))
            (table (export \"table\") 1 funcref)
            (elem (i32.const 0) $run)
            (func $start (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1)))
            (start $start)
            (func $run (export \"run\") (param f32) (result i32)
                (call $log (i32.const 1) (i64.const 2))
                (call_indirect (result i32) (i32.const 0))))";
        let source = Source::new(Path::new("x"), wat::parse_str(text).unwrap()).unwrap();
        let engine = wasmtime::Engine::default();
        let hull = wasmtime::Module::new(&engine, source.hull().unwrap()).unwrap();
        let imports: Vec<_> = hull.imports().map(|it| it.name().to_owned()).collect();
        let exports: Vec<_> = hull.exports().map(|it| it.name().to_owned()).collect();
        assert_eq!(
            (imports, exports),
            (vec!["log".to_owned()], vec!["memory".into(), "run".into()])
        );
        let memory = hull.get_export("memory").unwrap();
        let memory = memory.memory().unwrap();
        assert_eq!((memory.minimum(), memory.maximum()), (2, Some(5)));
        let run = hull.get_export("run").unwrap();
        assert_eq!(run.func().unwrap().to_string(), "(type (func (param f32) (result i32)))");
    }
}
