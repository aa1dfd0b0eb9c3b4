//! The command line, which is also its manual.

use crate::exit::Failure;
use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// The cloud host for WebAssembly.
///
/// Runs components and gives them every WASI cloud interface: HTTP in and out, key-value,
/// configuration, logging. Which backend stands behind a name is decided at deployment, in one
/// TOML file; with no file at all everything works on embedded, durable defaults.
#[derive(Parser)]
#[command(name = "wharf", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   the guest failed, or a promise is broken
  2   the command line is wrong
  64  the deployment file or the guest is wrong
  65  data is corrupt
  69  something that is needed is not available: a backend, a port, a lock
  70  a bug of ours
`run` ends with the guest's own code.";

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Serve a component, or everything that a deployment file says.
    Serve(ServeArgs),
    /// Run a command component to its end.
    Run(RunArgs),
    /// Find every mistake of a deployment before it is served.
    Check(CheckArgs),
    /// Show what a component imports and exports, and what of it is served.
    Inspect(InspectArgs),
    /// Hold a server to the promises of a capability.
    ///
    /// Tries every promise in a namespace of its own and leaves nothing behind.
    Conformance(ConformanceArgs),
    /// Compile a component ahead of time into the compile cache.
    Compile(CompileArgs),
    /// Print the deployment file for what an Envoy configuration says of filters.
    ///
    /// Reads a bootstrap of Envoy in YAML or JSON: listeners with their HTTP filters of Wasm and
    /// their routes, and clusters of addresses and names. Prints the `wharf.toml` that does the
    /// same, and names everything that it could not carry over, on standard error and at the top of
    /// the file. Also reads one listener, HTTP filters alone, and Istio's `EnvoyFilter` and
    /// `WasmPlugin`.
    FilterConfig(FilterConfigArgs),
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What is served, and where it differs from the file.
#[derive(clap::Args)]
pub(crate) struct Deployment {
    /// A component, a deployment file, or a folder with a `wharf.toml`.
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Backends of this deployment: a file with only the sections of bindings.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) bindings: Option<PathBuf>,
}

/// How the program logs and where it keeps compiled code.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// What is logged, as in RUST_LOG: `info`, `debug`, `warn,guest=debug`.
    #[arg(long, value_name = "FILTER", env = "WHARF_LOG")]
    pub(crate) log: Option<String>,
    /// The form of log lines.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Where compiled code is kept.
    #[arg(long, value_name = "DIR", env = "WHARF_CACHE", value_hint = ValueHint::DirPath)]
    pub(crate) cache: Option<PathBuf>,
    /// Keep no compiled code, wherever the variable says.
    #[arg(long)]
    pub(crate) no_cache: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object on each line.
    Json,
}

/// What a guest is granted on the command line.
#[derive(clap::Args)]
pub(crate) struct Granted {
    /// An environment variable of the guest; without a value it is that of this program.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// A directory that the guest sees.
    #[arg(long, value_name = "HOST[::GUEST]")]
    pub(crate) dir: Vec<String>,
    /// Accepted and without effect: what it grants elsewhere is always offered here.
    #[arg(short = 'S', value_name = "OPTION", hide_short_help = true)]
    pub(crate) wasi: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) deployment: Deployment,
    /// Where to listen, instead of what the file says.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) addr: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) granted: Granted,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(clap::Args)]
pub(crate) struct RunArgs {
    /// A component, or a WASI preview 1 module.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Call an exported function instead, with values in WAVE: `add(1, 2)`.
    #[arg(long, value_name = "CALL")]
    pub(crate) invoke: Option<String>,
    /// How long the guest may run; without it, as long as it likes.
    #[arg(long, value_name = "DURATION", value_parser = base::units::duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) granted: Granted,
    #[command(flatten)]
    pub(crate) common: Common,
    /// The guest's arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) deployment: Deployment,
    /// The form of the result.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(clap::Args)]
pub(crate) struct InspectArgs {
    /// A component, a module or a filter.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The form of the result.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(clap::Args)]
pub(crate) struct CompileArgs {
    /// A component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Compile with Winch: a quick start for slower code.
    #[arg(long)]
    pub(crate) winch: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(clap::Args)]
pub(crate) struct FilterConfigArgs {
    /// The configuration of Envoy; `-` is standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct ConformanceArgs {
    /// The capability: keyvalue.
    pub(crate) capability: String,
    /// The server, as in the deployment file: `redis://127.0.0.1:6379`.
    pub(crate) url: String,
    /// A further key of the binding, with its value in TOML: `--set cluster=true`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The form of the report.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For CI systems: the XML of JUnit.
    Junit,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut command = <Args as clap::CommandFactory>::command();
    clap_complete::generate(shell, &mut command, "wharf", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn flags_of_other_hosts_are_taken() {
        let args = ["wharf", "serve", "-Scli", "-S", "http", "--addr", "127.0.0.1:0", "x.wasm"];
        let Verb::Serve(args) = Args::parse_from(args).verb else { panic!("serve was meant") };
        assert_eq!(args.granted.wasi, ["cli", "http"]);
        let args = ["wharf", "run", "--env", "A=b", "x.wasm", "--", "-x", "--invoke"];
        let Verb::Run(args) = Args::parse_from(args).verb else { panic!("run was meant") };
        assert_eq!(args.args, ["-x", "--invoke"]);
    }
}
