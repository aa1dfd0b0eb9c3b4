//! A writing process is killed with no time to say good-bye, again and again.

use crate::{embedded, place, trial};
use base::Backend as _;
use bytes::Bytes;
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use testkit::random::Random;
use wharf_keyvalue::backend::embedded::Durability::Strict;
use wharf_keyvalue::{Store, WriteOptions};

/// The argument that makes this program the writer that is killed.
pub(crate) const WRITER: &str = "--write-until-killed";

const CLIENTS: u64 = 8;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("crash::acknowledged_strict_writes_survive_kill_9", kill_and_look())]
}

async fn open(folder: &Path) -> base::Result<Arc<dyn Store>> {
    embedded(Strict).open(place(folder)).await
}

/// The writer: prints every write that was acknowledged, after it was.
#[tokio::main]
pub(crate) async fn write(folder: &str) -> ExitCode {
    let store = open(Path::new(folder)).await.unwrap();
    let clients = (0..CLIENTS).map(|client| {
        let store = Arc::clone(&store);
        async move {
            let key = format!("client {client}");
            let options = WriteOptions::default();
            loop {
                let sum = store.increment(&key, 1, &options).await.unwrap();
                let copy = Bytes::from(format!("{sum} ").repeat(300));
                let batch = (0..3).map(|at| (format!("{key} copy {at}"), copy.clone()));
                store.set_many(batch.collect(), &options).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "{client} {sum}").and_then(|()| out.flush()).unwrap();
            }
        }
    });
    futures::future::join_all(clients).await;
    ExitCode::SUCCESS
}

async fn kill_and_look() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let mut acknowledged = BTreeMap::new();
    for round in 0..testkit::program::crashes(5) {
        let before = acknowledged.clone();
        let patience = Duration::from_millis(60 + random.below(250));
        let path = folder.path().to_owned();
        let killed = tokio::task::spawn_blocking(move || run_and_kill(&path, patience));
        acknowledged.extend(killed.await.unwrap());
        assert_ne!(acknowledged, before, "nothing was written in round {round}");
        let store = open(folder.path()).await.unwrap();
        for (client, sum) in &acknowledged {
            let key = format!("client {client}");
            let found: u64 = number(store.get(&key).await.unwrap());
            let copies: Vec<_> = (0..3).map(|at| format!("{key} copy {at}")).collect();
            let copies = store.get_many(&copies, usize::MAX).await.unwrap();
            let copies: Vec<u64> = copies.into_iter().map(number).collect();
            assert!(found >= *sum, "{key} was told {sum} and finds {found} in round {round}");
            assert!(copies[0] >= *sum, "{key} was told {sum} and finds {copies:?}");
            assert!(copies.iter().all(|copy| *copy == copies[0]), "{key} finds {copies:?}");
        }
    }
}

fn number(value: Option<Bytes>) -> u64 {
    let text = String::from_utf8(value.expect("the key is there").to_vec()).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The highest number that each client of the writer was told.
fn run_and_kill(folder: &Path, patience: Duration) -> BTreeMap<u64, u64> {
    let program = std::env::current_exe().unwrap();
    let mut writer =
        Command::new(program).arg(WRITER).arg(folder).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut acknowledged = BTreeMap::new();
    let mut deadline = None;
    for line in lines.map_while(Result::ok) {
        let begun = deadline.get_or_insert_with(|| {
            // The writer holds the file now, and nobody else may have it.
            assert_locked(folder);
            std::time::Instant::now()
        });
        // A line that was cut off by the kill is none.
        if let Some((client, sum)) = line.split_once(' ')
            && let (Ok(client), Ok(sum)) = (client.parse(), sum.parse())
        {
            acknowledged.insert(client, sum);
        }
        if begun.elapsed() > patience {
            // SIGKILL. What is in the pipe is still read.
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    acknowledged
}

fn assert_locked(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(open(folder)).map(drop).unwrap_err();
    assert_eq!(error.kind(), base::Kind::Unavailable, "{error}");
    let path = folder.join("keyvalue/app/default.redb");
    assert!(error.message().contains(&path.display().to_string()), "{error}");
    assert!(error.message().contains("another process") && error.hint().is_some(), "{error}");
}
