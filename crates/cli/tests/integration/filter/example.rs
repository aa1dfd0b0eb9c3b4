//! `examples/filters` as it is, but for its addresses.

use crate::support::client::{Connection, get, with};
use crate::support::server::{Server, echo};
use crate::support::{Folder, Served};
use std::net::TcpListener;

pub(crate) mod keeper {
    use super::*;

    fn example(plain: &Server) -> Served {
        let file = include_str!("../../../../../examples/filters/wharf.toml");
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = file
            .replace("127.0.0.1:8080", &listen.to_string())
            .replace("127.0.0.1:9000", &plain.address.to_string())
            .replace("${env:FILTERS}/", "")
            .replace("../guestbook/", "");
        let folder = Folder::with(&file);
        // Where the file says: the filter asks there.
        let command = folder.wharf(&["serve"]);
        Served::start(folder, command)
    }

    #[test]
    fn who_shows_the_token_passes_so_often() {
        let plain = Server::start(echo);
        let wharf = example(&plain);
        let ask = |path: &str, client: &str, token: Option<&str>| {
            let asked = with(get(path), "x-client", client);
            let asked = match token {
                Some(token) => with(asked, "authorization", token),
                None => asked,
            };
            Connection::http1(wharf.address).unwrap().send(asked).unwrap()
        };
        let token = Some("Bearer open-sesame");
        assert_eq!(ask("/", "a", None).status, 401);
        assert_eq!(ask("/", "a", Some("Bearer other")).header("www-authenticate"), "Bearer");
        let page = ask("/", "a", token);
        assert_eq!(page.status, 200);
        assert!(page.text().contains("<html"), "{}", page.text());
        assert_eq!(ask("/plain", "a", None).status, 401);
        assert_eq!(plain.requests(), 0);
        assert_eq!(ask("/plain", "a", token).header("x-echo-x-user"), "ada");
        let statuses: Vec<u16> = (0..62).map(|_| ask("/plain", "b", token).status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 60);
        assert_eq!(statuses.last(), Some(&429));
    }
}
