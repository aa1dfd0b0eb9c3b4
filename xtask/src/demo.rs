//! The guestbook of `examples/`, built for release and served.
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bench;
use crate::guests;
use crate::places;
use crate::steps::step;

/// How to show the demo.
#[derive(Args)]
pub(crate) struct Options {
    /// Ask for the page once, print it, and stop the server.
    #[arg(long)]
    once: bool,
    /// Where to serve it.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
}

/// Builds what is missing and serves until interrupted, or once.
pub(crate) fn show(options: &Options) -> Result<()> {
    guests::build_example("guestbook")?;
    bench::build()?;
    if options.once {
        // Any free port will do for one request.
        return once(serve("127.0.0.1:0").stderr(Stdio::piped()).spawn()?);
    }
    // It becomes the server, which prints its address and hears signals itself.
    Err(serve(&options.addr).exec().into())
}

fn serve(addr: &str) -> Command {
    let mut wharf = Command::new(places::target().join("release/wharf"));
    wharf.arg("serve").arg(places::root().join("examples/guestbook"));
    wharf.args(["--addr", addr]);
    wharf
}

/// Asks for the page, prints it, stops the server as an operator would.
fn once(mut server: Child) -> Result<()> {
    let page = step("one request", || fetch(&address(&mut server)?));
    stop(&mut server)?;
    io::stdout().write_all(page?.as_bytes())?;
    Ok(())
}

/// The address that the server says it listens at. What it says besides is passed on, also later.
fn address(server: &mut Child) -> Result<String> {
    let stderr = server.stderr.take().context("the server has no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref() {
        let line = line?;
        eprintln!("    {line}");
        if let Some(url) = line.strip_prefix("Serving HTTP on http://") {
            let rest = lines.map_while(Result::ok);
            std::thread::spawn(move || rest.for_each(|line| eprintln!("    {line}")));
            return Ok(url.trim_end_matches('/').to_owned());
        }
    }
    bail!("the server ended before it served")
}

/// The body of the page at `/`.
fn fetch(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET / HTTP/1.0\r\nhost: {address}\r\naccept: text/html\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200"), "the server answered {status}");
    Ok(body.to_owned())
}

fn stop(server: &mut Child) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(server.id())?), Signal::SIGTERM)?;
    let status = server.wait()?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}
