//! Amazon SQS, as moto has it: a server that keeps its queues over a crash, which moto alone does
//! not.

use super::{Recipe, Server, Vendor, asked, folder, free, installed, listens, marked};
use crate::certificates::Certificates;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// What is run by the Python that has moto.
const SERVE: &str = include_str!("sqs/serve.py");
/// The version that `cargo xtask setup` installs, in the place where that keeps it.
const MOTO: &str = "moto-5.2.5";
/// Where the queues of a test are.
const REGION: &str = "eu-west-1";

pub(super) const VENDOR: Vendor = Vendor {
    name: "sqs",
    url: |address| format!("sqs://someone:hunter2@{address}?region={REGION}"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(sqs);
        &SERVER
    },
    start: sqs,
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address, &[])
    },
    kept: |address| marked(&sqs_answer(address, "ListQueues", "{}"), "/123456789012/", "\""),
};

/// What a server answers to a question in JSON, with the head of the answer.
pub fn sqs_answer(address: SocketAddr, action: &str, question: &str) -> String {
    let length = question.len();
    let question = format!(
        "POST / HTTP/1.0\r\nx-amz-target: AmazonSQS.{action}\r\n\
         content-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=someone/20000101/{REGION}/sqs/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\r\n{question}"
    );
    asked(address, &question, |_| false)
}

/// A server of a test's own, with nothing in it.
pub fn sqs() -> Server {
    start_at(folder("sqs"), free(), &[])
}

/// A server that lets nobody in, for it knows nobody.
pub fn sqs_guarded() -> Server {
    start_at(folder("sqs"), free(), &["--guarded"])
}

/// A server that speaks TLS alone.
pub fn sqs_tls(certificates: &Certificates) -> Server {
    let path = |path: &Path| path.display().to_string();
    let (certificate, key) = (path(&certificates.server), path(&certificates.server_key));
    start_at(folder("sqs"), free(), &["-c", &certificate, "-k", &key])
}

fn start_at(folder: PathBuf, address: SocketAddr, more: &[&str]) -> Server {
    static PYTHON: LazyLock<String> =
        LazyLock::new(|| installed(MOTO).join("bin/python").display().to_string());
    fs::write(folder.join("serve.py"), SERVE).expect("the folder is ours");
    let recipe = Recipe { program: &PYTHON, package: "python3-venv", scheme: "sqs" };
    let port = address.port().to_string();
    let arguments = [&["serve.py", &port, "journal"], more].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    recipe.start(folder, address, &arguments, listens)
}
