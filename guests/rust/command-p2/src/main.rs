//! An ordinary program: its first argument says what it does.
//!
//! `args…` prints them, `env`, `cat`, `exit N`, `read PATH`, `write PATH TEXT`, `list PATH`,
//! `stderr TEXT`, `sleep MS`, `time`, `fail` returns an error from main, `panic`, `loop`.
use std::io::{self, Error, Write as _};
use std::process::exit;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => println!("Hello from a command"),
        ["args", rest @ ..] => rest.iter().for_each(|word| println!("{word}")),
        ["env"] => env::vars().for_each(|(name, value)| println!("{name}={value}")),
        ["cat"] => {
            io::copy(&mut io::stdin(), &mut io::stdout())?;
        }
        ["exit", code] => exit(code.parse().map_err(Error::other)?),
        ["read", path] => io::stdout().write_all(&fs::read(path)?)?,
        ["write", path, text] => fs::write(path, text)?,
        ["list", path] => list(path)?,
        ["stderr", text] => eprintln!("{text}"),
        ["sleep", ms] => thread::sleep(Duration::from_millis(ms.parse().map_err(Error::other)?)),
        ["time"] => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Error::other)?;
            println!("{}", now.as_secs());
        }
        ["fail"] => return Err(Error::other("as asked")),
        ["panic"] => panic!("as asked"),
        ["loop"] => loop {
            std::hint::black_box(0);
        },
        other => return Err(Error::other(format!("no such thing to do: {other:?}"))),
    }
    Ok(())
}

fn list(path: &str) -> io::Result<()> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    names.iter().for_each(|name| println!("{}", name.display()));
    Ok(())
}
