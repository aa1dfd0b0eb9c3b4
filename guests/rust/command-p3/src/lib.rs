//! A command of WASI 0.3: its first argument says what it does.
//!
//! `args…` prints them, `env`, `cat`, `exit N`, `stderr TEXT`, `sleep MS`, `fail`, `panic`.
use wasip3::cli::{environment, exit, stderr, stdin, stdout};
use wasip3::clocks::monotonic_clock;
use wasip3::exports::cli::run::Guest;
use wasip3::wit_stream;

struct Command;

impl Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        match words.as_slice() {
            [] => print("Hello from a command\n".to_owned()).await,
            ["args", rest @ ..] => {
                print(rest.iter().map(|word| format!("{word}\n")).collect()).await
            }
            ["env"] => {
                let pairs = environment::get_environment().into_iter();
                print(pairs.map(|(name, value)| format!("{name}={value}\n")).collect()).await
            }
            ["cat"] => {
                // Standard input becomes standard output without a copy through this guest.
                let (bytes, read) = stdin::read_via_stream();
                let written = stdout::write_via_stream(bytes).await;
                written.and(read.await).map_err(|_| ())
            }
            ["exit", code] => {
                exit::exit_with_code(code.parse().map_err(|_| ())?);
                Ok(())
            }
            ["stderr", text] => {
                let (mut writer, bytes) = wit_stream::new();
                let written = stderr::write_via_stream(bytes);
                writer.write_all(format!("{text}\n").into_bytes()).await;
                drop(writer);
                written.await.map_err(|_| ())
            }
            ["sleep", ms] => {
                let ms: u64 = ms.parse().map_err(|_| ())?;
                monotonic_clock::wait_for(ms * 1_000_000).await;
                Ok(())
            }
            ["panic"] => panic!("as asked"),
            _ => Err(()),
        }
    }
}

async fn print(text: String) -> Result<(), ()> {
    let (mut writer, bytes) = wit_stream::new();
    let written = stdout::write_via_stream(bytes);
    writer.write_all(text.into_bytes()).await;
    drop(writer);
    written.await.map_err(|_| ())
}

wasip3::cli::command::export!(Command);
