//! A shop: a page with a form, a queue of orders, and the workshop that makes them. The page shows
//! how each order stands.
//!
//! It knows `wasi:http`, `wasi:messaging` and `wasi:keyvalue`, and nothing of what is behind them.
mod http;
mod orders;
mod page;

mod bindings {
    wit_bindgen::generate!({ world: "orders", generate_all });
}

use bindings::exports::wasi::messaging::incoming_handler::Guest as Handler;
use bindings::wasi::messaging::producer;
use bindings::wasi::messaging::types::{Client, Error, Message};
use orders::{Order, Orders, Standing};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

/// To which orders go, and from which the workshop takes them.
const NEW: &str = "orders.new";
/// To which those go that could not be made, as `wharf.toml` says.
const DEAD: &str = "orders.dead";
/// The longest name of a thing, in bytes.
const LONGEST: usize = 80;

struct Shop;

/// What went wrong that is nobody's mistake but the host's or the operator's.
type Failure = String;

impl Guest for Shop {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, place, body) = answer(request).unwrap_or_else(|failure| {
            eprintln!("{failure}");
            (500, None, "The shop is closed at the moment.".to_owned())
        });
        http::send(out, status, place, &body);
    }
}

/// The status, where to go, and the page.
fn answer(request: IncomingRequest) -> Result<(u16, Option<&'static str>, String), Failure> {
    let path = request.path_with_query().unwrap_or_default();
    match (path.as_str(), request.method()) {
        ("/", Method::Get) => Ok((200, None, page::render(&Orders::open()?.newest(20)?))),
        ("/orders", Method::Post) => order(request),
        ("/" | "/orders", _) => Ok((405, None, "Read the page, or send orders.".to_owned())),
        _ => Ok((404, None, "There is no such page.".to_owned())),
    }
}

/// Somebody orders something: it is written down first, so that the page knows it, and then sent to
/// the workshop.
fn order(request: IncomingRequest) -> Result<(u16, Option<&'static str>, String), Failure> {
    let form = http::body(request, 4096)?;
    let thing = form_urlencoded::parse(&form).find(|(name, _)| name == "thing");
    let thing = thing.map(|(_, thing)| thing.trim().to_owned()).unwrap_or_default();
    if thing.is_empty() || thing.len() > LONGEST {
        return Ok((422, None, "Please say in a few words what you want.".to_owned()));
    }
    let orders = Orders::open()?;
    let order = Order { number: orders.next()?, thing, standing: Standing::Waiting };
    orders.write(&order)?;
    let message = Message::new(order.number.to_string().as_bytes());
    message.set_content_type("text/plain");
    let client = Client::connect("default").map_err(said)?;
    producer::send(&client, NEW, message).map_err(said)?;
    Ok((303, Some("/"), String::new()))
}

impl Handler for Shop {
    /// Makes what was ordered. An error says that it was not made, and the host tries again.
    fn handle(message: Message) -> Result<(), Error> {
        let failed = |failure: Failure| Error::Other(failure);
        let number = String::from_utf8_lossy(&message.data()).parse();
        let Ok(number) = number else { return Err(failed("this is no order".to_owned())) };
        let orders = Orders::open().map_err(failed)?;
        let mut order = orders.read(number).map_err(failed)?;
        if message.topic().as_deref() == Some(DEAD) {
            let reason = message.metadata().unwrap_or_default().into_iter();
            let reason = reason.filter(|(name, _)| name == "wharf-dead-reason");
            let reason: String = reason.map(|(_, reason)| reason).collect();
            order.standing = Standing::GivenUp(reason);
            return orders.write(&order).map_err(failed);
        }
        // A message may come twice: what is made is not made again.
        if order.standing == Standing::Made {
            return Ok(());
        }
        if order.thing.contains("moon") {
            order.standing = Standing::Failed;
            orders.write(&order).map_err(failed)?;
            return Err(failed(format!("nobody can make `{}`", order.thing)));
        }
        order.standing = Standing::Made;
        orders.write(&order).map_err(failed)
    }
}

fn said(error: Error) -> Failure {
    match error {
        Error::Timeout => "the broker took too long".to_owned(),
        Error::Connection(why) | Error::PermissionDenied(why) | Error::Other(why) => why,
    }
}

wasip2::http::proxy::export!(Shop);
bindings::export!(Shop with_types_in bindings);
