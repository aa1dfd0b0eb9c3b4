//! A command of WASI 0.3: its first argument says what it does.
//!
//! `args…` prints them, `env`, `cat`, `exit N`, `read PATH`, `write PATH TEXT`, `list PATH`,
//! `stderr TEXT`, `sleep MS`, `fail`, `panic`.
use wasip3::cli::{environment, exit, stderr, stdin, stdout};
use wasip3::clocks::monotonic_clock;
use wasip3::exports::cli::run::Guest;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
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
            ["read", path] => done(read(path).await),
            ["write", path, text] => done(write(path, text).await),
            ["list", path] => match list(path).await {
                Ok(names) => print(names).await,
                Err(error) => done(Err(error)),
            },
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

/// Says on standard error what went wrong.
fn done(outcome: Result<(), ErrorCode>) -> Result<(), ()> {
    outcome.map_err(|error| eprintln!("{error:?}"))
}

/// Opens a path as it is in the first folder that it lies in, or else in the first of all: what a
/// guest may not see is for the host to say.
async fn open(path: &str, how: OpenFlags, to: DescriptorFlags) -> Result<Descriptor, ErrorCode> {
    let mut folders = preopens::get_directories();
    let within = |name: &str| path.strip_prefix(name).map(|rest| rest.trim_start_matches('/'));
    let first = folders.iter().position(|(_, name)| within(name).is_some()).unwrap_or(0);
    if first >= folders.len() {
        return Err(ErrorCode::NotPermitted);
    }
    let (folder, name) = folders.swap_remove(first);
    let rest = match within(&name) {
        Some("") => ".",
        Some(rest) => rest,
        None => path,
    };
    folder.open_at(PathFlags::SYMLINK_FOLLOW, rest.to_owned(), how, to).await
}

async fn read(path: &str) -> Result<(), ErrorCode> {
    let file = open(path, OpenFlags::empty(), DescriptorFlags::READ).await?;
    let (bytes, read) = file.read_via_stream(0);
    stdout::write_via_stream(bytes).await.map_err(|_| ErrorCode::Io)?;
    read.await
}

async fn write(path: &str, text: &str) -> Result<(), ErrorCode> {
    let how = OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let file = open(path, how, DescriptorFlags::WRITE).await?;
    let (mut writer, bytes) = wit_stream::new();
    let written = file.write_via_stream(bytes, 0);
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    written.await
}

async fn list(path: &str) -> Result<String, ErrorCode> {
    let folder = open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
    let (entries, read) = folder.read_directory();
    let mut names: Vec<String> = entries.collect().await.into_iter().map(|it| it.name).collect();
    read.await?;
    names.sort();
    Ok(names.into_iter().map(|name| format!("{name}\n")).collect())
}

async fn print(text: String) -> Result<(), ()> {
    let (mut writer, bytes) = wit_stream::new();
    let written = stdout::write_via_stream(bytes);
    writer.write_all(text.into_bytes()).await;
    drop(writer);
    written.await.map_err(|_| ())
}

wasip3::cli::command::export!(Command);
