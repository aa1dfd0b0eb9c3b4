//! The example of a shop, a queue and a workshop.

use crate::support::client::{post, wait, with};
use crate::support::{Folder, Served, eventually};
use testkit::program::Signal;

const FILE: &str = include_str!("../../../../examples/orders/wharf.toml");

fn order(wharf: &Served, thing: &str) -> u16 {
    let form = post("/orders", format!("thing={thing}"));
    let form = with(form, "content-type", "application/x-www-form-urlencoded");
    wait(crate::support::client::ask(wharf.address, form)).unwrap().status
}

fn shows(wharf: &Served, broker: &str, line: &str) {
    let what = format!("{line} ({broker})");
    eventually(&what, || wharf.text("/").contains(line).then_some(()));
}

#[expect(clippy::module_inception, reason = "guests are listed by their names")]
pub(crate) mod orders {
    use super::{FILE, Folder, Signal, order, shows};

    /// On each broker, by the one line that the README names.
    #[test]
    fn orders_are_made_or_given_up() {
        for entry in messaging::BACKENDS {
            let url = testkit::servers::url(entry.name);
            let url = url.unwrap_or_else(|| format!("{}:", entry.name));
            let broker = format!("[messaging]\ndefault = \"{url}\"");
            let file = FILE.replace("[messaging]\ndefault = \"embedded:\"", &broker);
            assert!(file.contains(&broker), "the README's line is in the file");
            let wharf = Folder::with(&file).serve(&[]);
            assert_eq!(order(&wharf, "a+chair"), 303);
            assert_eq!(order(&wharf, "the+moon"), 303);
            assert_eq!(order(&wharf, ""), 422);
            shows(&wharf, entry.name, "a chair: made");
            shows(&wharf, entry.name, "the moon: given up: nobody can make `the moon`");
        }
    }

    #[test]
    fn orders_wait_for_the_workshop() {
        // Without a workshop, and then with one.
        let begin = FILE.find("# Orders are made two at a time").unwrap();
        let end = FILE.find("# Whoever ordered").unwrap();
        let closed = FILE.replace(&FILE[begin..end], "");
        let mut wharf = Folder::with(FILE).serve(&[]);
        wharf.program.signal(Signal::SIGTERM);
        assert_eq!(wharf.program.end().code(), Some(0));
        wharf.folder.deploy(&closed);
        let mut wharf = wharf.folder.serve(&[]);
        assert_eq!(order(&wharf, "a+table"), 303);
        shows(&wharf, "embedded", "a table: waiting");
        wharf.program.signal(Signal::SIGTERM);
        assert_eq!(wharf.program.end().code(), Some(0));
        wharf.folder.deploy(FILE);
        let wharf = wharf.folder.serve(&[]);
        shows(&wharf, "embedded", "a table: made");
    }
}
