//! The guest's side of docs/messaging-recipes.md, a file for each recipe.
//!
//! Over HTTP, `POST /publish/TOPIC` publishes the body, `POST /ask/TOPIC` asks and shows the reply,
//! and `GET /kept/KEY` shows what is kept in key-value.
mod asking;
mod fan_out;
mod http;
mod once;
mod queue;
mod replay;

mod bindings {
    wit_bindgen::generate!({ world: "recipes", generate_all });
}

use bindings::exports::wasi::messaging::incoming_handler::Guest as Handler;
use bindings::wasi::keyvalue::store::{self, Bucket};
use bindings::wasi::messaging::producer;
use bindings::wasi::messaging::types::{Client, Error, Message};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

struct Recipes;

impl Guest for Recipes {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, body) = match answer(request) {
            Ok(body) => (200, body),
            Err(error) => (500, said(error).into_bytes()),
        };
        http::send(out, status, &body);
    }
}

fn answer(request: IncomingRequest) -> Result<Vec<u8>, Error> {
    let path = request.path_with_query().unwrap_or_default();
    let get = matches!(request.method(), Method::Get);
    let (verb, rest) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    match verb {
        "publish" => publish(rest, &http::body(request)).map(|()| Vec::new()),
        "ask" => asking::ask(rest, &http::body(request)),
        "kept" if get => Ok(kept()?.get(rest).map_err(lost)?.unwrap_or_default()),
        _ => Err(Error::Other(format!("there is no `{path}`"))),
    }
}

/// Publishes; when this returns, the broker has it.
fn publish(topic: &str, data: &[u8]) -> Result<(), Error> {
    producer::send(&Client::connect("default")?, topic, Message::new(data))
}

impl Handler for Recipes {
    fn handle(message: Message) -> Result<(), Error> {
        let topic = message.topic().unwrap_or_default();
        match topic.split('.').next() {
            Some("jobs") => queue::work(&message),
            Some("orders") => fan_out::note(&message),
            Some("prices") => asking::answer(&message),
            Some("visits") => replay::count(&message),
            Some("payments") => once::pay(&message),
            _ => Err(Error::Other(format!("nobody handles `{topic}`"))),
        }
    }
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.data()).into_owned()
}

fn kept() -> Result<Bucket, Error> {
    store::open("default").map_err(lost)
}

/// Key-value failed: the message comes again.
fn lost(error: store::Error) -> Error {
    Error::Other(format!("key-value: {error:?}"))
}

fn said(error: Error) -> String {
    match error {
        Error::Timeout => "it took too long".to_owned(),
        Error::Connection(why) | Error::PermissionDenied(why) | Error::Other(why) => why,
    }
}

wasip2::http::proxy::export!(Recipes);
bindings::export!(Recipes with_types_in bindings);
