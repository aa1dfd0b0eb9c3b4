//! A guestbook: a page, a form, and what visitors wrote, kept in key-value.
//!
//! It knows `wasi:http`, `wasi:keyvalue` and `wasi:config`, and nothing of what is behind them.
mod counter;
mod form;
mod http;
mod page;
mod posts;
mod settings;

mod bindings {
    wit_bindgen::generate!({ world: "guestbook", generate_all });
}

use bindings::wasi::keyvalue::store::{self, Bucket};
use form::Draft;
use http::Reply;
use posts::Post;
use settings::Settings;
use std::time::SystemTime;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

struct Guestbook;

impl Guest for Guestbook {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let reply = answer(request).unwrap_or_else(|failure| {
            // Whoever runs this reads it in the log; visitors need not know.
            eprintln!("{failure}");
            Reply::text(500, "The guestbook cannot be read at the moment.")
        });
        reply.send(out);
    }
}

wasip2::http::proxy::export!(Guestbook);

/// What went wrong that is nobody's mistake but the host's or the operator's.
type Failure = String;

/// Who answers what.
fn answer(request: IncomingRequest) -> Result<Reply, Failure> {
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let method = request.method();
    match (path, &method) {
        ("/", Method::Get) => front(query),
        ("/", Method::Head) => Ok(Reply::html(200, String::new())),
        ("/posts", Method::Post) => write(request),
        ("/style.css", Method::Get | Method::Head) => Ok(Reply::file("text/css", page::STYLE)),
        ("/icon.svg", Method::Get | Method::Head) => Ok(Reply::file("image/svg+xml", page::ICON)),
        ("/" | "/style.css" | "/icon.svg", _) => Ok(Reply::not_allowed("GET, HEAD")),
        ("/posts", _) => Ok(Reply::not_allowed("POST")),
        _ => Ok(Reply::text(404, "There is no such page.")),
    }
}

/// The page: the newest posts, or with `?before=ID` those before.
fn front(query: &str) -> Result<Reply, Failure> {
    let (settings, bucket) = (Settings::read()?, open()?);
    let before = match form::value(query, "before").as_deref().map(str::parse) {
        Some(Err(_)) => return Ok(Reply::text(404, "There is no such page.")),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    // Leafing through older pages is no new visit.
    let visits = match before {
        None => counter::add_one(&bucket, "visits")?,
        Some(_) => counter::read(&bucket, "visits")?,
    };
    let posts = posts::page(&bucket, before, settings.page_size)?;
    Ok(Reply::html(200, page::render(&settings, &posts, visits, &Draft::default(), None)))
}

/// A visitor wrote something.
fn write(request: IncomingRequest) -> Result<Reply, Failure> {
    if http::is_cross_site(&request) {
        return Ok(Reply::text(403, "Posts are written on the guestbook's own page."));
    }
    if !http::is_form(&request) {
        return Ok(Reply::text(415, "Send the form as application/x-www-form-urlencoded."));
    }
    let Some(body) = http::body(request, form::LONGEST)? else {
        return Ok(Reply::text(413, "That is too long for a guestbook."));
    };
    let (draft, bucket) = (Draft::read(&body), open()?);
    if let Err(mistake) = draft.check() {
        let settings = Settings::read()?;
        let posts = posts::page(&bucket, None, settings.page_size)?;
        let visits = counter::read(&bucket, "visits")?;
        let page = page::render(&settings, &posts, visits, &draft, Some(mistake));
        return Ok(Reply::html(422, page));
    }
    let written = SystemTime::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?.as_secs();
    posts::add(&bucket, &Post { name: draft.name, message: draft.message, written })?;
    // The page is asked for anew, so that reloading it writes nothing twice.
    Ok(Reply::see_other("/"))
}

fn open() -> Result<Bucket, Failure> {
    store::open("default").map_err(|error| format!("opening the bucket `default`: {error}"))
}
