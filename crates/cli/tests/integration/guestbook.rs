//! The example that newcomers meet first.

use crate::support::client::{Connection, beside, get, post, request, wait, with};
use crate::support::{Folder, Served};
use http_body_util::{BodyExt as _, Empty};
use testkit::program::Signal;

mod browser;
mod chromium;

const FILE: &str = include_str!("../../../../examples/guestbook/wharf.toml");

pub(crate) fn guestbook() -> Served {
    Folder::with(FILE).serve(&[])
}

/// Sends the form, and returns where it leads.
fn sign(wharf: &Served, form: &str) -> (u16, String) {
    let asked = with(post("/posts", form.to_owned()), "content-type", FORM);
    let answer = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
    (answer.status, answer.header("location").to_owned())
}

const FORM: &str = "application/x-www-form-urlencoded";

#[expect(clippy::module_inception, reason = "guests are listed by their names")]
pub(crate) mod guestbook {
    use super::{Signal, guestbook, sign};

    #[test]
    fn what_visitors_write_stays() {
        let mut wharf = guestbook();
        assert!(wharf.text("/").contains("Nobody has written here yet"));
        assert_eq!(sign(&wharf, "name=Ada&message=Ahoy+there"), (303, "/".to_owned()));
        assert_eq!(sign(&wharf, "name=Bob&message=%3Cscript%3E"), (303, "/".to_owned()));
        let page = wharf.text("/");
        let (bob, ada) = (page.find("<strong>Bob</strong>"), page.find("<strong>Ada</strong>"));
        assert!(bob.unwrap() < ada.unwrap(), "the newest first");
        assert!(page.contains("Ahoy there") && page.contains("&lt;script&gt;"), "{page}");
        assert!(!page.contains("<script>"));
        wharf.program.signal(Signal::SIGTERM);
        assert_eq!(wharf.program.end().code(), Some(0));
        let again = wharf.folder.serve(&[]);
        assert!(again.text("/").contains("Ahoy there"));
    }
}

#[test]
fn every_visitor_is_counted_once() {
    let wharf = guestbook();
    let address = wharf.address;
    let visitors: Vec<_> = (0..6)
        .map(|_| {
            beside(async move {
                let mut connection = Connection::connect(address, false).await.unwrap();
                for _ in 0..5 {
                    assert_eq!(connection.ask(get("/")).await.unwrap().status, 200);
                }
            })
        })
        .collect();
    visitors.into_iter().for_each(|visitor| wait(visitor).unwrap());
    let page = wharf.text("/");
    assert!(page.contains("<strong id=\"visits\">31</strong>"), "{page}");
}

#[test]
fn mistakes_are_answered_as_browsers_expect() {
    let wharf = guestbook();
    assert_eq!(sign(&wharf, "name=&message=x").0, 422);
    assert_eq!(sign(&wharf, &format!("name=x&message={}", "x".repeat(20_000))).0, 413);
    let mut connection = Connection::http1(wharf.address).unwrap();
    assert_eq!(connection.send(post("/posts", "name=x")).unwrap().status, 415);
    let cross = with(post("/posts", "name=x&message=y"), "content-type", FORM);
    let cross = with(cross, "sec-fetch-site", "cross-site");
    assert_eq!(connection.send(cross).unwrap().status, 403);
    assert_eq!(connection.send(request("DELETE", "/", Empty::new().boxed())).unwrap().status, 405);
    assert_eq!(connection.send(get("/nowhere")).unwrap().status, 404);
    let style = connection.send(get("/style.css")).unwrap();
    assert_eq!((style.status, style.header("content-type")), (200, "text/css"));
    assert!(wharf.text("/").contains("Nobody has written here yet"));
}

#[test]
fn another_title_needs_only_a_signal() {
    let wharf = guestbook();
    assert!(wharf.text("/").contains("<title>The harbour guestbook</title>"));
    wharf.folder.deploy(&FILE.replace("The harbour guestbook", "At sea"));
    wharf.program.signal(Signal::SIGHUP);
    wharf.program.wait_for("Reloaded");
    assert!(wharf.text("/").contains("<title>At sea</title>"));
}

#[test]
fn one_line_puts_it_on_another_backend() {
    for backend in keyvalue::BACKENDS.iter().map(|entry| entry.name) {
        let url = testkit::servers::url(backend).unwrap_or_else(|| format!("{backend}:"));
        let name = format!("name = \"guestbook-{}\"", std::process::id());
        let file = FILE.replace("\"embedded:\"", &format!("\"{url}\""));
        let file = file.replace("name = \"guestbook\"", &name);
        assert!(file.contains(&url));
        let wharf = Folder::with(&file).serve(&[]);
        assert!(wharf.text("/").contains("Nobody has written here yet"), "{backend}");
        assert_eq!(sign(&wharf, "name=Ada&message=Ahoy+there"), (303, "/".to_owned()));
        let page = wharf.text("/");
        assert!(page.contains("Ahoy there"), "{backend}: {page}");
        assert!(page.contains("<strong id=\"visits\">2</strong>"), "{backend}: {page}");
    }
}
