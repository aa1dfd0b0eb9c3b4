//! The recipes for messages: the page's own texts, run.

use crate::support::client::{beside, post, wait};
use crate::support::{Folder, Served, eventually};
use std::path::Path;
use testkit::program::Signal;

const PAGE: &str = include_str!("../../../../docs/messaging-recipes.md");

/// A file of the example.
macro_rules! example {
    ($name:literal) => {
        include_str!(concat!("../../../../examples/recipes/", $name))
    };
}

const QUEUE: &str = example!("queue.toml");
const FAN_OUT: &str = example!("fan-out.toml");
const ASK: &str = example!("ask.toml");
const REPLAY: &str = example!("replay.toml");
const ONCE: &str = example!("once.toml");

fn send(wharf: &Served, path: &str, body: &str) -> String {
    let asked = crate::support::client::ask(wharf.address, post(path, body.to_owned()));
    let answer = wait(asked).unwrap();
    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
    answer.text()
}

fn kept(wharf: &Served, key: &str, value: &str) {
    eventually(&format!("{key} is {value}"), || {
        (wharf.text(&format!("/kept/{key}")) == value).then_some(())
    });
}

/// The texts of a language on the page.
fn blocks(language: &str) -> Vec<&'static str> {
    let mark = format!("```{language}\n");
    let blocks = PAGE.split(&mark).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

pub(crate) mod recipes {
    use super::*;

    #[test]
    fn the_page_shows_what_is_run() {
        let files = [QUEUE, FAN_OUT, ASK, REPLAY, ONCE];
        let shown = blocks("toml");
        assert_eq!(shown.len(), files.len());
        for text in shown {
            assert!(files.iter().any(|file| file.contains(text)), "in no file:\n{text}");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/recipes/guest/src");
        let sources = std::fs::read_dir(folder).unwrap();
        let sources = sources.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let sources: Vec<_> = sources.collect();
        let shown = blocks("rust");
        assert!(shown.len() >= 5, "{shown:?}");
        for text in shown {
            assert!(sources.iter().any(|source| source.contains(text)), "in no source:\n{text}");
        }
    }

    #[test]
    fn a_work_queue() {
        let wharf = Folder::with(QUEUE).serve(&[]);
        for job in ["one", "impossible", "two"] {
            send(&wharf, "/publish/jobs.new", job);
        }
        kept(&wharf, "done/one", "yes");
        kept(&wharf, "done/two", "yes");
        wharf.program.wait_for("a message went to `dead.jobs`: nobody can do `impossible`");
    }

    #[test]
    fn fan_out() {
        let wharf = Folder::with(FAN_OUT).serve(&[]);
        send(&wharf, "/publish/orders.new", "42");
        kept(&wharf, "mail/42", "noted");
        kept(&wharf, "stock/42", "noted");
    }

    #[test]
    fn request_reply() {
        let wharf = Folder::with(ASK).serve(&[]);
        assert_eq!(send(&wharf, "/ask/prices.chairs", "four"), "40");
    }

    #[test]
    fn replay() {
        // Without the report, and then with it.
        let begin = REPLAY.find("[[subscribe]]").unwrap();
        let end = REPLAY.find("[messaging]").unwrap();
        let before = REPLAY.replace(&REPLAY[begin..end], "");
        let mut wharf = Folder::with(&before).serve(&[]);
        for visit in ["a", "b", "c"] {
            send(&wharf, "/publish/visits.today", visit);
        }
        wharf.program.signal(Signal::SIGTERM);
        assert_eq!(wharf.program.end().code(), Some(0));
        wharf.folder.deploy(REPLAY);
        let wharf = wharf.folder.serve(&[]);
        for visit in ["a", "b", "c"] {
            kept(&wharf, &format!("visit/{visit}"), "seen");
        }
    }

    #[test]
    fn effects_take_place_once() {
        let mut wharf = Folder::with(ONCE).serve(&[]);
        let mut expected = 0;
        for round in 0..3 {
            // Each is published three times, and all at once.
            let address = wharf.address;
            let sent: Vec<_> = (0..30)
                .map(|number| {
                    let payment = format!("{round}-{} a {}", number / 3, number / 3);
                    let request = post("/publish/payments", payment);
                    beside(crate::support::client::ask(address, request))
                })
                .collect();
            expected += (0..10).sum::<i32>();
            for asked in sent {
                assert_eq!(wait(asked).unwrap().unwrap().status, 200);
            }
            // The host is lost while it handles them.
            wharf.program.signal(Signal::SIGKILL);
            assert_eq!(wharf.program.end().code(), None);
            wharf = wharf.folder.serve(&[]);
        }
        eventually("every payment is made", || {
            let account = wharf.text("/kept/account/a");
            (account.lines().skip(1).count() == 30).then_some(())
        });
        let account = wharf.text("/kept/account/a");
        assert_eq!(account.lines().next(), Some(expected.to_string().as_str()), "{account}");
    }
}
