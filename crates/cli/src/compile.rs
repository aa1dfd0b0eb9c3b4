//! `wharf compile`: fills the compile cache before anyone waits for it.

use crate::app::reject;
use crate::args::CompileArgs;
use crate::console;
use crate::exit::{Exit, Failure};
use crate::program::Program;
use engine::{Limits, Source};
use std::process::ExitCode;

/// Compiles a component into the cache, so that `serve` starts at once.
pub(crate) fn compile(args: &CompileArgs) -> Result<ExitCode, Failure> {
    if args.common.no_cache {
        return Err(Failure::new(
            Exit::Usage,
            "error: compiling into no cache compiles for nothing",
        ));
    }
    let source = Source::read(&args.file)?;
    reject(&source)?;
    let program = Program::new(&args.common)?;
    program.compile(&source, args.winch, Limits::default().stack)?;
    console::say(&format!("Compiled {}", args.file.display()));
    Ok(ExitCode::SUCCESS)
}
