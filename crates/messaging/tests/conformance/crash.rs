//! A process that publishes and takes messages is killed with no time to say good-bye, again and
//! again: what was confirmed is handled at least once, and what comes twice is counted.

use crate::{KEEPERS, everything, kept, text, trial, within};
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::random::Random;
use wharf_messaging::{Message, PublishOptions};

/// The argument that makes this program the one that is killed.
pub(crate) const WRITER: &str = "--publish-until-killed";

const PUBLISHERS: u64 = 8;

pub(crate) fn trials() -> Vec<Trial> {
    let promise = "confirmed_messages_are_handled_in_spite_of_kill_9";
    KEEPERS.map(|keeper| trial(format!("crash::{keeper}::{promise}"), kill_and_look(keeper))).into()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

/// Publishes, and prints what was confirmed after it was; takes, and prints what it acknowledges
/// before it does.
#[tokio::main]
pub(crate) async fn write(keeper: &str, folder: &str) -> ExitCode {
    let broker = kept(keeper, "", Path::new(folder)).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    let run = std::process::id();
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let broker = Arc::clone(&broker);
        async move {
            for number in 0.. {
                let message = Message::new(format!("{run}/{publisher}/{number}"));
                broker.publish("a", message, &PublishOptions::default()).await.unwrap();
                say(&format!("confirmed {run}/{publisher}/{number}"));
            }
        }
    });
    let taking = async {
        let mut random = Random(run.into());
        while let Ok(Some(delivery)) = subscriber.next().await {
            if random.below(10) == 0 {
                delivery.nack(Duration::from_millis(random.below(50))).await.unwrap();
                continue;
            }
            say(&format!("handled {}", text(&delivery.message.data)));
            delivery.ack().await.unwrap();
        }
    };
    futures::join!(futures::future::join_all(publishers), taking);
    ExitCode::SUCCESS
}

async fn kill_and_look(keeper: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    // The group is there before anything is published.
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    drop(broker.subscribe(&everything()).await.unwrap());
    drop(broker);
    let mut random = Random(7);
    let mut confirmed: Vec<String> = Vec::new();
    let mut handled: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..testkit::program::crashes(5) {
        let before = confirmed.len();
        let patience = Duration::from_millis(100 + random.below(300));
        let path = folder.path().to_owned();
        let said = tokio::task::spawn_blocking(move || run_and_kill(keeper, &path, patience)).await;
        for line in said.unwrap() {
            match line.split_once(' ') {
                Some(("confirmed", message)) => confirmed.push(message.to_owned()),
                Some(("handled", message)) => *handled.entry(message.to_owned()).or_default() += 1,
                _ => {}
            }
        }
        assert!(confirmed.len() > before, "nothing was published in round {round}");
    }
    let broker = kept(keeper, "", folder.path()).await.unwrap();
    let subscriber = broker.subscribe(&everything()).await.unwrap();
    while let Some(delivery) = within(Duration::from_millis(500), &*subscriber).await {
        *handled.entry(text(&delivery.message.data)).or_default() += 1;
        delivery.ack().await.unwrap();
    }
    let lost: Vec<_> = confirmed.iter().filter(|it| !handled.contains_key(*it)).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {lost:?}", lost.len(), confirmed.len());
    let twice = handled.values().filter(|times| **times > 1).count();
    // What was acknowledged in the last moments before a kill may come again, and no more.
    assert!(twice <= confirmed.len() / 2, "{twice} of {} came twice", confirmed.len());
    assert!(handled.len() >= confirmed.len());
}

/// What a process that is killed after a while has said.
fn run_and_kill(keeper: &str, folder: &Path, patience: Duration) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.arg(WRITER).arg(keeper).arg(folder).stdout(Stdio::piped());
    let mut writer = command.spawn().unwrap();
    let mut said = Vec::new();
    let mut begun = None;
    let mut out = BufReader::new(writer.stdout.take().unwrap());
    let mut line = String::new();
    // What has no end was cut off by the kill.
    while out.read_line(&mut line).is_ok() && line.ends_with('\n') {
        said.push(line.trim_end().to_owned());
        line.clear();
        if begun.get_or_insert_with(Instant::now).elapsed() > patience {
            // SIGKILL. What is in the pipe is still read.
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    said
}
