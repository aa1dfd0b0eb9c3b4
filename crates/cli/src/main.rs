//! The `wharf` program.

mod app;
mod args;
mod beside;
mod bind;
mod capabilities;
mod check;
mod compile;
mod conformance;
mod console;
mod exit;
mod filter_config;
mod health;
mod inspect;
mod program;
mod reload;
mod run;
mod serve;
mod shared;
mod triggers;

use args::{Args, Verb};
use clap::Parser as _;
use std::process::ExitCode;

/// Many small allocations per request, on several threads: what the system's allocator is worst at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives what this thread freed back to the system.
fn trim() {
    #[expect(unsafe_code, reason = "it takes a plain word, and may be called at any time")]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

fn main() -> ExitCode {
    engine::trim_with(trim);
    // Usage mistakes end here, with code 2.
    let args = Args::parse();
    connect::tls::install();
    let done = match args.verb {
        Verb::Serve(args) => serve::serve(args),
        Verb::Run(args) => run::run(args),
        Verb::Check(args) => check::check(&args),
        Verb::Inspect(args) => inspect::inspect(&args),
        Verb::Conformance(args) => conformance::conformance(&args),
        Verb::Compile(args) => compile::compile(&args),
        Verb::FilterConfig(args) => filter_config::filter_config(&args),
        Verb::Completions { shell } => args::completions(shell),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
